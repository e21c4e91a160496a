"""The native writers write the bytes that the Python ones write, of events and profiles, and complain as they do."""

from __future__ import annotations

import copy
import enum
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.event import ChannelEvent, Context, Position
from stream_app.domain.profile import Profile, fold
from stream_app.domain.profile.carts import Cart, Line
from stream_app.domain.profile.orders import Money, Order, Orders, Return
from stream_app.domain.profile.preferences import Count
from stream_app.domain.profile.seen import Device, Seen
from stream_app.domain.profile.values import Latest
from stream_app.domain.profile.whereabouts import Fix, Whereabouts
from stream_app.wire import avro_writer, profile_writer
from tests.property.examples import examples
from tests.property.native_twins import forbid, leaks, native, same
from tests.property.test_profile_order import sequence, timeline
from tests.property.test_wire_hostile import EVENT
from tests.property.test_wire_profile_bytes import timelines
from tests.property.test_wire_round_trip import events

native_writer = native("native_writer")
PAYLOAD = (avro_writer.encode_payload, native_writer.encode_payload)
PROFILE = (profile_writer.encode_profile, native_writer.encode_profile)


class Number(enum.IntEnum):
    ONE = 1


class Word(str):
    __slots__ = ()


class Names(dict[str, Any]):
    pass


