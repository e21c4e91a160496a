"""The native fold makes of every profile and event what the Python one makes of them, whatever either holds."""

from __future__ import annotations

import copy
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.event import Context, Event, Position
from stream_app.domain.profile import Profile, chosen, folding, preferences, seen, values, viewed, whereabouts
from stream_app.domain.profile.seen import PASSIVE, QUARTER_MS
from tests.property.examples import examples
from tests.property.native_twins import forbid, leaks, native, outcome
from tests.property.test_native_writer import ODD, Number, Word, anything, places
from tests.property.test_profile_order import BOUNDS, FAMILIES, sequence, timeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

native_fold = native("native_fold", "stream_app.domain.profile")
ROOT = Path(folding.__file__).parents[3]
NOTHING = object()
START = 1_700_000_000_000
HERE = Context("fr-FR", "Europe/Paris")
KINDS = sorted({kind for family in FAMILIES for kind in family} | PASSIVE | {"Page Viewed", ""})
NATIVE = ("Product Viewed", "Product Added", "Order Completed", "Page Viewed", "Email Delivered")
LINES = [{"sku": "s1", "category": "c2", "size": "M"}, {"category": "c1", "size": "L"}, {"size": "M"}]
SAID: dict[str, Any] = {
    "sku": "s1",
    "category": "c1",
    "cart_id": "k1",
    "quantity": 2,
    "price": 9.95,
    "currency": "EUR",
    "order_id": "o1",
    "revenue": 19.9,
    "store_id": "st1",
    "products": LINES,
}
READ = (*SAID, "product_id", "total", "value", "timezone", "latitude", "longitude", "accuracy_m", "rating")
EDGES: list[Any] = [
    *(
        *("EUR", "eur", "EU", "EURO", "ÉUR", "E1R", "@UR", "[UR"),
        *("x" * 256, "x" * 257, "x" * 512, "x" * 513),
    ),
    *(10**12, 10**12 - 1, -(10**12), 999_999_999_999.5, 10**11 + 1, 123_456_789_013, 10**15, 1e15, 1e14),
    *(
        0.0000005,
        0.0000015,
        2.5e-6,
        1 << 61,
        1 << 62,
        -(1 << 62),
        -1,
        -0.5,
        0.5,
        "2",
        "Europe/Rome",
        "Mars/Base",
    ),
    *(
        [{"size": 7}],
        [{"size": ""}, {"size": "S"}],
        [{"category": None}],
        [1, {"size": "S"}],
        [{"size": "x" * 257}],
    ),
]

PLACED: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        START + 10**9,
        (1 << 62) - 1,
        1 << 62,
        1 << 63,
        1.5,
        float("nan"),
        "",
        "a",
        "s1",
        "\ud800",
    ),
    *(
        Number.ONE,
        Word("s1"),
        [],
        {},
        (),
        (1, "a"),
        (START, "e1", 1),
        (START + 10**9, "z"),
        (1.0, "z"),
        [None],
    ),
]


def event(n: int, kind: str = "Page Viewed", said: dict[str, Any] | None = None, **fields: Any) -> Event:
    one = Event(
        f"e{n:05}", START + n * 1000, "web", kind, ("email:a", "cookie:1"), said or {}, 0, "t/0/0", HERE
    )
    return msgspec.structs.replace(one, **fields)


def state(value: Any) -> Any:
    """Return all that a value holds, also where a struct has lost a field."""
    if isinstance(value, msgspec.Struct):
        return [state(getattr(value, name, NOTHING)) for name in value.__struct_fields__]
    if isinstance(value, dict):
        return [(state(name), state(part)) for name, part in value.items()]
    return [state(part) for part in value] if isinstance(value, list) else repr(value)


def both(begin: Callable[[], Profile], events: Iterable[Any], said: Callable[[Any], Any] = repr) -> Profile:
    """Have both take in events, and compare after each."""
    one, other = begin(), begin()
    for each in events:
        assert outcome(folding.apply, one, each) == outcome(native_fold.apply, other, each)
        assert said(one) == said(other)
    return other


