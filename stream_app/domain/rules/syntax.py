"""CEL's grammar, read into a small tree: what the `cel` package doesn't give.

The package compiles and evaluates; it tells neither where in a condition a name stands nor which comparison
misses a property. The tree is for that: checks that can say where, and for splitting a condition
into its comparisons (conditions.py). Source: the grammar in https://github.com/google/cel-spec (langdef.md).
"""

from __future__ import annotations

import re
from typing import NoReturn

import msgspec

MAX_LENGTH = 2_000
"""Characters of a condition. More is a mistake, and parsers recurse."""
MAX_DEPTH = 40
"""Nesting of a condition."""
MAX_CHAIN = 150
"""Operators, selections or calls one behind another: whatever walks a condition's tree recurses, at run time too."""
MAX_MACROS = 2
"""Macros within or behind one another. Each one multiplies the work by the length of a producer's list, or the length
of its texts: three over a list of four thousand never end."""
MACROS = frozenset({"all", "exists", "exists_one", "map", "filter"})
_TWO = frozenset({2})
_TAKES = {"map": frozenset({2, 3})}
"""How many arguments macros take, where it isn't two."""
RELATIONS = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})

_TOKEN = re.compile(
    r"""(?P<space>(?:\s|//[^\n]*)+)
      |(?P<number>0[xX][0-9a-fA-F]+[uU]?|\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?|\d+[uU]?)
      |(?P<string>[rRbB]{0,2}(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
      |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
      |(?P<mark>==|!=|<=|>=|&&|\|\||[-+*/%<>!?:.,()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)
_LITERALS = {"true", "false", "null"}
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"||"}),
    frozenset({"&&"}),
    RELATIONS,
    frozenset({"+", "-"}),
    frozenset({"*", "/", "%"}),
)


class CelSyntaxError(ValueError):
    """A condition that isn't CEL. `offset`: the character, from 0, where it goes wrong."""

    def __init__(self, message: str, offset: int) -> None:
        """Keep what is wrong and where."""
        super().__init__(message)
        self.offset = offset


class Node(msgspec.Struct):
    """A node of the tree.

    `kind`: literal, name, select, has, index, call, method, macro, not, minus, binary (`text`: the operator),
    ternary, list, map. `text`: the literal, name, field, function or operator. `args`: operands; a method's
    and a macro's first is what it is called on.
    """

    kind: str
    text: str
    offset: int
    args: list[Node] = msgspec.field(default_factory=list)


class _Parser:
    """Recursive descent over the tokens, one method a grammar rule."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens = _tokens(source)
        self.at = 0
        self.depth = 0

    @property
    def text(self) -> str:
        return self.tokens[self.at][1]

    @property
    def offset(self) -> int:
        return self.tokens[self.at][2]

    def fail(self) -> NoReturn:
        found = f"`{self.text}`" if self.text else "the end"
        raise CelSyntaxError(f"{found} is not expected here", self.offset)

    def take(self, text: str) -> bool:
        kind, found, _ = self.tokens[self.at]
        if found != text or kind not in {"mark", "name"}:
            return False
        self.at += 1
        return True

    def need(self, text: str) -> None:
        if not self.take(text):
            self.fail()

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise CelSyntaxError(f"nested more than {MAX_DEPTH} deep", self.offset)
        node = self.binary(0)
        offset = self.offset
        if self.take("?"):
            then = self.binary(0)
            self.need(":")
            node = Node("ternary", "?:", offset, [node, then, self.expression()])
        self.depth -= 1
        return node

    def binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self.unary()
        node = self.binary(level + 1)
        while self.text in _LEVELS[level] and self.tokens[self.at][0] in {"mark", "name"}:
            operator, offset = self.text, self.offset
            self.at += 1
            node = Node("binary", operator, offset, [node, self.binary(level + 1)])
        return node

    def unary(self) -> Node:
        signs: list[tuple[str, int]] = []
        while self.tokens[self.at][0] == "mark" and self.text in {"!", "-"}:
            signs.append((self.text, self.offset))
            self.at += 1
            if len(signs) > MAX_DEPTH:
                raise CelSyntaxError(f"nested more than {MAX_DEPTH} deep", self.offset)
        node = self.member(self.primary())
        for sign, offset in reversed(signs):
            node = Node("not" if sign == "!" else "minus", sign, offset, [node])
        return node

    def member(self, node: Node) -> Node:
        while True:
            offset = self.offset
            if self.take("."):
                name, at = self.name()
                if not self.take("("):
                    node = Node("select", name, at, [node])
                    continue
                args = self.listed(")")
                kind = "macro" if name in MACROS else "method"
                if kind == "macro" and (len(args) not in _TAKES.get(name, _TWO) or args[0].kind != "name"):
                    raise CelSyntaxError(
                        f"{name}() takes a name and what is asked of it, like (x, x > 1)", at
                    )
                node = Node(kind, name, at, [node, *args])
            elif self.take("["):
                node = Node("index", "[]", offset, [node, self.expression()])
                self.need("]")
            else:
                return node

    def name(self) -> tuple[str, int]:
        kind, text, offset = self.tokens[self.at]
        if kind != "name":
            self.fail()
        self.at += 1
        return text, offset

    def primary(self) -> Node:
        kind, text, offset = self.tokens[self.at]
        if kind in {"number", "string"} or (kind == "name" and text in _LITERALS):
            self.at += 1
            return Node("literal", text, offset)
        if self.take("("):
            node = self.expression()
            self.need(")")
            return node
        for opening, closing, built in (("[", "]", "list"), ("{", "}", "map")):
            if self.take(opening):
                return Node(built, opening + closing, offset, self.listed(closing, pairs=built == "map"))
        return self.named()

    def named(self) -> Node:
        name, offset = self.name()
        if name == "in":
            self.at -= 1
            self.fail()
        if not self.take("("):
            return Node("name", name, offset)
        args = self.listed(")")
        if name != "has":
            return Node("call", name, offset, args)
        if len(args) != 1 or args[0].kind not in {"select", "index"}:
            raise CelSyntaxError("has() takes one property, like has(event.sku)", offset)
        return Node("has", name, offset, args)

    def listed(self, end: str, *, pairs: bool = False) -> list[Node]:
        nodes: list[Node] = []
        while not self.take(end):
            nodes.append(self.expression())
            if pairs:
                self.need(":")
                nodes.append(self.expression())
            if not self.take(","):
                self.need(end)
                break
        return nodes


def parse(source: str) -> Node:
    """Read a condition into its tree.

    Raises:
        CelSyntaxError: It isn't CEL, or is too long, too deep or of too many macros.
    """
    if len(source) > MAX_LENGTH:
        raise CelSyntaxError(f"longer than {MAX_LENGTH} characters", MAX_LENGTH)
    parser = _Parser(source)
    node = parser.expression()
    if parser.text:
        parser.fail()
    _refuse_endless(node)
    return node


def _refuse_endless(root: Node) -> None:
    """Refuse a tree that is too deep to walk, or whose macros multiply too often; without recursion itself."""
    waiting = [(root, 1, 0)]
    while waiting:
        node, depth, macros = waiting.pop()
        macros += node.kind == "macro"
        if macros > MAX_MACROS:
            raise CelSyntaxError(
                f"more than {MAX_MACROS} of {', '.join(sorted(MACROS))} within or behind one another",
                node.offset,
            )
        if depth > MAX_CHAIN:
            raise CelSyntaxError(
                f"more than {MAX_CHAIN} operators, selections or calls in a row; `in` takes a list",
                node.offset,
            )
        waiting += [(arg, depth + 1, macros) for arg in node.args]


def _tokens(source: str) -> list[tuple[str, str, int]]:
    """Split into (kind, text, offset), with an empty token at the end."""
    tokens: list[tuple[str, str, int]] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            hint = " (equality is `==`)" if source[at] == "=" else ""
            raise CelSyntaxError(f"`{source[at]}` is not expected here{hint}", at)
        if match.lastgroup != "space":
            tokens.append((str(match.lastgroup), match.group(), at))
        at = match.end()
    return [*tokens, ("end", "", len(source))]
