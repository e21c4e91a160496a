"""Conditions: CEL compiled once, with the rule language's reading of what is missing.

"A property that is missing, null or of a type that doesn't compare makes a comparison false, `!=` too, never
an error; `!(...)` around it is true." CEL itself makes an error of the first and the third (and of `1 + 1.5`)
and calls `null != 1` true. So a condition is split at `&&`, `||`, `!` and `?:` into its comparisons; each is
a CEL program of its own, evaluated by the `cel` package on the values it names (what is plain is answered by
plain.py), and false where one is missing. A comparison inside a macro (`list.exists(x, x.price > 5)`) stays inside and
is guarded with `has()`. Null counts as missing everywhere, `has()` too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cel

from stream_app.domain.rules import plain, shelf
from stream_app.domain.rules.paths import Path, lookup, names_below, path_of, paths_of, resolve
from stream_app.domain.rules.syntax import RELATIONS, CelSyntaxError, Node, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Test = Callable[[Mapping[str, Any], dict[str, Any] | None], bool]
    """(variables, where to note the values seen) -> verdict."""

FUNCTIONS = frozenset({"size", "int", "uint", "double", "string", "timestamp", "duration", "min", "max"})
METHODS = frozenset(
    {"size", "contains", "startsWith", "endsWith"}
    | {"getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"}
    | {"getHours", "getMinutes", "getSeconds", "getMilliseconds"},
)
_FAULTS = (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError)
"""What the package raises for a value that doesn't fit: such a comparison is false."""
_ARITHMETIC = frozenset({"+", "-", "*", "/", "%"})
_LOGIC = frozenset({"&&", "||"})
_NUMBERS = (int, float)


class Condition:
    """A compiled condition.

    `paths`: every property it names; `roots`: the variables they start from; `customer`: the names right below
    `customer`, None for all of them.
    """

    __slots__ = ("_test", "customer", "paths", "roots", "source")

    def __init__(self, source: str, allowed: Collection[str]) -> None:
        """Compile; `allowed` are the variables that the place of this condition has.

        Raises:
            CelSyntaxError: It isn't CEL, or names a variable or a function that there isn't.
        """
        tree = parse(source)
        _check(tree, allowed, frozenset())
        if shelf.STOCK in allowed:
            tree = shelf.spelled_out(tree)
        self.source = source
        self.paths = frozenset(paths_of(tree))
        self.roots = frozenset(path[0] for path in self.paths)
        self.customer = names_below(self.paths, "customer")
        try:
            self._test = _compile(tree)
        except ValueError as fault:  # the package's own parser has the last word
            raise CelSyntaxError(str(fault).partition("\n")[0], 0) from fault

    def __eq__(self, other: object) -> bool:
        """Tell whether the other one is written the same."""
        return isinstance(other, Condition) and self.source == other.source

    def __hash__(self) -> int:
        """Hash what is written."""
        return hash(self.source)

    def holds(self, variables: Mapping[str, Any], seen: dict[str, Any] | None = None) -> bool:
        """Judge. The values that were looked at are noted in `seen`, by their path."""
        return self._test(variables, seen)


def _check(node: Node, allowed: Collection[str], bound: frozenset[str]) -> None:
    """Refuse names and functions that there aren't. `bound`: the names of the macros around."""
    if node.kind == "name" and node.text not in allowed and node.text not in bound:
        known = ", ".join(sorted(allowed)) or "none"
        raise CelSyntaxError(f"no variable `{node.text}` here; there are: {known}", node.offset)
    known_functions = {"call": FUNCTIONS, "method": METHODS}.get(node.kind)
    if known_functions is not None and node.text not in known_functions:
        raise CelSyntaxError(
            f"no function `{node.text}`; use {', '.join(sorted(known_functions))}", node.offset
        )
    if node.kind != "macro":
        for arg in node.args:
            _check(arg, allowed, bound)
        return
    _check(node.args[0], allowed, bound)
    for arg in node.args[2:]:
        _check(arg, allowed, bound | {node.args[1].text})


