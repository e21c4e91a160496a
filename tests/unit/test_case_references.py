"""Reference data in trigger cases: the forms that they may be written in, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from schemas import references
from stream_app.domain.refusal import Refused
from stream_app.runs.rule_cases import Runner
from stream_app.wire.references import ReferenceDecoder

NOON = 1_777_896_000_000


def at(second: int) -> int:
    return NOON + second * 1_000


def event(event_id: str, second: int, **properties: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "time": at(second),
        "channel": "app",
        "type": "A",
        "identifiers": {"user_id": "ana"},
        "properties": properties,
    }


def case(*events: dict[str, Any], rules: Any = None, **fields: Any) -> dict[str, Any]:
    return {"rules": rules or [{"name": "x", "opens": {"event": "A"}}], "events": [*events], **fields}


def problems(case: dict[str, Any], **expect: Any) -> list[str]:
    found = Runner({}).check(1, {"until": at(100), **case, "expect": expect})
    return [" ".join(problem) for problem in found.problems]


PLACE = {"latitude": 48.85, "longitude": 2.35}
NEAR = {"name": "near", "near": {"radius_m": 100}}
LOOKING = [
    NEAR,
    {"name": "n", "opens": {"event": "A"}, "if": "store.nearest.distance_m < 500.0"},
    {"name": "n", "opens": {"event": "A"}, "if": "has(store.nearest_in_stock)"},
    {"name": "n", "opens": {"event": "A"}, "if": 'weather.condition == "rain"'},
    {"name": "n", "opens": {"event": "A"}, "if": 'season == "spring"'},
]
NO_STORE = [
    ({"longitude": 2.35}, "latitude: must be a number of degrees"),
    ({"latitude": "north", "longitude": 2.35}, "latitude: must be a number of degrees"),
    ({**PLACE, "hours": "nine to five"}, "hours: not in OpenStreetMap's notation at character 1"),
    ({**PLACE, "hours": "sunrise-sunset"}, "hours: the sun's times are not supported"),
    ({**PLACE, "timezone": "Lyon"}, "timezone: must be the IANA name of a zone"),
]


@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ({"prodcuts": []}, "reference.prodcuts: there is no such list, did you mean products? There are: "),
        ({"store": []}, "reference.store: there is no such list, did you mean stores? There are: "),
        (
            {"xyz": []},
            "reference.xyz: there is no such list; there are: campaigns, orders, products, stock, ",
        ),
        ({"products": {"A": 3}}, "reference.products: a list of rows"),
        (
            {"products": [{"sku": "A", "stock": {"s1": "3"}}]},
            "products[0].stock is not an object: store id to",
        ),
        ({"products": [{"sku": "A", "stock": {"online": None}}]}, "products[0].stock is not an object"),
        (
            {"stores": [{"id": "s1", "stock": {"A": True}}]},
            "stores[0].stock is not an object: sku to quantity",
        ),
        ({"stock": [{"sku": "A"}]}, "reference.stock[0]: say how many each store has"),
        (
            {"stock": [{"sku": "A", "stores": ["s1"]}]},
            "stock[0].stores is not an object: store id to quantity",
        ),
    ],
)
def test_reference_data_that_cannot_be_used_are_told_with_what_there_is(
    reference: dict[str, Any], told: str
) -> None:
    (problem,) = problems(case(event("a", 0), reference=reference))
    assert told in problem


@pytest.mark.parametrize(("row", "told"), NO_STORE)
@pytest.mark.parametrize("looking", LOOKING)
def test_a_row_that_is_no_store_is_told_where_a_rule_looks_for_stores(
    looking: dict[str, Any], row: dict[str, Any], told: str
) -> None:
    stores = [{"id": "s0", **PLACE}, {"id": "s1", **row}]
    (problem,) = problems(case(event("a", 0), rules=[looking], reference={"stores": stores}))
    assert f"reference.stores[1]: store.{told}" in problem


@pytest.mark.parametrize(("row", "told"), NO_STORE)
def test_a_change_that_makes_no_store_is_told(row: dict[str, Any], told: str) -> None:
    said = {"time": at(1), "reference_change": {"store": "s1", **row}}
    (problem,) = problems(case(event("a", 0), said, rules=[NEAR]))
    assert f"events[1].reference_change: store.{told}" in problem


def test_a_feed_refuses_what_a_case_does_and_says_the_same() -> None:
    for row, _ in NO_STORE:
        (problem,) = problems(case(event("a", 0), rules=[NEAR], reference={"stores": [{"id": "s1", **row}]}))
        with pytest.raises(Refused) as refused:
            ReferenceDecoder(references()["stores"]).decode(
                json.dumps({"store_id": "s1", **row}).encode(), [], b"s1", NOON
            )
        assert problem.endswith(f": {refused.value.detail}")


def test_a_store_whose_hours_cannot_be_read_is_told_to_go_without() -> None:
    (problem,) = problems(
        case(
            event("a", 0),
            rules=[NEAR],
            reference={"stores": [{"id": "s1", **PLACE, "hours": "sunrise-sunset"}]},
        )
    )
    assert problem.endswith("or leave `hours` out: then `store.open` is absent")
    fix = event("a", 0, **PLACE)
    open_or_not = {**NEAR, "if": "has(store.open)"}
    reference = {"stores": [{"id": "s1", **PLACE}]}
    assert problems(case(fix, rules=[NEAR], reference=reference), net=1) == []
    assert problems(case(fix, rules=[open_or_not], reference=reference), net=0) == []


def test_a_store_may_be_known_in_parts_that_make_one() -> None:
    """A change says what is another now; where the store is was said before."""
    known = {"stores": [{"id": "s1", **PLACE}, {"id": "s2", **PLACE}]}
    changes = [
        {"time": at(1), "reference_change": {"store": "s1", "hours": "off"}},
        {"time": at(2), "reference_change": {"store": "s2", "gone": True}},
        {"time": at(3), "reference_change": {"store": "s1", "stock": {"A": 3}}},
    ]
    assert problems(case(*changes, rules=[NEAR], reference=known), triggers=[]) == []


def test_a_part_that_comes_late_is_held_to_what_was_known_at_its_time() -> None:
    early = {"time": at(1), "reference_change": {"store": "s1", "hours": "off"}}
    late = {"time": at(5), "reference_change": {"store": "s1", **PLACE}}
    (problem,) = problems(case(late, early, rules=[NEAR]))
    assert "events[1].reference_change: store.latitude" in problem


def test_where_no_rule_decides_by_stores_a_row_needs_no_position() -> None:
    reference = {"stores": [{"id": "s1", "country": "DE"}]}
    told = {"name": "x", "opens": {"event": "A"}, "payload": ["store.nearest.id"]}
    for rules in (None, [told]):
        assert problems(case(event("a", 0), rules=rules, reference=reference), net=1) == []


def test_a_change_that_says_nothing_is_none() -> None:
    changed = {"time": at(1), "reference_change": {"product": "A", "stock": {}}}
    assert problems(case(event("a", 0), changed), net=1) == []


def test_weather_without_a_time_needs_no_moment() -> None:
    reference = {"weather": [{"id": "w", **PLACE, "condition": "rain"}]}
    assert problems(case(reference=reference, until=None)) == []
