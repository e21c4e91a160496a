"""The resolver's transitions, one by one, on labels (their interplay: tests/property/test_resolver_protocol.py)."""

from __future__ import annotations

from typing import Any

import msgspec

from stream_app.domain import resolver
from stream_app.domain.commands import Command, Op
from stream_app.domain.messages import (
    CommandAt,
    CommandTo,
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
from tests.property.identity_world import MemoryTable, tables

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
        self.resolver = Resolver(self.rows, self.neighbours, lambda *message: self.sent.append(message))

    def __call__(self, message: LookupMessage) -> list[Message]:
        self.sent.clear()
        self.resolver.handle(decode_lookup(encode(message)))
        for topic, key, sent in self.sent:
            assert (topic, key) == addressed(sent)
        return [message for _, _, message in self.sent]

    def label(self, identifier: str) -> str:
        return str(self.rows.get(identifier.encode()).label)


def addressed(message: Any) -> tuple[Topic, str]:
    if isinstance(message, EventTo | CommandTo):
        return Topic.COMPONENTS, message.label
    if isinstance(message, Union):
        return Topic.COMPONENTS, message.loser
    return Topic.LOOKUP, message.target if isinstance(message, Link) else message.origin


def seen(*labels: str) -> EventAt:
    return EventAt(RAW, labels, b"payload", 7)


def to(label: str) -> EventTo:
    return EventTo(label, RAW, b"payload", 7)


def test_a_new_identifier_begins_under_its_own_label() -> None:
    desk = Desk()
    assert desk(seen("a6.cookie1")) == [to("a6.cookie1")]
    assert desk.label("a6.cookie1") == "a6.cookie1"


ASK = Link("a6.cookie1", "a1.user1", "a1.user1", 7)


def test_an_event_asks_each_neighbour_once_until_it_has_answered() -> None:
    desk = Desk()
    assert desk(seen("a1.user1", "a6.cookie1")) == [to("a1.user1"), ASK]
    assert desk(seen("a1.user1", "a6.cookie1")) == [to("a1.user1")]
    assert desk(Linked("a1.user1", "a6.cookie1")) == []
    assert desk(seen("a1.user1", "a6.cookie1")) == [to("a1.user1")]


def test_a_link_is_asked_for_again_where_the_one_on_its_way_was_rolled_back() -> None:
    desk = Desk()
    desk(seen("a1.user1", "a6.cookie1"))
    desk.resolver.reset()
    assert desk(seen("a1.user1", "a6.cookie1")) == [to("a1.user1"), ASK]


def test_a_link_is_asked_for_again_under_another_label() -> None:
    desk = Desk()
    desk(seen("a1.user1", "a6.cookie1"))
    desk(Repoint("a1.user1", "a1.user0", "a1.user1", 7))
    again = Link("a6.cookie1", "a1.user1", "a1.user0", 7)
    assert desk(seen("a1.user1", "a6.cookie1")) == [to("a1.user0"), again]


def test_a_link_is_asked_for_again_for_an_event_that_must_hold_time_back_longer() -> None:
    desk = Desk()
    desk(seen("a1.user1", "a6.cookie1"))
    earlier = msgspec.structs.replace(seen("a1.user1", "a6.cookie1"), stamp=6)
    assert msgspec.structs.replace(ASK, stamp=6) in desk(earlier)
    assert ASK not in desk(seen("a1.user1", "a6.cookie1"))


def test_the_memory_of_links_on_their_way_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(resolver, "MAX_ASKED", 2)
    desk = Desk()
    links = [
        sum(isinstance(m, Link) for m in desk(seen("a1.user1", f"a6.cookie{n}"))) for n in (1, 2, 1, 3, 1)
    ]
    assert links == [1, 1, 0, 1, 1]


def test_a_known_event_takes_one_read_no_write_and_one_message() -> None:
    desk = Desk()
    desk(seen("a1.user1", "a6.cookie1"))
    desk(Linked("a1.user1", "a6.cookie1"))
    desk.rows.gets = desk.rows.puts = 0
    assert len(desk(seen("a1.user1", "a6.cookie1"))) == 1
    assert (desk.rows.gets, desk.rows.puts) == (1, 0)


def test_an_identifier_that_was_never_seen_adopts_the_smaller_label_of_who_links_to_it() -> None:
    desk = Desk()
    assert desk(Link("a6.cookie1", "a1.user1", "a1.user9", 7)) == [Linked("a1.user1", "a6.cookie1")]
    assert desk(seen("a6.cookie1")) == [to("a1.user9")]


def test_an_identifier_that_was_seen_keeps_its_label_and_asks_for_a_union() -> None:
    desk = Desk()
    desk(seen("a6.cookie1"))
    answer = desk(Link("a6.cookie1", "a1.user1", "a1.user1", 7))
    assert answer == [
        Union("a6.cookie1", "a1.user1", 7),
        Linked("a1.user1", "a6.cookie1"),
    ]
    assert desk.label("a6.cookie1") == "a6.cookie1"


def test_a_new_identifier_with_the_smaller_label_begins_and_wins_the_union() -> None:
    desk = Desk()
    small, large = "a3.email1", "a3.email2"
    answer = desk(Link(small, large, large, 7))
    assert answer == [Union(large, small, 7), Linked(large, small)]
    assert desk.label(small) == small


def test_a_link_that_is_there_already_is_only_answered() -> None:
    desk = Desk()
    desk(Link("a6.cookie1", "a1.user1", "a1.user1", 7))
    assert desk(Link("a6.cookie1", "a1.user1", "a1.user1", 7)) == [Linked("a1.user1", "a6.cookie1")]


def test_a_label_is_only_ever_replaced_by_a_smaller_one() -> None:
    desk = Desk()
    desk(seen("a6.cookie1"))
    assert desk(Repoint("a6.cookie1", "a1.user1", "a6.cookie1", 7)) == []
    assert desk(Repoint("a6.cookie1", "a3.email1", "a6.cookie1", 7)) == []
    assert desk.label("a6.cookie1") == "a1.user1"


def test_a_repoint_that_overtakes_its_link_asks_for_the_union_itself() -> None:
    desk = Desk()
    desk(seen("a6.cookie1"))
    union = Union("a6.cookie1", "a1.user1", 7)
    assert desk(Repoint("a6.cookie1", "a1.user1", "a3.email1", 7)) == [union]


def test_a_repoint_gives_a_label_to_an_identifier_that_was_never_seen_if_it_is_smaller() -> None:
    desk = Desk()
    desk(Repoint("a6.cookie1", "a1.user1", "a3.email1", 7))
    desk(Repoint("a1.user2", "a6.cookie1", "a6.cookie2", 7))
    assert desk.label("a6.cookie1") == "a1.user1"
    assert desk.rows.get(b"a1.user2") is None


def test_an_answer_to_a_question_never_asked_changes_nothing() -> None:
    desk = Desk()
    assert desk(Linked("a1.user1", "a6.cookie1")) == []
    assert len(desk.rows) == 0


def test_neighbours_without_end_do_not_make_a_row_without_end() -> None:
    desk = Desk()
    cookies = [f"a6.cookie{number}" for number in range(200)]
    for cookie in cookies:
        desk(seen("a1.user1", cookie))
        desk(Linked("a1.user1", cookie))
        desk(Linked("a1.user1", cookie))
    assert len(desk.rows.get(b"a1.user1").known) == KNOWN_INLINE
    assert len(desk.neighbours) == len(cookies) - KNOWN_INLINE
    assert all(desk(seen("a1.user1", cookie)) == [to("a1.user1")] for cookie in cookies)
    assert len(desk(seen("a1.user1", "a6.cookienew"))) == 2


def test_a_command_goes_where_its_first_identifier_lives_and_only_an_assertion_links() -> None:
    desk = Desk()
    command = Command(
        "c1", Op.DENY, ("user_id:1", "cookie:1"), 5, "ops", "two people", "identity.commands/0/0"
    )
    labels = ("a1.user1", "a6.cookie1")
    assert desk(CommandAt(command, labels, 7)) == [CommandTo("a1.user1", command, labels, 7)]
    same = msgspec.structs.replace(command, op=Op.ASSERT)
    ask = Link("a6.cookie1", "a1.user1", "a1.user1", 7)
    assert desk(CommandAt(same, labels, 7)) == [CommandTo("a1.user1", same, labels, 7), ask]
