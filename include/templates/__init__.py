"""Payloads with holes: any text in a payload may be a template, filled in for each record that a workflow sends.

A text with `{{`, `{%` or `{#` in it is a template in the language of Jinja (jinja.palletsprojects.com); every other
text, the names of fields, numbers, true, false and null stay as they are.

    {"url": "https://example.com/customers/{{ record.payload.customer.id | urlencode }}",
     "body": {"total": "{{ record.payload.total }}",
              "title": "Order {{ record.key }} of {{ record.payload.customer.name | default('somebody') }}",
              "lines": "{% for line in record.payload.lines %}{{ loop.index }}. {{ line.name }}\\n{% endfor %}"}}

Names: in a workflow `record` (connector, position, key, created_at, payload), `records` (a list of those, the whole
batch), `workflow` (id, name, every_seconds, batch_size), `owner` and `connector` (id, name); in a connector's notify
`connector`, `event` and `error`; in that of a job or an owner `summary` (one line), `text` (several), `notices` (a list
of event, table, id, name, owner, at, detail, count), `counts` (by event), `count`, `more` (not listed) and `at`.

Values: a text that is one `{{ ... }}` and nothing else becomes the value itself, of its own type: `total` above is a
number if the record has a number. Within a longer text a value is spelled as in JSON (true, null, 1.5, {"a":1}), a text
as it is. `a.b` and `a['b']` are the field b of an object, whatever its name, `a.0` and `a[0]` an item of a list,
`a[0:10]` a part of a list or a text. What is missing is an error that says what there is, unless `default` follows.

Expressions: texts, numbers, true, false, none, lists, {'objects': 1}; + - * / // % on numbers, + on two lists or two
texts, ~ to make one text of any values; == != < <= > >= in, not in, and, or, not; `a if condition else b`.

Statements: {% if %} {% elif %} {% else %}, {% set name = ... %}, and {% for %} over a list or an object, with
`loop.index`, `loop.index0`, `loop.first`, `loop.last` and `loop.length`, but not within another loop.

Filters, as Jinja has them:
- any value: default d string tojson length
- texts: upper lower capitalize trim replace truncate split escape urlencode
- lists: first last join sort unique reverse list map(attribute='a.b') select reject selectattr rejectattr sum min max
- objects: items (pairs of a name and a value), list (the names)
- numbers: int float abs round
- instants, as ISO 8601 or seconds since 1970: date('%Y-%m-%d %H:%M')

They differ from Jinja's in this: `int` and `float` of what is no number is an error unless a default is given, `round`
makes a whole number, `truncate` keeps to its length, `escape` makes an ordinary text, `urlencode` encodes / too.

Tests: is defined, undefined, none, boolean, true, false, number (true is not one), integer, float, string, mapping,
sequence (of lists), odd, even, in, eq, ne, lt, le, gt, ge; the last six, defined and undefined are also what `select`,
`reject`, `selectattr` and `rejectattr` can go by: selectattr('price', 'gt', 10).

Nothing can be called, included or imported. A text may become 1 MiB long, the templates of one payload may have 64 KiB,
and each rendering may do so much work and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any

from jinja2.exceptions import TemplateRuntimeError, TemplateSyntaxError

from include.errors import ConfigError, MisfitError, PermanentError
from include.templates.allowance import Scope
from include.templates.language import Text, scope_of

_Place = tuple[str | int, ...]

_MARKS = ("{{", "{%", "{#")
_MOST_CHARACTERS = 64 * 1024
_MOST_TEMPLATES = 200  # a template takes about half a millisecond to compile, each word or sign in it about 20 us
_DEEPEST = 32
_LONGEST_MESSAGE = 1_000


class Template:
    """A payload whose templates are compiled; `payload` is what was written. `ConfigError` says what is wrong where,
    and is a `MisfitError` if that is one template.
    """

    def __init__(self, payload: Mapping[str, Any]) -> None:
        self.payload = dict(payload)
        sources = dict(_templates(self.payload, ()))
        if len(sources) > _MOST_TEMPLATES:
            raise ConfigError(f"the payload has {len(sources):,} templates; {_MOST_TEMPLATES:,} is the most")
        characters = sum(map(len, sources.values()))
        if characters > _MOST_CHARACTERS:
            raise ConfigError(
                f"the payload's templates are {characters:,} characters; {_MOST_CHARACTERS:,} is the most"
            )
        self._places = frozenset(sources)
        tokens = count()
        texts = {place: _compiled(source, place, tokens) for place, source in sources.items()}
        self._fill = _filling(self.payload, (), texts)

    def covers(self, place: Sequence[str | int]) -> bool:
        """Whether what is at `place` depends on a template: it is one, is within what one makes, or has one within it.

        `place` is keys and indexes from the top, as Pydantic gives them: what names no part of the payload, such as the
        member of a union, is passed over. The first names a field; one that is not there depends on nothing.
        """
        here: Any = self.payload
        path: _Place = ()
        if place and place[0] not in self.payload:
            return False
        for segment in place:
            if path in self._places:
                return True
            if segment in (here if isinstance(here, Mapping) else range(len(here)) if isinstance(here, list) else ()):
                here, path = here[segment], (*path, segment)
        return any(template[: len(path)] == path for template in self._places)

    def render(self, **names: Any) -> dict[str, Any]:
        """The payload with its templates filled in. `PermanentError` says which could not be, and why.

        `names` are JSON; what the payload becomes may share parts with them, so neither is to be changed afterwards.
        """
        made: dict[str, Any] = self._fill(scope_of(names))
        return made


def _templates(value: Any, place: _Place) -> Iterator[tuple[_Place, str]]:
    if len(place) > _DEEPEST:
        raise ConfigError(f"{_spell(place)}: nested deeper than {_DEEPEST} levels")
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _templates(inner, (*place, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _templates(inner, (*place, index))
    elif isinstance(value, str) and any(mark in value for mark in _MARKS):
        yield place, value


def _compiled(source: str, place: _Place, tokens: Iterator[int]) -> Text:
    try:
        return Text(source, tokens)
    except TemplateSyntaxError as error:
        line = f"line {error.lineno} of the template: " if "\n" in source else ""
        raise _misfit(place, f"{line}{error.message}"[:_LONGEST_MESSAGE]) from None
    except RecursionError:
        raise _misfit(place, "nested too deeply") from None
    except Exception as error:  # parsers and compilers have limits of their own, such as on digits
        raise _misfit(place, f"this template cannot be compiled ({type(error).__name__})") from error


def _misfit(place: _Place, said: str) -> MisfitError:
    where = _spell(place)
    return MisfitError(f"{where}: {said}", [(where, said)])


def _filling(value: Any, place: _Place, texts: Mapping[_Place, Text]) -> Callable[[Scope], Any]:
    """A function that makes what is at `place`; lists and objects are made anew each time."""
    if isinstance(value, Mapping):
        fields = [(name, _filling(inner, (*place, name), texts)) for name, inner in value.items()]
        return lambda scope: {name: fill(scope) for name, fill in fields}
    if isinstance(value, list):
        items = [_filling(inner, (*place, index), texts) for index, inner in enumerate(value)]
        return lambda scope: [fill(scope) for fill in items]
    if place in texts:
        return lambda scope: _filled(texts[place], scope, place)
    return lambda _: value


def _filled(text: Text, scope: Scope, place: _Place) -> Any:
    try:
        return text.value(scope)
    except TemplateRuntimeError as error:
        raise PermanentError(f"{_spell(place)}: {error.message}"[:_LONGEST_MESSAGE]) from None
    except Exception as error:  # its message may show what the record holds
        raise PermanentError(f"{_spell(place)}: cannot be rendered ({type(error).__name__})") from None


def _spell(place: _Place) -> str:
    return ".".join(map(str, place))
