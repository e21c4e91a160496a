"""What `stock` means in a rule with `near`: which products the store had.

A store has more products than a condition could be shown. Shown are those that may be asked about:
1. what she has wished for, and what is in her baskets: so `size(stock) > 0` asks whether it has something for her;
2. what the condition itself names: by a text (`"A" in stock`), by a property (`opened.sku in stock`), one of two
   (`(has(opened.sku) ? opened.sku : opened.product_id) in stock`), or as the items of a list
   (`customer.recently_viewed.exists(sku, sku in stock)`).

`stock[sku]` is asked for its truth, or compared with 0 or 1 or a truth value; each is read as `sku in stock` or its
opposite. How many a store had, nobody keeps (`domain.stock`). What asks for more, or for a product in a way that can't
be looked up, is refused when the rule is read: else it would be false without a word, and its negation true.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import cel

from stream_app.domain.rules.paths import Path, path_of, resolve
from stream_app.domain.rules.plain import COMPARE, MIRRORED, literal
from stream_app.domain.rules.syntax import CelSyntaxError, Node, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Bound = Mapping[str, Path | list[Node] | None]
    """Names of the macros around -> the list that each stands for the items of: at a path, or written out."""

STOCK = "stock"
HAS = 1
"""What stands for a product that the store had."""
_LOGIC = frozenset({"&&", "||"})
_JUDGE = frozenset({"all", "exists", "exists_one", "filter"})
"""Macros whose last part is a truth value."""


class Asked(NamedTuple):
    """Products that a condition asks for: the `sku` itself, or what `path` leads to; `each`: in the items of a list."""

    sku: str = ""
    path: Path = Path()
    each: tuple[str, ...] | None = None

    def among(self, variables: Mapping[str, Any]) -> Iterator[Any]:
        """Yield what is asked for, as the variables are."""
        if self.sku:
            yield self.sku
        elif self.each is None:
            yield resolve(self.path, variables)
        else:
            items = resolve(self.path, variables)
            for item in items if type(items) is list else ():
                yield resolve(("", *self.each), {"": item})


def asked(source: str) -> frozenset[Asked]:
    """Return what a condition asks the store for by name.

    Raises:
        CelSyntaxError: It asks in a way that can't be answered.
    """
    return frozenset(_asked(spelled_out(parse(source)), {}))


def named(found: frozenset[Asked], variables: Mapping[str, Any]) -> set[str]:
    """Return the products that a condition asks for, as the variables are."""
    return {sku for one in found for sku in one.among(variables) if type(sku) is str}


# -- what `stock[...]` stands for -----------------------------------------------------------------------


def spelled_out(node: Node, *, truth: bool = True) -> Node:
    """Return a tree with `sku in stock` for each `stock[sku]`; `truth`: a truth value is wanted here.

    Raises:
        CelSyntaxError: It is asked for more than whether the store had it.
    """
    if node.kind == "macro" and node.args[1].text == STOCK:
        _refuse("`stock` is what the store has; take another name for the items", node.args[1])
    key = _key(node)
    if key is not None and node.kind != "binary":
        if truth:
            return _in_stock(node, key)
        _refuse("ask only whether the store has it: `stock[sku]`, or `sku in stock`", node.args[0])
    if node.kind == "binary" and node.text in COMPARE:
        left, right = node.args
        for one, other, relation in ((left, right, node.text), (right, left, MIRRORED[node.text])):
            key, value = _key(one), literal(other)
            if key is not None and one.kind != "binary" and value is not None:
                return _whether(one, key, relation, value)
    if node.kind == "has":
        return node
    inner = node.kind == "not" or (node.kind == "binary" and node.text in _LOGIC)
    args = []
    for place, arg in enumerate(node.args):
        judged = node.kind == "macro" and node.text in _JUDGE and place == len(node.args) - 1
        chosen = node.kind == "ternary" and (place == 0 or truth)
        args.append(spelled_out(arg, truth=inner or judged or chosen))
    return Node(node.kind, node.text, node.offset, args)


def _refuse(why: str, at: Node) -> NoReturn:
    raise CelSyntaxError(why, at.offset)


def _key(node: Node) -> Node | str | None:
    """Return what a node asks the store for: a product's name, or what says it; None of what doesn't ask."""
    if node.kind == "select" and _is_stock(node.args[0]):
        return node.text
    if node.kind == "index" and _is_stock(node.args[0]):
        return node.args[1]
    if node.kind == "binary" and node.text == "in" and _is_stock(node.args[1]):
        return node.args[0]
    return None


def _is_stock(node: Node) -> bool:
    return node.kind == "name" and node.text == STOCK


def _in_stock(node: Node, key: Node | str) -> Node:
    name = Node("literal", f"'{key}'", node.offset) if isinstance(key, str) else key
    return Node("binary", "in", node.offset, [name, node.args[0]])


def _whether(node: Node, key: Node | str, relation: str, value: Any) -> Node:
    """Return what a comparison of `stock[...]` with a literal comes to: that the store has it, or that it hasn't."""
    if not isinstance(value, bool | int | float) or value not in (0, 1):
        _refuse("how many a store has isn't known, only whether it has any: compare with 0", node.args[0])
    if isinstance(value, bool) and relation not in {"==", "!="}:
        _refuse("a truth value is equal to another or not, no more", node.args[0])
    with_it, without = COMPARE[relation](HAS, value), COMPARE[relation](0, value)
    if with_it == without:
        _refuse("this says the same of what the store has and of what it hasn't: compare `> 0`", node.args[0])
    found = _in_stock(node, key)
    return found if with_it else Node("not", "", node.offset, [found])


# -- which products are asked for -----------------------------------------------------------------------


def _asked(node: Node, bound: Bound) -> Iterator[Asked]:
    key = _key(node)
    if isinstance(key, str):
        yield Asked(sku=key)
    elif key is not None:
        yield from _named_by(key, bound)
    if node.kind != "macro":
        for arg in node.args:
            yield from _asked(arg, bound)
        return
    yield from _asked(node.args[0], bound)
    inner = {**bound, node.args[1].text: _items(node.args[0], bound)}
    for arg in node.args[2:]:
        yield from _asked(arg, inner)


def _items(node: Node, bound: Bound) -> Path | list[Node] | None:
    """Return the list that a macro goes through, as far as it can be looked up."""
    while node.kind == "macro" and node.text == "filter":
        node = node.args[0]
    if node.kind == "list":
        return node.args
    path = path_of(node)
    return None if path is None or path[0] in bound else path


def _named_by(key: Node, bound: Bound) -> Iterator[Asked]:
    path = path_of(key)
    items = None if path is None else bound.get(path[0])
    if key.kind == "ternary":
        for arm in key.args[1:]:
            yield from _named_by(arm, bound)
    elif (text := _text(key)) is not None:
        if text:
            yield Asked(sku=text)
    elif path is not None and path[0] not in bound:
        yield Asked(path=path)
    elif path is not None and isinstance(items, Path):
        yield Asked(path=items, each=path[1:])
    elif isinstance(items, list) and path is not None and len(path) == 1:
        for item in items:
            yield from _named_by(item, {})
    else:
        why = "can't tell which product is meant: name it by a text, a property, or the items of a list"
        _refuse(why, key)


def _text(node: Node) -> str | None:
    """Return the text that a literal is, in whatever way it is written."""
    if node.kind != "literal" or node.text[-1] not in "'\"":
        return None
    value = cel.compile(node.text).execute({})
    return value if isinstance(value, str) else None
