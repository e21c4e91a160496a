"""Properties by the names that lead to them: found in a condition, and looked up in the variables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream_app.domain.rules.syntax import Node

_NOTHING = frozenset[str]()


class Path(tuple[str, ...]):
    """A property by the names that lead to it: ("event", "price")."""

    __slots__ = ()

    @property
    def text(self) -> str:
        """As it is written, `event.price`."""
        return ".".join(self)


def names_below(paths: Iterable[tuple[str, ...]], root: str) -> frozenset[str] | None:
    """Return the names right below a variable that paths go by; None where one stops at the variable itself."""
    found = [path for path in paths if path[0] == root]
    return None if any(len(path) == 1 for path in found) else frozenset(path[1] for path in found)


def resolve(path: tuple[str, ...], variables: Mapping[str, Any]) -> Any:
    """Return the value at `path`, or None."""
    value = variables.get(path[0])
    for name in path[1:]:
        if type(value) is not dict:
            return None
        value = value.get(name)
    return value


def lookup(path: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Any]:
    """Return `resolve` of a path, the quickest way for its length."""
    if len(path) != 2:  # noqa: PLR2004 - a variable and a name
        return lambda variables: resolve(path, variables)
    root, name = path

    def look(variables: Mapping[str, Any]) -> Any:
        value = variables.get(root)
        return value.get(name) if type(value) is dict else None

    return look


def path_of(node: Node, bound: frozenset[str] = _NOTHING) -> Path | None:
    """Return the path that a chain of selections (and indices by a plain string) spells, if it is one."""
    names: list[str] = []
    while node.kind != "name":
        if node.kind == "select":
            names.append(node.text)
        elif node.kind == "index" and (literal := node.args[1]).kind == "literal" and _is_plain(literal.text):
            names.append(literal.text[1:-1])
        else:
            return None
        node = node.args[0]
    return None if node.text in bound else Path((node.text, *reversed(names)))


def _is_plain(literal: str) -> bool:
    """Tell whether a literal is a string without prefix, escapes or triple quotes."""
    return literal[0] in "'\"" and "\\" not in literal and literal[:3] not in {"'''", '"""'}


def paths_of(node: Node, bound: frozenset[str] = _NOTHING) -> set[Path]:
    """Collect the longest paths of a tree."""
    path = path_of(node, bound)
    if path is not None:
        return {path}
    if node.kind == "macro":
        inner = bound | {node.args[1].text}
        return paths_of(node.args[0], bound).union(*(paths_of(arg, inner) for arg in node.args[2:]))
    return {path for arg in node.args for path in paths_of(arg, bound)}