def copies(profile: Profile) -> Callable[[], Profile]:
    return lambda: copy.deepcopy(profile)


def lived() -> list[Event]:
    """Return a life in which each part of a profile comes to hold something."""
    events = [
        event(n, kind, {**SAID, "sku": f"s{n % 3}", "order_id": f"o{n}"}) for n, kind in enumerate(KINDS)
    ]
    at = Context("fr-FR", "Europe/Paris", Position(48.85, 2.35))
    return [*events, event(900, context=at), event(901, "Product Added", SAID)]


LIVED = folding.fold(lived())


@pytest.fixture(params=["narrow", "wide"], scope="module", autouse=True)
def bounds(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for (module, name), bound in BOUNDS.items() if request.param == "narrow" else ():
            patch.setattr(module, name, bound)
        native_fold.take_bounds()
        yield
    native_fold.take_bounds()


@examples(300)
@given(st.integers(0, 2**32), st.booleans(), st.integers(0, 40))
def test_any_timeline_in_any_order_comes_to_the_same(seed: int, in_order: bool, stored: int) -> None:
    events = timeline(seed)
    if in_order:
        events = sequence(events)
    assert native_fold.fold(events) == folding.fold(events)
    begun = msgspec.msgpack.encode(folding.fold(events[:stored]))
    both(lambda: msgspec.msgpack.decode(begun, type=Profile), events[stored:])


@pytest.mark.parametrize("kind", NATIVE)
def test_each_odd_value_comes_to_the_same_in_each_property(kind: str) -> None:
    for value in (*ODD, *EDGES):
        for name in READ:
            both(Profile, [event(1, kind, {**SAID, name: value}), event(2, kind, {name: value})])


def test_each_kind_of_event_comes_to_the_same() -> None:
    for kind in KINDS:
        both(copies(LIVED), [event(1000, kind, SAID), event(1001, kind), event(999, kind, SAID)])


@pytest.mark.parametrize("kind", NATIVE)
def test_each_odd_value_comes_to_the_same_in_each_field_of_an_event(kind: str) -> None:
    for value in (
        *ODD,
        *EDGES,
        (),
        ("device:1", "x"),
        ("", "app_id:é", "cookie:1"),
        ("devic", 5),
        (5, "device:1"),
    ):
        for name in Event.__struct_fields__:
            both(Profile, [event(1, kind, SAID), event(2, kind, SAID, **{name: value}), event(3, kind, SAID)])
        for context in (
            Context(value, "Europe/Paris"),
            Context("de", value),
            Context("de", "Europe/Paris", value),
            Context("de", None, Position(value, 1.0, value)),
        ):
            both(Profile, [event(1, kind, SAID, context=context), event(2, kind, SAID)])
            both(Profile, [event(1, kind, SAID), event(2, kind, SAID, context=context)])


def test_a_usual_order_takes_off_the_wish_list_what_it_is_of() -> None:
    wish, other = (
        event(n, "Product Added to Wishlist", {**SAID, "sku": sku}) for n, sku in ((1, "s"), (2, "t"))
    )
    order = {**SAID, "order_id": "o", "products": [{"sku": "s", "price": 2.5, "quantity": 1}]}
    events = [wish, other, event(3, "Order Completed", order)]
    both(Profile, events)
    assert [one.item for one in native_fold.fold(events).wishes] == ["t"]


@pytest.mark.parametrize("value", PLACED, ids=map(str, range(len(PLACED))))
def test_each_odd_value_comes_to_the_same_in_each_place_of_a_profile(value: Any) -> None:
    for place in range(len(places(LIVED))):

        def begin(place: int = place) -> Profile:
            profile = copy.deepcopy(LIVED)
            where, name = places(profile)[place]
            if isinstance(where, msgspec.Struct):
                setattr(where, name, copy.deepcopy(value))
            else:
                where[name] = copy.deepcopy(value)
            return profile

        both(begin, [event(1000 + n, kind, SAID) for n, kind in enumerate(NATIVE)])


def test_a_profile_that_has_lost_a_field_comes_to_the_same() -> None:
    for place, (where, _) in enumerate(places(LIVED)):
        if not isinstance(where, msgspec.Struct):
            continue

        def begin(place: int = place) -> Profile:
            profile = copy.deepcopy(LIVED)
            delattr(*places(profile)[place])
            return profile

        for kind in NATIVE:
            both(begin, [event(1000, kind, SAID)], state)


@examples(200)
@given(st.data())
def test_a_profile_with_anything_in_it_comes_to_the_same(data: st.DataObject) -> None:
    profile = folding.fold(sequence(timeline(data.draw(st.integers(0, 2**32)))))
    for _ in range(data.draw(st.integers(1, 3))):
        where, name = data.draw(st.sampled_from(places(profile)))
        value = copy.deepcopy(data.draw(anything | st.integers(START, START + 10_000)))
        if isinstance(where, msgspec.Struct):
            setattr(where, name, value)
        else:
            where[name] = value
    kinds = data.draw(st.lists(st.sampled_from([*NATIVE, *KINDS]), min_size=1, max_size=4))
    both(copies(profile), [event(10**7 + n, kind, SAID) for n, kind in enumerate(kinds)])


@examples(200)
@given(st.data())
def test_an_event_with_anything_in_it_comes_to_the_same(data: st.DataObject) -> None:
    said = {**SAID, **data.draw(st.dictionaries(st.sampled_from(READ), anything, max_size=2))}
    one = event(1000, data.draw(st.sampled_from([*NATIVE, *KINDS])), said)
    for _ in range(data.draw(st.integers(0, 2))):
        name = data.draw(st.sampled_from(Event.__struct_fields__))
        one = msgspec.structs.replace(one, **{name: data.draw(anything)})
    both(copies(LIVED), [one, event(1001, "Product Viewed", SAID)])


@pytest.mark.parametrize("times", ["later", "same", "odd"])
@pytest.mark.parametrize("seed", range(5))
def test_what_is_full_comes_to_the_same(seed: int, times: str) -> None:
    draw = random.Random(seed)
    events = []
    for n in range(400):
        many = f"{draw.randrange(60)}"
        said: dict[str, Any] = {
            **{name: f"{name}-{many}" for name in ("sku", "category", "store_id", "cart_id", "order_id")},
            "quantity": draw.choice((1, 2, 0.5)),
            "price": draw.choice((None, 5, 9.95)),
            "revenue": draw.choice((5, 0.1, -3)),
            "currency": f"{chr(65 + draw.randrange(26))}UR",
            "products": [
                {"size": f"{draw.randrange(30)}", "category": f"{draw.randrange(30)}"} for _ in range(3)
            ],
        }
        if draw.random() < 0.7:
            del said["cart_id"]
        if draw.random() < 0.3:
            said["sku"] = f"other-{draw.randrange(400)}"
        at = {"later": START + n * QUARTER_MS // 2, "same": START, "odd": -(10**12) + n * 77}[times]
        where = Context(draw.choice(("fr", "de")), draw.choice(("Europe/Paris", "Europe/London", None)))
        identifiers = ("email:a", draw.choice((f"device:{many}", f"wifi_id:{many}", "user_id:1")))
        kind = draw.choice((*NATIVE, "Order Refunded", "Product Removed", "Product Added", "Product Viewed"))
        events.append(event(n, kind, said, time=at, context=where, identifiers=identifiers))
    profile = both(Profile, events)
    assert len(profile.categories) == len(profile.stores) == len(profile.sizes) == preferences.MAX_TALLY
    assert len(profile.devices) == seen.MAX_DEVICES
    assert len(profile.viewed) == viewed.MAX_VIEWED


def test_where_an_event_was_is_the_same_whoever_says_it() -> None:
    said: list[dict[str, Any]] = [{}, {"latitude": 48.85, "longitude": "2.35"}, {"timezone": "Asia/Kolkata"}]
    said += [said[1] | said[2] | {"accuracy_m": 7}, {"latitude": None}, {"timezone": None}]
    zones = ("Europe/Paris", "Europe/Rome", "Mars/Base", "", None)
    contexts = [None, *(Context("fr", zone, place) for zone in zones for place in (None, Position(1.0, 2.0)))]
    for properties in said:
        for context in contexts:
            one, other = event(2, "Page Viewed", properties, context=context), event(3, context=HERE)
            both(Profile, [one, event(4, "Page Viewed", properties), other])
            both(Profile, [event(1), one, event(4, context=None)])


def test_places_that_are_equal_but_for_the_id_are_told_apart() -> None:
    events = [
        event(
            1,
            kind,
            {**SAID, "sku": sku, "order_id": sku},
            time=START,
            event_id=name,
            context=Context(sku, zone),
        )
        for kind in NATIVE
        for name, sku, zone in (("b", "s1", "Europe/Paris"), ("c", "s2", "Asia/Kolkata"), ("a", "s3", "UTC"))
    ]
    both(Profile, events)
    both(Profile, sequence(events))


def usual() -> list[Event]:
    """Return what most customers do."""
    at = Context("fr-FR", "Europe/London", Position(51.5, -0.1, 12.0))
    return [
        event(1, "Page Viewed", {"store_id": "st1"}),
        event(2, "Product Viewed", SAID),
        event(3, "Product Viewed", {**SAID, "sku": "s2"}),
        event(4, "Product Viewed", SAID, context=at),
        event(5, "Product Added", SAID),
        event(6, "Product Added", {**SAID, "price": None, "currency": None}),
        event(7, "Email Delivered", context=None),
        event(8, "Order Completed", SAID),
        event(9, "Order Completed", {**SAID, "order_id": "o2", "cart_id": None}, context=at),
    ]


def test_what_is_usual_is_not_left_to_the_python_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, names in (
        (folding, ("apply", "take_in_turn")),
        (seen, ("see_channel", "device_of", "see_device", "be_active")),
        (values, ("text",)),
        (viewed, ("view_item",)),
        (whereabouts, ("locate",)),
    ):
        forbid(monkeypatch, module, *names)
    profile = Profile()
    for one in usual():
        assert native_fold.apply(profile, one) is True


def test_nothing_is_lost_where_much_is_folded() -> None:
    events, unusual = usual(), event(10, "Product Added", {**SAID, "quantity": "2", "sku": 5, "store_id": 7})
    assert not leaks(lambda: native_fold.fold(events))
    assert not leaks(lambda: native_fold.fold([*events, unusual, events[0]]))


def test_values_are_held_as_often_as_they_are_there() -> None:
    one, profile = event(1, "Product Added", SAID), Profile()
    before = [sys.getrefcount(value) for value in (one.event_id, one.time, SAID["sku"], "Europe/Paris")]
    for _ in range(100):
        native_fold.apply(profile, one)
    del profile
    assert [
        sys.getrefcount(value) for value in (one.event_id, one.time, SAID["sku"], "Europe/Paris")
    ] == before


@pytest.mark.skipif(chosen.apply is folding.apply, reason="the native part is turned off")
def test_structs_that_are_held_otherwise_are_left_to_python() -> None:
    for other in (
        "class Event(e.Event): pass",
        "Event = msgspec.defstruct('Event', e.Event.__struct_fields__)",
    ):
        code = (
            f"import msgspec, stream_app.domain.event as e\n{other}\ne.Event = Event\n"
            "from stream_app.domain.profile import chosen; print(chosen.apply.__module__)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout == "stream_app.domain.profile.folding\n"
