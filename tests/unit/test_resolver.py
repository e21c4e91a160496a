"""The resolver's transitions, one by one (their interplay: tests/property/test_resolver_protocol.py)."""

from __future__ import annotations

from typing import Any

import msgspec

from stream_app.domain.messages import (
    EventAt,
    EventTo,
    Link,
    Linked,
    LookupMessage,
    Message,
    Repoint,
    Topic,
    Union,
    decode_lookup,
    encode,
)
from stream_app.domain.resolver import Resolver
from stream_app.domain.rows import KNOWN_INLINE, RESOLVER_TABLES
from tests.property.identity_world import POLICY, MemoryTable, tables

RAW = msgspec.Raw(encode({"an": "event, which the resolver doesn't read"}))


class CountingTable(MemoryTable):
    gets = puts = 0

    def get(self, key: bytes) -> Any:
        self.gets += 1
        return super().get(key)

    def put(self, key: bytes, value: Any) -> None:
        self.puts += 1
        super().put(key, value)


class Desk:
    """A resolver with its tables and what it sent."""

    def __init__(self) -> None:
        self.rows = CountingTable(RESOLVER_TABLES[0])
        self.neighbours = tables(RESOLVER_TABLES)["neighbours"]
        self.sent: list[tuple[Topic, str, Message]] = []
        self.resolver = Resolver(
            POLICY, self.rows, self.neighbours, lambda *message: self.sent.append(message)
        )

    def __call__(self, message: LookupMessage) -> list[Message]:
        self.sent.clear()
        self.resolver.handle(decode_lookup(encode(message)))
        for topic, key, sent in self.sent:
            assert (topic, key) == addressed(sent)
        return [message for _, _, message in self.sent]

    def label(self, identifier: str) -> str:
        return str(self.rows.get(identifier.encode()).label)


def addressed(message: Any) -> tuple[Topic, str]:
    if isinstance(message, EventTo):
        return Topic.COMPONENTS, message.label
    if isinstance(message, Union):
        return Topic.COMPONENTS, message.loser
    return Topic.LOOKUP, message.target if isinstance(message, Link) else message.origin


def seen(*identifiers: str) -> EventAt:
    return EventAt(RAW, identifiers, b"payload", 7)


def to(label: str) -> EventTo:
    return EventTo(label, RAW, b"payload", 7)


def test_a_new_identifier_begins_under_its_own_label() -> None:
    desk = Desk()
    assert desk(seen("cookie:1")) == [to("cookie:1")]
    assert desk.label("cookie:1") == "cookie:1"


def test_an_event_asks_each_neighbour_until_it_has_answered() -> None:
    desk = Desk()
    ask = Link("cookie:1", "user_id:1", "user_id:1", 7)
    assert desk(seen("user_id:1", "cookie:1")) == [to("user_id:1"), ask]
    assert desk(seen("user_id:1", "cookie:1")) == [to("user_id:1"), ask]
    assert desk(Linked("user_id:1", "cookie:1")) == []
    assert desk(seen("user_id:1", "cookie:1")) == [to("user_id:1")]


def test_a_known_event_takes_one_read_no_write_and_one_message() -> None:
    desk = Desk()
    desk(seen("user_id:1", "cookie:1"))
    desk(Linked("user_id:1", "cookie:1"))
    desk.rows.gets = desk.rows.puts = 0
    assert len(desk(seen("user_id:1", "cookie:1"))) == 1
    assert (desk.rows.gets, desk.rows.puts) == (1, 0)


def test_an_identifier_that_was_never_seen_adopts_the_smaller_label_of_who_links_to_it() -> None:
    desk = Desk()
    assert desk(Link("cookie:1", "user_id:1", "user_id:9", 7)) == [Linked("user_id:1", "cookie:1")]
    assert desk(seen("cookie:1")) == [to("user_id:9")]


def test_an_identifier_that_was_seen_keeps_its_label_and_asks_for_a_union() -> None:
    desk = Desk()
    desk(seen("cookie:1"))
    answer = desk(Link("cookie:1", "user_id:1", "user_id:1", 7))
    assert answer == [
        Union("cookie:1", "user_id:1", ("user_id:1", "cookie:1"), 7),
        Linked("user_id:1", "cookie:1"),
    ]
    assert desk.label("cookie:1") == "cookie:1"


def test_a_new_identifier_with_the_smaller_label_begins_and_wins_the_union() -> None:
    desk = Desk()
    small, large = sorted(("email:1", "email:2"), key=POLICY.rank)
    answer = desk(Link(small, large, large, 7))
    assert answer == [Union(large, small, (large, small), 7), Linked(large, small)]
    assert desk.label(small) == small


def test_a_link_that_is_there_already_is_only_answered() -> None:
    desk = Desk()
    desk(Link("cookie:1", "user_id:1", "user_id:1", 7))
    assert desk(Link("cookie:1", "user_id:1", "user_id:1", 7)) == [Linked("user_id:1", "cookie:1")]


def test_a_label_is_only_ever_replaced_by_a_smaller_one() -> None:
    desk = Desk()
    desk(seen("cookie:1"))
    assert desk(Repoint("cookie:1", "user_id:1", "cookie:1", 7)) == []
    assert desk(Repoint("cookie:1", "email:1", "cookie:1", 7)) == []
    assert desk.label("cookie:1") == "user_id:1"


def test_a_repoint_that_overtakes_its_link_asks_for_the_union_itself() -> None:
    desk = Desk()
    desk(seen("cookie:1"))
    union = Union("cookie:1", "user_id:1", ("cookie:1", "cookie:1"), 7)
    assert desk(Repoint("cookie:1", "user_id:1", "email:1", 7)) == [union]


def test_a_repoint_gives_a_label_to_an_identifier_that_was_never_seen_if_it_is_smaller() -> None:
    desk = Desk()
    desk(Repoint("cookie:1", "user_id:1", "email:1", 7))
    desk(Repoint("user_id:2", "cookie:1", "cookie:2", 7))
    assert desk.label("cookie:1") == "user_id:1"
    assert desk.rows.get(b"user_id:2") is None


def test_an_answer_to_a_question_never_asked_changes_nothing() -> None:
    desk = Desk()
    assert desk(Linked("user_id:1", "cookie:1")) == []
    assert len(desk.rows) == 0


def test_neighbours_without_end_do_not_make_a_row_without_end() -> None:
    desk = Desk()
    cookies = [f"cookie:{number}" for number in range(200)]
    for cookie in cookies:
        desk(seen("user_id:1", cookie))
        desk(Linked("user_id:1", cookie))
        desk(Linked("user_id:1", cookie))
    assert len(desk.rows.get(b"user_id:1").known) == KNOWN_INLINE
    assert len(desk.neighbours) == len(cookies) - KNOWN_INLINE
    assert all(desk(seen("user_id:1", cookie)) == [to("user_id:1")] for cookie in cookies)
    assert len(desk(seen("user_id:1", "cookie:new"))) == 2
