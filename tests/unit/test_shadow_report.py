"""What `raccord rules shadow` counts."""

from __future__ import annotations

from typing import Any

from stream_app.runs.shadow_report import EXAMPLES, compared


def difference(opened_by: str, outcome: str, at: int, **more: Any) -> dict[str, Any]:
    return {
        "rule": "cart",
        "shadow_version": 2,
        "live_version": 1,
        "customer_id": "c",
        "opened_by": opened_by,
        "number": 0,
        "outcome": outcome,
        "due": at,
        "sent": at,
        "decided_at": at,
        "reason": "condition",
        **more,
    }


def trigger(trigger_id: str, action: str, at: int, rule: str = "cart") -> dict[str, Any]:
    return {"trigger_id": trigger_id, "action": action, "rule": rule, "sent": at}


def test_of_the_records_about_one_trigger_the_last_one_holds():
    (one,) = compared(
        [
            difference("e1", "would_have_fired", 10),
            difference("e2", "would_not_have_fired", 11),
            difference("e1", "no_difference", 12, reason="closed"),
        ],
        [],
    )
    assert (one.only_shadow, one.only_live, one.reasons) == (0, 1, {"condition": 1})


def test_live_fires_since_the_first_difference_that_nothing_took_back_are_fired_by_both():
    (one,) = compared(
        [difference("e2", "would_not_have_fired", 10)],
        [
            trigger("before", "fire", 9),
            trigger("t1", "fire", 10),
            trigger("t2", "fire", 11),
            trigger("t3", "fire", 12),
            trigger("t3", "retract", 13),
            trigger("other", "fire", 14, rule="browse"),
        ],
    )
    assert (one.both, one.only_live) == (1, 1)


def test_versions_are_counted_apart_and_repeats_too():
    found = compared(
        [
            difference("e1", "would_have_fired", 10),
            difference("e1", "would_have_fired", 11, number=1),
            difference("e1", "would_have_fired", 12, shadow_version=3, live_version=None),
        ],
        [],
    )
    assert [(one.shadow_version, one.live_version, one.only_shadow) for one in found] == [
        (2, 1, 2),
        (3, None, 1),
    ]


def test_the_latest_differences_of_each_kind_are_the_examples():
    (one,) = compared([difference(f"e{n}", "would_have_fired", n) for n in range(10)], [])
    assert [example["opened_by"] for example in one.examples] == [f"e{n}" for n in range(10 - EXAMPLES, 10)]
