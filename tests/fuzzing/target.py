"""What a fuzz target is: a function of bytes that returns, or raises because a promise is broken.

A target decodes its input the same way every time, so that one file says all that is needed to see a finding again.
Parts of an input (headers, a value) are told apart by `parts`; nothing else is agreed between targets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

SEPARATOR = b"\x00\xff"


class Target(msgspec.Struct, frozen=True):
    """A surface that bytes of others reach.

    Attributes:
        name: of its corpus's folder.
        run: takes one input; whatever it raises is a finding.
        seeds: sound inputs, made by real encoders or taken from what ships.
        longest: bytes of an input that are tried.
    """

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    longest: int = 4_096


def parts(data: bytes, number: int) -> list[bytes]:
    """Split an input; parts that aren't there are empty."""
    found = data.split(SEPARATOR, number - 1)
    return found + [b""] * (number - len(found))


def joined(*pieces: bytes) -> bytes:
    """Make an input of its parts."""
    return SEPARATOR.join(pieces)


def headers_of(data: bytes) -> list[tuple[str, bytes | None]]:
    """Read headers, a line each: name, =, value; without =, the value is null."""
    found: list[tuple[str, bytes | None]] = []
    for line in data.split(b"\n") if data else ():
        name, equals, value = line.partition(b"=")
        found.append((name.decode(errors="replace"), value if equals else None))
    return found


def written_headers(headers: Iterable[tuple[str, bytes | None]]) -> bytes:
    """Write headers as `headers_of` reads them."""
    return b"\n".join(name.encode() + (b"" if value is None else b"=" + value) for name, value in headers)


def outcome(function: Callable[..., Any], *arguments: Any) -> str:
    """Return what comes of a call, with every value's type: 1 is not 1.0 is not True, and -0.0 is not 0.0."""
    try:
        return repr(function(*arguments))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other one must say it too
        return f"{type(error)}: {error}"
