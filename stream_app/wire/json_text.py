"""Strict JSON: RFC 8259 in UTF-8, with what I-JSON (RFC 7493) forbids refused instead of guessed at.

Refused: a byte order mark, a name that is there twice, NaN and Infinity, lone surrogates, and nesting beyond
a limit, which is found in one pass over the bytes before anything is parsed.
"""

from __future__ import annotations

import itertools
import json
import re
from typing import Any

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
