"""What of Jinja's language may be written, and how it runs.

A text is parsed by Jinja, read against a list of what is allowed, rewritten so that all that takes time or room goes
through functions that count, and compiled by Jinja's sandboxed environment. What is left has no calls, no attributes
and no globals.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from inspect import signature
from typing import Any, NoReturn

from jinja2 import nodes
from jinja2.exceptions import TemplateRuntimeError, TemplateSyntaxError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import pass_context
from jinja2.visitor import NodeTransformer

from include.templates.allowance import STEP, Allowance, Scope, check_room, counted
from include.templates.filters import FILTERS
from include.templates.operators import AS_FILTERS, CALCULATIONS, LARGEST_NUMBER, SIGNS, TESTS
from include.templates.values import COMPUTED, Missing, encode, item, spell

_MOST_TOKENS = 4_000
_DEEPEST = 40
_ALONE = "_alone"
_UNCOUNTED = {"default", "d", "defined", "undefined"}  # they look at whether something is there, and do no more
_LAZY = {"first", "last", "length"}
_ALLOWED = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.List, nodes.Keyword),
    *(nodes.And, nodes.Or, nodes.Not, nodes.Add, nodes.Sub, nodes.Mul, nodes.Div, nodes.FloorDiv, nodes.Mod),
    *(nodes.Neg, nodes.Pos),
)
_INSTEAD: dict[type[nodes.Node], str] = {
    nodes.Call: "nothing can be called; write a filter, such as {{ x | upper }} or {{ x | items }}",
    nodes.Pow: "** is not possible; write x * x",
    nodes.Tuple: "write a list in brackets, such as [a, b]",
}


class Text:
    """A text with templates in it, compiled. `TemplateSyntaxError` if it is none.

    `tokens` is the count that the texts of one payload share.
    """

    def __init__(self, source: str, tokens: Iterator[int]) -> None:
        if any(number >= _MOST_TOKENS for number, _ in zip(tokens, _ENVIRONMENT.lex(source), strict=False)):
            raise TemplateSyntaxError(f"more than {_MOST_TOKENS:,} words and signs in the templates of one payload", 1)
        reader = _Reader()
        tree = reader.visit(_ENVIRONMENT.parse(source))
        expression = _only_expression(tree)
        if expression is not None:
            target = nodes.Name(_ALONE, "store", lineno=1)
            tree = nodes.Template([nodes.Assign(target, expression, lineno=1)], lineno=1)
        self._is_alone = expression is not None
        self._cost = STEP * reader.steps
        self._run = _ENVIRONMENT.from_string(tree).root_render_func

    def value(self, scope: Scope) -> Any:
        """What the text is for the names in `scope`: a text, or, if it is one expression and no more, any JSON."""
        scope.vars = {}
        scope.allowance.spend(self._cost)
        pieces, length = [], 0
        for piece in self._run(scope):
            length += len(piece)
            check_room(length)
            pieces.append(piece)
        return _as_json(scope.vars[_ALONE], scope) if self._is_alone else "".join(pieces)


def scope_of(names: dict[str, Any]) -> Scope:
    """The scope for one rendering of any number of texts."""
    scope = Scope(_ENVIRONMENT, names, None, {})
    scope.allowance = Allowance()
    return scope


def _only_expression(tree: nodes.Template) -> nodes.Expr | None:
    match tree.body:
        case [nodes.Output(nodes=[expression])] if not isinstance(expression, nodes.TemplateData):
            return expression
    return None


def _as_json(value: Any, scope: Scope) -> Any:
    return json.loads(encode(value)) if scope.allowance.weigh(value) else value


@pass_context
def _within_text(scope: Scope, value: Any) -> str:
    scope.allowance.weigh(value)
    return spell(value)


@pass_context
def _each(scope: Scope, value: Any, cost: int) -> list[Any]:
    """What a loop goes through, after paying for all its turns."""
    if isinstance(value, Missing):
        value.fail()
    if not isinstance(value, (list, dict)):
        raise TemplateRuntimeError("a loop needs a list or an object to go through")
    scope.allowance.spend(STEP * cost * len(value))
    return list(value)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(CALCULATIONS)
    intercepted_unops = frozenset(SIGNS)
    context_class = Scope

    def getitem(self, obj: Any, argument: Any) -> Any:
        """The item of a pair that `_Reader` has written: the key, and the path as the template has it."""
        return item(obj, *argument)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        return _CALCULATIONS[operator](context, left, right)

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        return _SIGNS[operator](context, arg)


def _offered(functions: dict[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    return {
        name: function if name in _UNCOUNTED else counted(name, function, lazy=name in _LAZY)
        for name, function in functions.items()
    }


_CALCULATIONS, _SIGNS = _offered(CALCULATIONS), _offered(SIGNS)
# Without the optimizer, nothing runs while it is compiled.
_ENVIRONMENT = _Environment(
    undefined=Missing, finalize=_within_text, optimized=False, keep_trailing_newline=True, cache_size=0
)
_ENVIRONMENT.globals.clear()
_ENVIRONMENT.tests.clear()
_ENVIRONMENT.tests.update(_offered(TESTS))
_ENVIRONMENT.filters.clear()
_ENVIRONMENT.filters.update(_offered(FILTERS))
_ENVIRONMENT.filters.update({name: counted(sign, function) for name, (sign, function) in AS_FILTERS.items()})
_ENVIRONMENT.filters["each"] = _each


class _Reader(NodeTransformer):
    """Refuses what is not allowed, and rewrites what would escape the counting."""

    def __init__(self) -> None:
        self.steps = 0
        self._depth = 0
        self._in_loop = False

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        self.steps += 1
        self._depth += 1
        if self._depth > _DEEPEST:
            _refuse(node, "nested too deeply")
        made = super().visit(node)
        self._depth -= 1
        return made

    def generic_visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> nodes.Node:
        if not isinstance(node, _ALLOWED):
            only = "the statements are if, for and set" if isinstance(node, nodes.Stmt) else "this cannot be used"
            _refuse(node, _INSTEAD.get(type(node), only))
        return super().generic_visit(node)

    def visit_Name(self, node: nodes.Name) -> nodes.Node:
        if node.name.startswith("_") or node.name == "self":
            _refuse(node, f"there is no name {node.name!r}")
        return node

    def visit_Const(self, node: nodes.Const) -> nodes.Node:
        if isinstance(node.value, (int, float)) and not node.value < LARGEST_NUMBER:
            _refuse(node, "a number of more than 100 digits")
        return node

    def visit_Dict(self, node: nodes.Dict) -> nodes.Node:
        for pair in node.items:
            if not _is_text(pair.key):
                _refuse(pair, "the keys of an object are texts, such as {'name': x}")
            pair.value = self.visit(pair.value)
        return node

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Node:
        if node.ctx != "store":
            _refuse(node, _INSTEAD[nodes.Tuple])
        return super().generic_visit(node)

    def visit_Assign(self, node: nodes.Assign) -> nodes.Node:
        if not isinstance(node.target, nodes.Name):
            _refuse(node, "set one name at a time, such as {% set total = 0 %}")
        return super().generic_visit(node)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.recursive:
            _refuse(node, "a recursive loop is not possible")
        if self._in_loop:
            example = "{{ order.lines | map(attribute='name') | join(', ') }}"
            _refuse(node, f"a loop within a loop is not possible; write the inner list with filters, such as {example}")
        before, self._in_loop = self.steps, True
        super().generic_visit(node)
        self._in_loop = False
        node.iter = _filter(node.iter, "each", [nodes.Const(self.steps - before)])
        return node

    def visit_CondExpr(self, node: nodes.CondExpr) -> nodes.Node:
        super().generic_visit(node)
        node.expr2 = node.expr2 or nodes.Const("")
        return node

    def visit_Getattr(self, node: nodes.Getattr) -> nodes.Node:
        path = _path(node)
        return nodes.Getitem(self.visit(node.node), nodes.Const((node.attr, path)), "load", lineno=node.lineno)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        path, holder, key = _path(node), self.visit(node.node), node.arg
        if isinstance(key, nodes.Slice):
            if key.step is not None:
                _refuse(node, "a slice has a beginning and an end, such as [0:10]")
            ends = [nodes.Const(None) if end is None else self.visit(end) for end in (key.start, key.stop)]
            return _filter(holder, "slice", ends)
        pair = nodes.Tuple([self.visit(key), nodes.Const(path)], "load")
        return nodes.Getitem(holder, pair, "load", lineno=node.lineno)

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        first, *others = [self.visit(each) for each in node.nodes]
        return _filter(first, "concat", others)

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        if len(node.ops) > 1:
            _refuse(node, "compare two at a time, such as a < b and b < c")
        return _filter(self.visit(node.expr), node.ops[0].op, [self.visit(node.ops[0].expr)])

    def visit_Filter(self, node: nodes.Filter) -> nodes.Node:
        return self._checked(node, "filter", FILTERS)

    def visit_Test(self, node: nodes.Test) -> nodes.Node:
        return self._checked(node, "test", TESTS)

    def _checked(
        self, node: nodes.Filter | nodes.Test, what: str, functions: dict[str, Callable[..., Any]]
    ) -> nodes.Node:
        if node.name not in functions:
            close = get_close_matches(node.name, functions, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(functions)}"
            _refuse(node, f"there is no {what} {node.name!r}; {hint}")
        if node.dyn_args is not None or node.dyn_kwargs is not None:
            _refuse(node, f"{node.name}: write its arguments one by one")
        options = {str(option.key): option.value for option in node.kwargs}
        try:
            given = signature(functions[node.name]).bind(None, *node.args, **options).arguments
        except TypeError as error:
            _refuse(node, f"{node.name}: {error}")
        if not _is_text(given.get("attribute", nodes.Const(""))):  # it is shown in messages, so it must not be a value
            _refuse(node, f"{node.name}: write the attribute as a plain text, such as 'user.name'")
        return super().generic_visit(node)


def _filter(node: Any, name: str, operands: list[Any]) -> nodes.Filter:
    return nodes.Filter(node, name, operands, [], None, None, lineno=node.lineno)


def _is_text(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and isinstance(node.value, str)


def _path(node: nodes.Node) -> str:
    """An access as people write it, for messages."""
    match node:
        case nodes.Name(name=name):
            return str(name)
        case nodes.Getattr(node=holder, attr=key):
            return f"{_path(holder)}.{key}"
        case nodes.Getitem(node=holder, arg=nodes.Const(value=key)):
            return f"{_path(holder)}.{key}"
        case nodes.Getitem(node=holder):
            return f"{_path(holder)}{COMPUTED}"
    return "(...)"


def _refuse(node: nodes.Node, reason: str) -> NoReturn:
    raise TemplateSyntaxError(reason, node.lineno)
