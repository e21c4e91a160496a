"""A table's native layers do what the Python ones do, whatever is read, written, committed and aborted.

Two tables are led through the same steps, one over each. After every step they answer the same, and hold the same: the
same rows in the same order in the same layers, and have read, decoded and encoded as often.
"""

from __future__ import annotations

from types import FunctionType
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.engine import layers
from stream_app.engine.store import MemoryRows, Table, TableSpec
from tests.property.examples import examples
from tests.property.native_twins import leaks, native

native_layers = native("native_layers", "stream_app.engine")
UNREADABLE = b"?"
"""A value that can be neither encoded nor decoded."""


def over(base: type) -> type:
    """Return `Table` over one of the twins: what it has of its own is Python in either."""
    own = {name: value for name, value in vars(Table).items() if isinstance(value, FunctionType | property)}
    del own["__init__"]
    return type("Over", (base,), {**own, "__init__": begin})


def begin(self: Any, spec: TableSpec, rows: MemoryRows, room: int) -> None:
    """Do as `Table.__init__`, whose `super` is bound to its own base."""
    super(type(self), self).__init__(spec, rows, room)
    self._rows = rows
    self._sorted = []
    self._few = None


class Counting(NamedTuple):
    """A table, and what it has asked its rows and its codec for."""

    table: Any
    rows: MemoryRows
    asked: list[tuple[str, bytes]]

    @classmethod
    def over(cls, base: type, prefix: bytes, room: int, *, cached: bool) -> Counting:
        asked: list[tuple[str, bytes]] = []

        class Noting(MemoryRows):
            def get(self, key: bytes) -> bytes | None:
                asked.append(("get", key))
                return super().get(key)

        def encode(value: bytearray) -> bytes:
            asked.append(("encode", bytes(value)))
            if value == UNREADABLE:
                msg = "can't be encoded"
                raise ValueError(msg)
            return bytes(value)

        def decode(raw: bytes) -> bytearray:
            asked.append(("decode", raw))
            if raw == UNREADABLE:
                msg = "can't be decoded"
                raise ValueError(msg)
            return bytearray(raw)

        rows = Noting()
        # Another table's row, and one that can't be read, under either prefix.
        rows.write([(b"a", b"of none"), (prefix + b"a", b"there"), (prefix + b"ab", UNREADABLE)], 1)
        spec = TableSpec("words", prefix, encode, decode, cached)
        return cls(over(base)(spec, rows, room), rows, asked)

    def step(self, name: str, *arguments: Any) -> Any:
        """Take a step; return what came of it."""
        table = self.table
        if name == "commit":
            changes = table.changes()
            self.rows.write(changes, 2)
            table.prepared()
            table.committed()
            return changes
        if name == "scan":
            return list(table.scan(*arguments))
        if name == "change":  # in place, as rows' owners do
            found = table.get(arguments[0])
            if found is None:
                return None
            found += arguments[1]
            return table.put(arguments[0], found)
        return getattr(table, name)(*arguments)

    def held(self) -> tuple[Any, ...]:
        """Return all that it holds, in its order."""
        table = self.table
        return (
            table.spec.name,
            table.prefix,
            table.room,
            list(table.overlay.items()),
            list(table.cache.items()),
            sorted(self.rows.scan(b"", None)),
            self.asked,
        )


KEYS = st.text("abc", max_size=2).map(str.encode)
VALUES = st.sampled_from([b"", b"1", b"2", b"3", b"4", UNREADABLE])
STEPS = st.one_of(
    st.tuples(st.sampled_from(["get", "get", "delete", "scan"]), KEYS),
    st.tuples(st.sampled_from(["put", "change"]), KEYS, VALUES),
    st.tuples(st.just("scan"), KEYS, KEYS),
    st.tuples(st.sampled_from(["changes", "commit", "commit", "aborted"])),
)


@examples(400)
@given(
    st.lists(STEPS, max_size=40),
    st.sampled_from([b"", b"w", b"\x00\xff"]),
    st.sampled_from([0, 1, 3, 20]),
    st.booleans(),
)
def test_both_answer_and_hold_the_same_after_every_step(
    steps: list[tuple[Any, ...]], prefix: bytes, room: int, cached: bool
) -> None:
    twins = [
        Counting.over(base, prefix, room, cached=cached) for base in (layers.Layers, native_layers.Layers)
    ]
    for name, *arguments in steps:
        outcomes = []
        for twin in twins:
            # Each has rows of its own: they are changed in place.
            given_to = [
                bytearray(one) if name == "put" and place else one for place, one in enumerate(arguments)
            ]
            try:
                outcomes.append(repr(twin.step(name, *given_to)))
            except ValueError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]
        assert twins[0].held() == twins[1].held()


@pytest.mark.parametrize("cached", [True, False])
def test_what_is_found_is_the_row_itself_and_no_copy(cached: bool) -> None:
    table = Counting.over(native_layers.Layers, b"w", 10, cached=cached).table
    row = bytearray(b"1")
    table.put(b"k", row)
    assert table.get(b"k") is row
    table.changes()
    table.prepared()
    table.committed()
    assert (table.get(b"k") is row) is cached


@pytest.mark.parametrize("key", [None, "a", 1, bytearray(b"a")])
def test_a_key_that_is_no_bytes_is_refused_before_anything_is_changed(key: Any) -> None:
    one = Counting.over(native_layers.Layers, b"w", 10, cached=True)
    before = repr(one.held())
    for step in (("get", key), ("put", key, bytearray(b"1")), ("delete", key)):
        with pytest.raises(TypeError):
            one.step(*step)
    assert repr(one.held()) == before


@pytest.mark.parametrize("cached", [True, False])
def test_it_loses_no_memory(cached: bool) -> None:
    one = Counting.over(native_layers.Layers, b"w", 10, cached=cached)

    def run() -> None:
        one.table.put(b"k", bytearray(b"1"))
        one.table.delete(b"gone")
        for key in (b"k", b"gone", b"a", b"none"):
            one.table.get(key)
        with pytest.raises(ValueError, match="decoded"):
            one.table.get(b"ab")
        with pytest.raises(TypeError):
            one.table.get(None)
        one.table.changes()
        one.table.aborted()
        one.asked.clear()

    assert not leaks(run)