def _compile(node: Node) -> Test:
    """Compile what stands where a truth value is wanted."""
    if node.kind == "not":
        inner = _compile(node.args[0])
        return lambda variables, seen: not inner(variables, seen)
    if node.kind == "ternary":
        when, then, other = map(_compile, node.args)
        return lambda variables, seen: (then if when(variables, seen) else other)(variables, seen)
    if node.kind == "binary" and node.text in _LOGIC:
        left, right = map(_compile, node.args)
        if node.text == "&&":
            return lambda variables, seen: left(variables, seen) and right(variables, seen)
        return lambda variables, seen: left(variables, seen) or right(variables, seen)
    if node.kind == "has" and (path := path_of(node.args[0])) is not None:
        look = lookup(path)
        return lambda variables, _: look(variables) is not None
    return _nested(node) if _has_logic(node, top=True) else _comparison(node)


def _has_logic(node: Node, *, top: bool = False) -> bool:
    """Tell whether a comparison holds truth values or macros of its own."""
    if node.kind in {"not", "ternary", "has", "macro"}:
        return True
    if node.kind == "binary" and (node.text in _LOGIC or (node.text in RELATIONS and not top)):
        return True
    return any(_has_logic(arg) for arg in node.args)


def _comparison(node: Node) -> Test:
    """Compile a comparison whose values are all plain: each is looked up first, so a missing one is seen."""
    paths = sorted(paths_of(node))
    slots = {path: f"v{index}" for index, path in enumerate(paths)}
    ask = _asked(node, slots)
    if node.kind == "binary" and node.text in RELATIONS:
        left, right = (path_of(arg) for arg in node.args)
        if left is not None and right is not None:
            of_two = plain.of_two(node.text)
            if of_two is not None:
                return _of_two(
                    left, right, of_two, lambda one, other: ask({slots[left]: one, slots[right]: other})
                )
        elif (path := left or right) is not None:
            of_one = plain.with_literal(node, left=path is left)
            if of_one is not None:
                return _of_one(path, of_one, lambda one: ask({slots[path]: one}))

    def test(variables: Mapping[str, Any], seen: dict[str, Any] | None) -> bool:
        values: dict[str, Any] = {}
        missing = False
        for path, slot in slots.items():
            value = resolve(path, variables)
            if value is None:
                missing = True
                continue
            values[slot] = value
            if seen is not None:
                seen[path.text] = value
        return not missing and ask(values)

    return test


def _of_one(path: Path, plainly: plain.Answer, ask: Callable[[Any], bool]) -> Test:
    """Compare one property."""
    text, look = path.text, lookup(path)

    def test(variables: Mapping[str, Any], seen: dict[str, Any] | None) -> bool:
        value = look(variables)
        if value is None:
            return False
        if seen is not None:
            seen[text] = value
        verdict = plainly(value)
        return ask(value) if verdict is None else verdict

    return test


def _of_two(left: Path, right: Path, plainly: plain.Answers, ask: Callable[[Any, Any], bool]) -> Test:
    """Compare two properties."""
    first, second = lookup(left), lookup(right)

    def test(variables: Mapping[str, Any], seen: dict[str, Any] | None) -> bool:
        one, other = first(variables), second(variables)
        if seen is not None:
            seen.update(
                (path.text, value) for path, value in ((left, one), (right, other)) if value is not None
            )
        if one is None or other is None:
            return False
        verdict = plainly(one, other)
        return ask(one, other) if verdict is None else verdict

    return test


def _asked(node: Node, slots: Mapping[Path, str]) -> Callable[[dict[str, Any]], bool]:
    """Compile a comparison for the package; what comes out takes the values by their slots, none missing."""
    unequal = node.kind == "binary" and node.text == "!="
    pattern = "[{0}, {1}]" if unequal else "{0}"
    operands = node.args if unequal else [node]
    program = cel.compile(pattern.format(*(_emit(arg, slots) for arg in operands)))
    widened = None
    if _has_arithmetic(node):
        widened = cel.compile(pattern.format(*(_emit(arg, slots, widen=True) for arg in operands)))

    def ask(values: dict[str, Any]) -> bool:
        result = _run(program, widened, values)
        return _differ(result) if unequal else result is True

    return ask


def _run(program: cel.Program, widened: cel.Program | None, values: dict[str, Any]) -> Any:
    """Evaluate; an int beside a double (40 and 39.9 are both prices) is tried again as doubles."""
    try:
        return program.execute(values)
    except _FAULTS:
        if widened is None:
            return None
    try:
        return widened.execute({name: _widen(value) for name, value in values.items()})
    except _FAULTS:
        return None