ODD: list[Any] = [
    *(None, True, False, 0, 63, 64, -64, -65, 1 << 53, (1 << 53) + 1, (1 << 63) - 1, -(1 << 63)),
    *(1 << 63, -(1 << 63) - 1, 1 << 64, 10**400, 0.0, -0.0, 1e300, float("nan"), float("inf")),
    *("", "a", "é", "\U0001f600", "\ud800", "x" * 63, "x" * 64, "é" * 32, "x" * 5000, b"bytes", 1j),
    *(
        Number.ONE,
        Word("word"),
        Names({"a": 1}),
        (),
        ("a",),
        {"a", "b"},
        object,
        [],
        {},
        [None],
        {"a": None},
    ),
    *({1: "a"}, {None: 1}, {"\udfff": 1}, {Word("a"): 1}, ["\ud800"], [[1]], [[[1]]], {"a": {"b": {}}}),
    *([{"a": [1]}], [{"a": {"b": 1}}], {"a": [1]}, [{1: 1}], [1, 2.5, "x", None, True, {"y": 1.0}]),
]
TRAITS = [*ODD, "gold", 12, 23, 24, -1, "7.5"]
odd = st.sampled_from(ODD)
anything = st.recursive(
    odd, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
EVENT_FIELDS = ChannelEvent.__struct_fields__


def repeated(profile: Profile) -> tuple[Any, ...]:
    return "c-1", 7, ["cookie:c", "email:é@example.org"], profile, ["vip", "lapsing"]


@examples(200)
@given(events)
def test_an_event_has_the_same_bytes(event):
    same(PAYLOAD, event)


@examples(500)
@given(events, st.lists(st.tuples(st.sampled_from(EVENT_FIELDS), anything), min_size=1, max_size=2))
def test_an_event_with_anything_in_its_fields_comes_to_the_same(event, changes):
    for field, value in changes:
        setattr(event, field, value)
    same(PAYLOAD, event)


@pytest.mark.parametrize("value", ODD, ids=map(str, range(len(ODD))))
def test_each_odd_value_comes_to_the_same_wherever_an_event_has_it(value):
    for field in EVENT_FIELDS:
        same(PAYLOAD, msgspec.structs.replace(EVENT, **{field: value}))
    for inside in (
        value,
        [value],
        [1, value],
        {"a": value},
        [{"a": value}],
        {"a": [value]},
        {"a": {"b": value}},
    ):
        same(PAYLOAD, msgspec.structs.replace(EVENT, properties={"x": inside}))
        same(PAYLOAD, msgspec.structs.replace(EVENT, identifiers={"x": inside}))
    for position in (Position(value, 1.0), Position(1.0, value), Position(1.0, 1.0, value)):
        same(PAYLOAD, msgspec.structs.replace(EVENT, context=Context(position=position)))
    for context in (
        Context(value),
        Context(None, value),
        Context(consent=value),
        Context(consent={"a": value}),
    ):
        same(PAYLOAD, msgspec.structs.replace(EVENT, context=context))


@pytest.mark.parametrize("value", TRAITS, ids=map(str, range(len(TRAITS))))
def test_each_odd_value_comes_to_the_same_as_a_trait(value):
    traits = ("loyalty_tier", "loyalty_points", "size", "other", "preferred_hour")
    traits += ("preferred_channel", "preferred_store", "preferred_category", "preferred_size")
    for names in (*((name,) for name in traits), traits):
        profile = Profile(1, traits={name: Latest(value, 1, "e-1") for name in names})
        same(PROFILE, *repeated(profile))


@examples(500)
@given(st.sampled_from(["identifiers", "properties"]), st.text(max_size=70), anything)
def test_an_event_with_anything_in_its_maps_comes_to_the_same(field, name, value):
    event = copy.deepcopy(EVENT)
    getattr(event, field)[name] = value
    same(PAYLOAD, event)


@examples(300)
@given(anything, anything, anything, anything)
def test_any_context_comes_to_the_same(one, other, third, fourth):
    for context in (
        Context(one, other),
        Context(None, None, Position(one, other, third), None),
        Context("fr-FR", None, None, {"a": one, "b": fourth}),
        Context(None, None, None, one),
    ):
        same(PAYLOAD, msgspec.structs.replace(EVENT, context=context))


@pytest.mark.parametrize("size", [900, 1015, 1023, 1024, 1025, 5_000, 1 << 20])
@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_what_is_long_has_the_same_bytes(size, character):
    properties = {"a": character * size, "b": [character * size] * 3, "c": {character * size: 1.5}}
    same(PAYLOAD, ChannelEvent("e" * (size % 7), 1, "web", "x" * size, {"y": [character * size]}, properties))


def test_many_entries_have_the_same_bytes():
    properties: dict[str, Any] = {f"p{n}": n * 1.5 for n in range(5_000)}
    same(PAYLOAD, ChannelEvent("e", 1, "web", "x", {}, properties | {"l": list(range(9_000))}))


@examples(50)
@given(timelines(), st.sets(st.sampled_from(["vip", "lapsing", "é"])))
def test_a_profile_has_the_same_bytes(timeline, segments):
    for version in (0, len(timeline), 1 << 40):
        same(PROFILE, "c-1", version, ("cookie:c", "device:d"), fold(timeline), segments)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every place of a profile that can hold something else: (struct, field), (list, index), (dict, key)."""
    found: list[tuple[Any, Any]] = []
    if isinstance(value, msgspec.Struct):
        inside = [(name, getattr(value, name)) for name in value.__struct_fields__]
    elif isinstance(value, dict):
        inside = list(value.items())
    elif isinstance(value, list):
        inside = list(enumerate(value))
    else:
        return found
    for name, part in inside:
        found += [(value, name), *places(part)]
    return found


@examples(150)
@given(timelines(), st.data())
def test_a_profile_with_anything_in_it_comes_to_the_same(timeline, data):
    profile = fold(timeline)
    for _ in range(data.draw(st.integers(1, 2))):
        where, name = data.draw(st.sampled_from(places(profile)))
        value = copy.deepcopy(data.draw(anything))  # it may be changed itself, next round
        if isinstance(where, msgspec.Struct):
            setattr(where, name, value)
        else:
            where[name] = value
    same(PROFILE, *repeated(profile))


names = st.sampled_from(["a", "b", "c"])
few = st.integers(-1, 2)
ids = st.sampled_from(["e1", "e2"])
latest = st.builds(
    Latest, st.sampled_from(["Europe/Paris", "Asia/Kolkata", "Mars/Base", "a", None]), few, ids
)
fixes = st.none() | st.builds(Fix, st.just(40.7), st.just(-74.0), st.sampled_from([None, 1.5]), few, ids)
tallies = st.dictionaries(names, st.builds(Count, few, few))
amounts = st.sampled_from([0, 0, 1, -1, 15_500_000, (1 << 53) + 1, 10**17 + 1, (1 << 61) - 7, -(1 << 62)])
codes = st.sampled_from(["EUR", "GBP", "XXX"])
orders = st.builds(
    Orders,
    few,
    few,
    few,
    st.dictionaries(codes, st.builds(Money, few, amounts, amounts)),
    st.lists(
        st.builds(
            Order,
            st.sampled_from(["", "o1"]),
            few,
            st.just("web"),
            st.sampled_from([None, "st1"]),
            st.booleans(),
            st.booleans(),
            st.none() | amounts,
            st.none() | codes,
            st.dictionaries(st.just("") | codes, amounts, max_size=2),
        ),
        max_size=4,
    ),
    st.lists(
        st.builds(Return, st.just(""), few, st.just("web"), st.none(), st.none() | amounts, st.none()),
        max_size=2,
    ),
    st.none() | st.tuples(few, few),
)
numbers = st.sampled_from([0, 1, 2, 0.1, 0.2, 0.3, 1e15, -1e15, 9.9999995, 1e-7])
lines = st.builds(Line, numbers, st.none() | numbers, st.none() | codes)
carts = st.dictionaries(names, st.builds(Cart, st.tuples(few, ids), st.dictionaries(names, lines)))
traits = st.dictionaries(
    st.sampled_from(
        ["loyalty_tier", "loyalty_points", "size", "other"]
        + [f"preferred_{name}" for name in ("channel", "store", "category", "size", "hour")]
    ),
    latest | st.builds(Latest, st.sampled_from([7, 7.5, "23"]), few, ids),
    max_size=1,
)


@examples(400)
@given(
    st.builds(
        Profile,
        seen=st.dictionaries(names, st.builds(Seen, few, few, few, few)),
        devices=st.dictionaries(names, st.builds(Device, few, few, few)),
        where=st.builds(Whereabouts, st.none() | latest, st.none() | latest, fixes),
        carts=carts,
        orders=st.just(Orders()) | orders,
        traits=traits,
        stores=tallies,
        categories=tallies,
        sizes=tallies,
    )
)
def test_what_a_profile_comes_to_is_written_the_same(profile):
    same(PROFILE, *repeated(profile))


@examples(200)
@given(
    st.lists(st.integers(1_900_000, 1_900_000 + 96 * 3) | st.integers(1_899_000, 1_902_000), max_size=40),
    st.sampled_from(
        ["Europe/Paris", "Asia/Kathmandu", "America/New_York", "Australia/Lord_Howe", "no zone", None]
    ),
    st.sampled_from([0, 0, 0, -3_000_000, 280_000_000_000, 1 << 39, -(1 << 41), 1 << 62]),
)
def test_the_hour_of_most_is_the_same(quarters, zone, further):
    where = Whereabouts(zone=None if zone is None else Latest(zone, 1, "e"))
    active = [*sorted(quarters), *([further] if further else [])]
    same(PROFILE, *repeated(Profile(1, active=active, where=where)))
    same(PROFILE, *repeated(Profile(1, active=[quarter // 900 * 900 for quarter in active], where=where)))


@examples(100)
@given(st.integers(0, 2**32))
def test_a_profile_of_any_events_has_the_same_bytes(seed):
    same(PROFILE, *repeated(fold(sequence(timeline(seed)))))


def test_a_profile_that_has_lost_a_field_comes_to_the_same():
    for place, (where, _) in enumerate(places(fold(sequence(timeline(8))))):
        if isinstance(where, msgspec.Struct):
            profile = fold(sequence(timeline(8)))
            delattr(*places(profile)[place])
            same(PROFILE, *repeated(profile))


@examples(200)
@given(anything, anything, st.lists(odd, max_size=3), st.lists(odd, max_size=3))
def test_a_profile_of_any_customer_comes_to_the_same(customer, version, identifiers, segments):
    same(PROFILE, customer, version, identifiers, Profile(), segments)


def test_segments_may_be_an_iterator():
    written = [write("c", 1, (), Profile(), (name for name in ("b", "a"))) for write in PROFILE]
    assert written[0] == written[1]
    assert b"a\x02b" in written[0]


@examples(50)
@given(event=events, timeline=timelines())
def test_what_is_usual_is_not_left_to_the_python_writers(event, timeline):
    profile = fold(timeline)
    with pytest.MonkeyPatch.context() as patch:
        forbid(patch, avro_writer, "encode_payload")
        forbid(patch, profile_writer, "encode_profile")
        native_writer.encode_payload(event)
        native_writer.encode_profile(*repeated(profile))


@examples(2)
@given(timelines())
def test_nothing_is_lost_where_much_is_written_and_refused(timeline):
    unfit = msgspec.structs.replace(EVENT, properties={"x": "é" * 2000, "y": 1 << 70})

    def refused() -> None:
        with pytest.raises(ValueError, match="64 bits"):
            native_writer.encode_payload(unfit)

    assert not leaks(lambda: native_writer.encode_payload(EVENT))
    assert not leaks(refused)
    arguments = repeated(fold(timeline))
    assert not leaks(lambda: native_writer.encode_profile(*arguments))
