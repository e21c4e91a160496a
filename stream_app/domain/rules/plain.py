"""Comparisons that Python answers as the `cel` package would, several times cheaper.

Most of what rules ask is plain: a property beside a literal (`event.rating <= 2`), one of a list of strings, two
properties beside each other (`event.sku == opened.sku`), or that of the products of an order. Calling the package costs
microseconds each, as all values are carried over into it. Here is answered only where both sides are of one of the
types that Python and CEL compare alike: text, whole numbers of 64 bits, doubles, truth values. Everything else is
None: the package is asked. tests/property/test_plain_comparisons.py holds both against each other.
"""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any

from stream_app.domain.rules.paths import lookup, path_of
from stream_app.domain.rules.syntax import RELATIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_app.domain.rules.syntax import Node

    Compare = Callable[[Any, Any], bool]
    Answer = Callable[[Any], bool | None]
    """(value of the property) -> verdict, or None."""
    Answers = Callable[[Any, Any], bool | None]

COMPARE: dict[str, Compare] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
MIRRORED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_ORDERED = frozenset({str, int, float})
_LIKE = frozenset({"==", "!="})
_INT = re.compile(r"\d{1,18}")
_DOUBLE = re.compile(r"\d+\.\d+")
_MOST, _LEAST = (1 << 63) - 1, -(1 << 63)


def literal(node: Node) -> Any:
    """Return the value of a plain literal; None of any other node."""
    if node.kind == "minus" and node.args[0].kind == "literal":
        value = literal(node.args[0])
        return -value if type(value) in {int, float} else None
    return _value(node.text) if node.kind == "literal" else None


def _value(text: str) -> Any:
    if text in {"true", "false"}:
        return text == "true"
    if _INT.fullmatch(text):
        return int(text)
    if _DOUBLE.fullmatch(text):
        return float(text)
    is_plain = text[0] in "'\"" and "\\" not in text and text[:3] not in {"'''", '"""'}
    return text[1:-1] if is_plain else None


def with_literal(node: Node, *, left: bool) -> Answer | None:
    """Return how to answer a relation of a property and a literal; `left`: the property stands there."""
    if node.text == "in":
        return _among(node.args[1]) if left else None
    value = literal(node.args[1 if left else 0])
    kind = type(value)
    if value is None or (kind is bool and node.text not in _LIKE):
        return None
    compare = COMPARE[node.text if left else MIRRORED[node.text]]
    if kind is int:
        return lambda one: compare(one, value) if type(one) is int and _LEAST <= one <= _MOST else None
    return lambda one: compare(one, value) if type(one) is kind else None


def _among(node: Node) -> Answer | None:
    """Return how to answer whether text is in a list of literals."""
    found = [literal(arg) for arg in node.args] if node.kind == "list" else []
    if not found or any(type(one) is not str for one in found):
        return None
    wanted = frozenset(found)
    return lambda one: one in wanted if type(one) is str else None


def of_two(relation: str) -> Answers | None:
    """Return how to answer a relation of two properties."""
    compare = COMPARE.get(relation)
    if compare is None:
        return None

    def answer(one: Any, other: Any) -> bool | None:
        kind = type(one)
        if kind is not type(other) or kind not in _ORDERED:
            return None
        if kind is int and not (_LEAST <= one <= _MOST and _LEAST <= other <= _MOST):
            return None
        return compare(one, other)

    return answer


def exists(node: Node) -> Callable[[Mapping[str, Any]], bool | None] | None:
    """Return how to answer `list.exists(x, ...)` of a plain comparison without the package, if it is that."""
    if node.kind != "macro" or node.text != "exists":
        return None
    path, name = path_of(node.args[0]), node.args[1].text
    inner = _relation(node.args[2])
    if path is None or inner is None:
        return None

    look = lookup(path)

    def answer(variables: Mapping[str, Any]) -> bool | None:
        values = look(variables)
        if values is None:
            return False
        if type(values) is not list:
            return None
        scope = dict(variables)
        unsure = False
        for value in values:
            scope[name] = value
            verdict = inner(scope)
            if verdict:
                return True
            unsure = unsure or verdict is None
        return None if unsure else False

    return answer


def _relation(node: Node) -> Callable[[Mapping[str, Any]], bool | None] | None:
    """Return how to answer a relation, but `!=`, inside a macro; None where the package must be asked."""
    if node.kind != "binary" or node.text not in RELATIONS or node.text == "!=":
        return None
    left, right = (path_of(arg) for arg in node.args)
    if left is not None and right is not None:
        compare = of_two(node.text)
        if compare is None:
            return None
        first, second = lookup(left), lookup(right)

        def answer_two(scope: Mapping[str, Any]) -> bool | None:
            one, other = first(scope), second(scope)
            return False if one is None or other is None else compare(one, other)

        return answer_two
    path = left or right
    of_one = None if path is None else with_literal(node, left=path is left)
    if path is None or of_one is None:
        return None

    look = lookup(path)

    def answer_one(scope: Mapping[str, Any]) -> bool | None:
        value = look(scope)
        return False if value is None else of_one(value)

    return answer_one
