"""What became of a customer, as far back as the changes tell."""

from __future__ import annotations

from typing import Any

from stream_app.runs.history import lineage


def change(time: int, what: str, before: tuple[str, ...], into: tuple[str, ...]) -> dict[str, Any]:
    return {"time": time, "change": what, "from": [*before], "into": [*into]}


CREATED = [change(n, "created", (), (name,)) for n, name in enumerate("abcd")]
CHANGES = [
    change(9, "merged", ("b",), ("c",)),
    change(8, "merged", ("a",), ("b",)),
    *CREATED,
    change(7, "split", ("d",), ("e", "f")),
    change(10, "split", ("c",), ("c", "g")),
]


def test_a_history_goes_back_through_every_id_that_has_become_todays() -> None:
    found = lineage({"c"}, lambda: CHANGES)
    assert [(one["time"], one["change"]) for one in found] == [
        (0, "created"),
        (1, "created"),
        (2, "created"),
        (8, "merged"),
        (9, "merged"),
        (10, "split"),
    ]


def test_where_ones_part_of_a_split_went_is_told_and_what_became_of_the_others_is_not() -> None:
    later = change(11, "ended", ("f",), ())
    assert [one["time"] for one in lineage({"e"}, lambda: [*CHANGES, later])] == [3, 7]


def test_a_circle_of_renamings_ends() -> None:
    circle = [change(1, "renamed", ("a",), ("b",)), change(2, "renamed", ("b",), ("a",))]
    assert lineage({"a"}, lambda: circle) == circle


def test_an_id_that_has_gone_has_what_was_said_of_it() -> None:
    assert [one["time"] for one in lineage({"a"}, lambda: CHANGES)] == [0, 8]


def test_a_denial_does_not_make_the_other_customers_past_ones_own() -> None:
    told = [
        change(0, "created", (), ("a",)),
        change(1, "created", (), ("b",)),
        change(2, "created", (), ("x",)),
        change(3, "merged", ("x",), ("b",)),
        change(4, "denied", ("a", "b"), ("a", "b")),
    ]
    assert [one["time"] for one in lineage({"a"}, lambda: told)] == [0, 4]
