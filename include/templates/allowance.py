"""How much one rendering may do, so that nobody's template holds up the process that everybody's run in.

Work is paid for before it is done, in units of about a character gone through. It is counted and not timed, so that a
template that renders once renders always.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from jinja2.exceptions import TemplateError, TemplateRuntimeError
from jinja2.runtime import Context
from jinja2.utils import pass_context

from include.templates.values import Missing, kind

TEXT_CAP = 1024 * 1024
# What it costs to go past an element of a list or an object, and to do something: one operation, on one element.
ELEMENT = 12
STEP = 32
# Spent to the last, it takes a few tenths of a second and some tens of MiB.
_UNITS = 8_000_000


class Allowance:
    """What one rendering may still do. It is used up when `TemplateRuntimeError` says so."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _UNITS

    def spend(self, units: int) -> None:
        self._left -= units
        if self._left < 0:
            raise TemplateRuntimeError(
                "too much work for one call: use less of the record, shorter loops, or a lower batch_size"
            )

    def weigh(self, value: Any) -> bool:
        """Pay for going through all of a value; True if there are instants in it, which JSON has not.

        Raises `TemplateRuntimeError` for what is neither JSON nor an instant, and for what is missing.
        """
        instants, waiting = False, [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                self.spend(ELEMENT + len(one))
            elif isinstance(one, dict):
                self.spend(ELEMENT * (1 + len(one)) + sum(map(len, one)))
                waiting.extend(one.values())
            elif isinstance(one, list):
                self.spend(ELEMENT * (1 + len(one)))
                waiting.extend(one)
            elif one is None or isinstance(one, int) or (isinstance(one, float) and math.isfinite(one)):
                self.spend(ELEMENT)
            elif isinstance(one, datetime):
                instants = True
            elif isinstance(one, Missing):
                one.fail()
            else:
                raise TemplateRuntimeError(f"{kind(one)} cannot be used as a value")
        return instants


class Scope(Context):
    """The names that a template sees, and what its rendering may still do."""

    allowance: Allowance

    def resolve_or_missing(self, key: str) -> Any:
        """What a name stands for, or `Missing`, which knows the names there are."""
        if key in self.vars:
            return self.vars[key]
        return self.parent[key] if key in self.parent else Missing(obj=self.parent, name=key, path=key)


def counted(name: str, function: Callable[..., Any], *, lazy: bool = False) -> Callable[..., Any]:
    """The function as templates call it: paid for, capped, and with errors that do not show the values.

    One that is `lazy` looks at no more than the outside of its operands, which costs nothing.
    """

    @pass_context
    def call(scope: Scope, *operands: Any, **options: Any) -> Any:
        given = (*operands, *options.values())
        for value in given:
            if not lazy:
                scope.allowance.weigh(value)
                scope.allowance.spend(STEP * len(value) if isinstance(value, (list, dict)) else 0)
            elif isinstance(value, Missing):
                value.fail()
        try:
            made = function(*operands, **options)
        except TemplateError:
            raise
        except ZeroDivisionError:
            raise TemplateRuntimeError(f"{name}: division by zero") from None
        except Exception:  # its message may show the values
            raise TemplateRuntimeError(f"{name}: not possible with {' and '.join(map(kind, given))}") from None
        if isinstance(made, str):
            check_room(len(made))
            scope.allowance.spend(len(made))
        elif isinstance(made, list) and not lazy:
            scope.allowance.spend(ELEMENT * len(made))
        return made

    return call


def check_room(length: int) -> None:
    """Raise `TemplateRuntimeError` if a text would be too long."""
    if length > TEXT_CAP:
        raise TemplateRuntimeError(f"a text of more than {TEXT_CAP:,} characters")
