"""Strict JSON: RFC 8259 in UTF-8, with what I-JSON (RFC 7493) forbids refused instead of guessed at.

Refused: a byte order mark, a name that is there twice, NaN and Infinity, lone surrogates, and nesting beyond
a limit, which is found in one pass over the bytes before anything is parsed.

Most JSON has no backslash, and is right: msgspec reads it in a third of the time, and that no name was there twice
shows in the number of quotes. All else is left to Python's parser, which is held to the rules above step by step.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

import msgspec

from stream_app.domain.refusal import Reason, Refused

_BOM = b"\xef\xbb\xbf"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_STRING = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)
_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class _RepeatedNameError(ValueError):
    """A name is there twice in one object."""


class _NotANumberError(ValueError):
    """NaN, Infinity or -Infinity."""


def parse_json(data: bytes, depth: int) -> Any:
    """Return the JSON value in `data`; integers have any size, and floats may be infinite (1e999).

    Args:
        data: UTF-8.
        depth: how many levels of lists and objects are allowed.

    Raises:
        Refused: UNDECODABLE, INVALID_UTF8, TOO_DEEP or, for a repeated name or NaN, INVALID_FIELD.
    """
    if data.startswith(_BOM):
        raise Refused(Reason.UNDECODABLE, "the JSON begins with a byte order mark: send it without one")
    if deeper_than(data, depth):
        raise Refused(Reason.TOO_DEEP, f"the JSON is nested more than {depth} levels deep")
    if b"\\" not in data:
        try:
            value = msgspec.json.decode(data)
            if 2 * _strings_in(value) == data.count(b'"'):
                return value
        except (ValueError, RecursionError):
            return strictly(data)  # which says what is wrong with it
    return strictly(data)


def strictly(data: bytes) -> Any:
    """Return the JSON value in `data`, read by Python's parser: the slow way of `parse_json`, and its measure."""
    try:
        value = _DECODER.decode(data.decode())
    except UnicodeDecodeError:
        raise Refused(Reason.INVALID_UTF8, "the JSON is not UTF-8") from None
    except _RepeatedNameError:
        raise Refused(Reason.INVALID_FIELD, "an object of the JSON has a name twice") from None
    except _NotANumberError:
        raise Refused(Reason.INVALID_FIELD, "the JSON has NaN or Infinity, which are no numbers") from None
    except json.JSONDecodeError as error:
        raise Refused(Reason.UNDECODABLE, f"no JSON: {error.msg}, at character {error.pos}") from None
    except ValueError:  # Python's limit on an integer's digits
        raise Refused(Reason.UNDECODABLE, "the JSON has an integer of thousands of digits") from None
    if _SURROGATE.search(data):
        _refuse_lone_surrogates(value)
    return value


def _strings_in(value: Any) -> int:
    """Count names and texts: where no quote is escaped, each has two, and a name that was there twice is missing."""
    kind = type(value)
    if kind is not dict and kind is not list:
        return int(kind is str)
    count = len(value) if kind is dict else 0
    for part in value.values() if kind is dict else value:
        kind = type(part)
        if kind is str:
            count += 1
        elif kind is dict or kind is list:
            count += _strings_in(part)
    return count


def deeper_than(data: bytes, depth: int) -> bool:
    """Say whether brackets outside of strings nest more than `depth` levels, in time linear in the bytes."""
    if data.count(b"[") + data.count(b"{") <= depth:
        return False
    brackets = _STRING.sub(b"", data).translate(None, _BRACKETS)
    levels = itertools.accumulate(map(_STEP.__getitem__, brackets))
    return max(levels, default=0) > depth


def compact_json(value: Any) -> str:
    """Return the JSON text of a value, without spaces; ValueError when a number in it is not finite."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _refuse_lone_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Refused(Reason.INVALID_UTF8, "the JSON has half of a surrogate pair") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _RepeatedNameError
    return found


def _constant(_name: str) -> float:
    raise _NotANumberError


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
