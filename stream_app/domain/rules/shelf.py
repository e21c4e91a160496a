"""What `stock` means in a rule with `near`: which products the store had.

A store has more products than a condition could be shown. Shown are those that may be asked about:
1. what she has wished for, and what is in her baskets: so `size(stock) > 0` asks whether it has something for her;
2. what the condition itself names, in so many words (`stock["A"] > 0`, `"A" in stock`), by a property
   (`stock[opened.sku] > 0`), or as the items of a list (`customer.recently_viewed.exists(sku, sku in stock)`).

Of these, those that the store had are 1; where a truth value is wanted, `stock[sku]` is `sku in stock`. How many it
had, nobody keeps (`domain.stock`): so a condition can compare with 0 and 1, and what asks for more is refused when the
rule is read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.domain.rules.paths import Path, path_of, resolve
from stream_app.domain.rules.plain import COMPARE, MIRRORED, literal
from stream_app.domain.rules.syntax import CelSyntaxError, Node, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

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
        CelSyntaxError: It takes `stock[...]` for a number of pieces.
    """
    tree = parse(source)
    _check(tree)
    return frozenset(_asked(tree, {}))


def named(found: frozenset[Asked], variables: Mapping[str, Any]) -> set[str]:
    """Return the products that a condition asks for, as the variables are."""
    return {sku for one in found for sku in one.among(variables) if type(sku) is str}


def _is_stock(node: Node) -> bool:
    return node.kind == "name" and node.text == STOCK


def _key(node: Node) -> Node | str | None:
    """Return what a node asks the store for: a product's name, or what says it; None of what doesn't ask."""
    if node.kind == "select" and _is_stock(node.args[0]):
        return node.text
    if node.kind == "index" and _is_stock(node.args[0]):
        return node.args[1]
    if node.kind == "binary" and node.text == "in" and _is_stock(node.args[1]):
        return node.args[0]
    return None


def _asked(node: Node, bound: Mapping[str, Path | None]) -> Iterator[Asked]:
    """Walk a tree; `bound`: the names of the macros around, and the lists that they stand for the items of."""
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
    inner = {**bound, node.args[1].text: path_of(_whole(node.args[0]))}
    for arg in node.args[2:]:
        yield from _asked(arg, inner)


def _whole(node: Node) -> Node:
    """Return the list that parts are filtered from."""
    while node.kind == "macro" and node.text == "filter":
        node = node.args[0]
    return node


def _named_by(key: Node, bound: Mapping[str, Path | None]) -> Iterator[Asked]:
    value, path = literal(key), path_of(key)
    if isinstance(value, str):
        yield Asked(sku=value)
    elif path is not None and path[0] not in bound:
        yield Asked(path=path)
    elif path is not None and (items := bound[path[0]]) is not None:
        yield Asked(path=items, each=path[1:])


def spelled_out(node: Node, *, truth: bool = True, inside: bool = False) -> Node:
    """Return a tree that says in so many words what `stock[...]` means.

    Where a truth value is wanted (`truth`), `stock[sku]` is `sku in stock`. So is, `inside` a macro, whatever holds of
    what the store had: there CEL makes an error of the whole of it where one product is missing.
    """
    key = _key(node)
    if truth and key is not None and node.kind != "binary":
        return _in_stock(node, key)
    if inside and (found := _compared(node)) is not None:
        one, number, relation = found
        key = _key(one)
        if key is not None and relation(HAS, number):
            return _in_stock(one, key)
    inner = node.kind == "not" or (node.kind == "binary" and node.text in _LOGIC)
    args = []
    for place, arg in enumerate(node.args):
        judged = node.kind == "macro" and node.text in _JUDGE and place == len(node.args) - 1
        chosen = node.kind == "ternary" and (place == 0 or truth)
        within = inside or (node.kind == "macro" and place > 0)
        args.append(spelled_out(arg, truth=inner or judged or chosen, inside=within))
    return Node(node.kind, node.text, node.offset, args)


def _in_stock(node: Node, key: Node | str) -> Node:
    name = Node("literal", f"'{key}'", node.offset) if isinstance(key, str) else key
    return Node("binary", "in", node.offset, [name, node.args[0]])


def _compared(node: Node) -> tuple[Node, Any, Callable[[Any, Any], bool]] | None:
    """Return what a relation compares with a literal: a node, the literal's value, and (node, literal) -> verdict."""
    if node.kind != "binary" or node.text not in COMPARE:
        return None
    left, right = node.args
    if (value := literal(right)) is not None:
        return left, value, COMPARE[node.text]
    if (value := literal(left)) is not None:
        return right, value, COMPARE[MIRRORED[node.text]]
    return None


def _check(node: Node) -> None:
    """Refuse what takes a product of `stock` for more than had or not."""
    found = _compared(node)
    if found is not None and _key(found[0]) is not None and found[1] not in (0, 1):
        what = "how many a store has isn't known, only whether it has any: compare with 0"
        raise CelSyntaxError(what, found[0].args[0].offset)
    for arg in node.args:
        _check(arg)