def _widen(value: Any) -> Any:
    return float(value) if type(value) is int else value


def _differ(pair: Any) -> bool:
    """Judge `!=`: only of values that compare."""
    if type(pair) is not list:
        return False
    left, right = pair
    numbers = type(left) in _NUMBERS and type(right) in _NUMBERS
    return bool((numbers or type(left) is type(right)) and left != right)


def _has_arithmetic(node: Node) -> bool:
    return (node.kind == "binary" and node.text in _ARITHMETIC) or any(map(_has_arithmetic, node.args))


def _nested(node: Node) -> Test:
    """Compile a comparison with macros or truth values inside: on whole variables, nulls taken out."""
    program = cel.compile(_emit(node, {}, guard=True))
    paths = sorted(paths_of(node))
    roots = {path[0] for path in paths}
    plainly = plain.exists(node)

    def test(variables: Mapping[str, Any], seen: dict[str, Any] | None) -> bool:
        if seen is not None:
            found = {path.text: resolve(path, variables) for path in paths}
            seen.update((name, value) for name, value in found.items() if value is not None)
        if plainly is not None and (verdict := plainly(variables)) is not None:
            return verdict
        values = {name: _without_nulls(variables[name]) for name in roots if variables.get(name) is not None}
        return _run(program, None, values) is True

    return test


def _without_nulls(value: Any) -> Any:
    if type(value) is dict:
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if type(value) is list else value


def _emit(node: Node, slots: Mapping[Path, str], *, guard: bool = False, widen: bool = False) -> str:
    """Write a tree as CEL again: paths as their `slots`, comparisons guarded, int literals as doubles."""
    path = path_of(node)
    if path is not None and path in slots:
        return slots[path]

    def emit(arg: Node) -> str:
        return _emit(arg, slots, guard=guard, widen=widen)

    if node.kind in _LEAVES:
        return f"{node.text}.0" if widen and node.text.isdecimal() else node.text
    args = [emit(arg) for arg in node.args]
    text = _WRITE[node.kind](node.text, args)
    return _guarded(node, text, emit) if guard and node.kind == "binary" and node.text in RELATIONS else text


def _pairs(args: list[str]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in zip(args[::2], args[1::2], strict=True))


_LEAVES = frozenset({"literal", "name"})
_WRITE: dict[str, Callable[[str, list[str]], str]] = {
    "binary": lambda text, args: f"({args[0]} {text} {args[1]})",
    "call": lambda text, args: f"{text}({', '.join(args)})",
    "has": lambda text, args: f"{text}({', '.join(args)})",
    "index": lambda _, args: f"{args[0]}[{args[1]}]",
    "list": lambda _, args: f"[{', '.join(args)}]",
    "macro": lambda text, args: f"{args[0]}.{text}({', '.join(args[1:])})",
    "map": lambda _, args: f"{{{_pairs(args)}}}",
    "method": lambda text, args: f"{args[0]}.{text}({', '.join(args[1:])})",
    "minus": lambda _, args: f"(-{args[0]})",
    "not": lambda _, args: f"(!{args[0]})",
    "select": lambda text, args: f"{args[0]}.{text}",
    "ternary": lambda _, args: f"({args[0]} ? {args[1]} : {args[2]})",
}


def _guarded(node: Node, text: str, emit: Callable[[Node], str]) -> str:
    """Put `has()` before a comparison for each property it selects; `!=` only of values that compare."""
    guards = [f"has({emit(chain)})" for arg in node.args for chain in _selections(arg)]
    if node.text == "!=":
        left, right = map(emit, node.args)
        text = f"({left} < {right} || {left} > {right})"
    return f"({' && '.join([*guards, text])})"


def _selections(node: Node) -> list[Node]:
    """List the selections of an operand, outermost last; what macros inside select is their own business.

    `has` asks whether something is there, and of `?:` only one side is wanted.
    """
    if node.kind in {"has", "ternary"}:
        return []
    if node.kind == "macro":
        return _selections(node.args[0])
    inner = [found for arg in node.args for found in _selections(arg)]
    return [*inner, node] if node.kind == "select" else inner
