"""Sound JSON has a faster parser: whatever the bytes, it and Python's come to the same value or the same refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream_app.domain.refusal import Refused
from stream_app.wire.json_text import parse_json, strictly

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", ":", '":', " :", "a:b", "{", "}", "'"])
)
names = st.sampled_from(["a", "b", "a:", "", "\u00e9"]) | st.text(max_size=5)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4)
)
separators = st.sampled_from([(",", ":"), (", ", ": "), (" , ", " : "), (",\n", "\t:\r")])


def outcome(parse: Any, data: bytes) -> str:
    """What becomes of bytes, with every value's type: 1 is not 1.0 is not True."""
    try:
        return repr(parse(data))
    except Refused as refusal:
        return f"{refusal.reason}: {refusal.detail}"


def same(data: bytes) -> None:
    assert outcome(lambda data: parse_json(data, 1000), data) == outcome(strictly, data)


@settings(deadline=None)
@given(documents, separators, st.booleans(), st.sampled_from([None, 1]))
def test_a_document_is_the_same(document, separators, ascii_only, indent):
    text = json.dumps(document, separators=separators, ensure_ascii=ascii_only, indent=indent)
    same(text.encode(errors="surrogatepass"))


@settings(deadline=None)
@given(st.lists(st.tuples(names, documents), min_size=1, max_size=4), separators)
def test_a_name_that_is_there_twice_is_found_wherever_it_is(pairs, separators):
    between, behind = separators
    members = [
        json.dumps(name, ensure_ascii=False) + behind + json.dumps(value, ensure_ascii=False)
        for name, value in pairs
    ]
    text = "{" + between.join(members) + "}"
    for data in (text, '{"x":[1,' + text + "]}"):
        same(data.encode(errors="surrogatepass"))


@settings(deadline=None)
@given(documents, st.data())
def test_what_is_no_json_any_more_is_refused_the_same(document, data):
    value = bytearray(json.dumps(document, ensure_ascii=False).encode(errors="surrogatepass"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at] = data.draw(st.sampled_from(b'"\\{}[]:, \n09.-eE\x00\xff\x7f') | st.integers(0, 255))
    same(bytes(value))


@given(st.from_regex(rb"-?[0-9]{1,30}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?", fullmatch=True))
@example(b"-0")
@example(b"1e999")
@example(b"1" * 5000)
def test_a_number_is_the_same(digits):
    same(digits)


@pytest.mark.parametrize(
    "text",
    ['{"a":1,"a":2}', '{"a" :1,"a" :"b"}', '{"a":{"b":1,"b":[]}}', '[{"a":"x","a":"x"}]', '{"":"":""}'],
)
def test_what_names_something_twice_is_refused(text):
    with pytest.raises(Refused):
        parse_json(text.encode(), 32)
