"""What a handler that fails leaves behind: nothing that the abort of its epoch doesn't forget."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from stream_app.domain.component import Components
from stream_app.domain.customer import ComponentTables, Customer, NoRules
from stream_app.domain.event import Event
from stream_app.domain.messages import EventTo, encode
from stream_app.domain.rows import customer_tables
from tests.property.identity_world import KEY, POLICY, Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator


def to(name: str, time: int, *identifiers: str) -> EventTo:
    event = Event(name, time, "web", "Page Viewed", identifiers, {}, 0, "channel.web/0/0")
    return EventTo("cookie:1", msgspec.Raw(encode(event)), name.encode(), 0)


class Keeping(dict[bytes, Any]):
    """A table that hands out its own objects, as a store's cache does, and knows what was put."""

    def __init__(self) -> None:
        super().__init__()
        self.touched: set[bytes] = set()

    def put(self, key: bytes, value: Any) -> None:
        self.touched.add(key)
        self[key] = value

    def delete(self, key: bytes) -> None:
        self.pop(key, None)

    def scan(self, prefix: bytes, start: bytes | None = None) -> Iterator[tuple[bytes, Any]]:
        yield from [
            (key, self[key]) for key in sorted(self) if key.startswith(prefix) and key >= (start or b"")
        ]


class Failing(NoRules):
    fails = False

    def on_event(self, customer: Customer, event: Event, *, late: bool, stamp: int) -> None:
        if self.fails:
            raise RuntimeError("planted")


def test_a_handler_that_fails_has_put_every_row_that_it_changed() -> None:
    kept = {spec.name: Keeping() for spec in customer_tables()}
    rules = Failing()
    components = Components(POLICY, KEY, ComponentTables(**kept), Recorder(lambda *_: None), rules)
    components.handle(to("e1", 5, "cookie:1"))
    for table in kept.values():
        table.touched.clear()
    before = {name: {key: encode(row) for key, row in table.items()} for name, table in kept.items()}
    rules.fails = True
    with pytest.raises(RuntimeError, match="planted"):
        components.handle(to("e2", 6, "user_id:ana", "cookie:1"))
    for name, table in kept.items():
        changed = {key for key, row in table.items() if before[name].get(key) != encode(row)}
        assert changed <= table.touched
    assert kept["customers"].touched
