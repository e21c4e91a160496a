"""What a decision says."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream_app.domain.rules import Action, SendingPolicy, load_rule
from stream_app.domain.rules.decision import HeldBack, Retracted
from stream_app.domain.rules.person import NoSegments
from stream_app.domain.rules.plan import Plan
from stream_app.domain.rules.state import FIRED, EventRef, Instance, Occurrence, Row
from stream_app.domain.rules.telling import about, taken_back

RULE = """
name: asked
version: 3
purpose: service
channel: [email, push]
key: case_id
opens: {event: Asked}
keeps_open: {event: Looked}
then: {event: Answered}
after: 30m
payload: [opened.sku, customer.first_name, cart]
"""
OPENED, STEP, KEPT, THEN, CLOSED = (
    EventRef(name, time, kind, role)
    for time, (name, kind, role) in enumerate(
        (
            ("o", "Asked", "opened"),
            ("s", "Began", "step"),
            ("k", "Looked", "kept_open"),
            ("t", "Answered", "then"),
            ("c", "Closed", "closed"),
        )
    )
)
INSTANCE = Instance(
    ["c-1"],
    "c-1",
    "c-1",
    40,
    0,
    OPENED,
    ["o"],
    "",
    "",
    {"sku": "A"},
    {},
    steps=[STEP],
    kept=[KEPT],
    kept_count=7,
    then=THEN,
)
DUE = Occurrence(
    "t-1",
    2,
    INSTANCE,
    40,
    45,
    True,
    {"opened.sku": "A"},
    None,
    {"first_name": "Ana"},
    ["", "push"],
    "UTC",
    CLOSED,
)
ROW = Row("asked", "asked@3", 3, ["c-1"], "c-1", 2, 40, OPENED, "service", True)


@pytest.fixture
def plan() -> Any:
    return Plan(load_rule(RULE), SendingPolicy(), {}, NoSegments())


def test_what_is_sent_names_its_events_and_channels_and_has_what_goes_along(plan):
    said = about(plan, DUE, ROW, Action.FIRE, 45, "", ["push", ""])
    assert (said.action, said.due, said.sent, said.reason) == (Action.FIRE, 40, 45, "")
    assert (said.trigger_id, said.rule, said.version, said.number) == ("t-1", "asked", 3, 2)
    assert (said.key, said.channel, said.opened_by) == (["c-1"], ["push"], "o")
    assert [one.event_id for one in said.because.events] == ["s", "o", "k", "t"]
    assert (said.because.kept, said.because.values) == (7, {"opened.sku": "A"})
    assert said.because.sending == {"consent": "service, push", "time_zone": "UTC"}
    assert said.payload == {"opened.sku": "A", "customer.first_name": "Ana"}


@pytest.mark.parametrize(
    ("reason", "events"),
    [(HeldBack.CONSENT, ["s", "o", "k", "t"]), (HeldBack.PAST, ["s", "o", "k", "t", "c"])],
)
def test_what_is_held_back_has_no_payload_and_names_what_closed_it_where_it_came_too_late(
    plan, reason, events
):
    said = about(plan, DUE, ROW, Action.HELD_BACK, 45, reason, plan.rule.channel)
    assert [one.event_id for one in said.because.events] == events
    assert (said.reason, said.channel, said.payload) == (str(reason), ["email", "push"], {})


@pytest.mark.parametrize("closed", [None, CLOSED])
def test_what_is_taken_back_says_when_from_where_and_by_what(plan, closed):
    row = msgspec.structs.replace(ROW, status=FIRED, sent=45, changed=99, channel="push")
    said = taken_back(plan, "t-1", row, Retracted.CLOSED, closed, {"cart.value": 3.0})
    assert (said.action, said.due, said.sent, said.reason) == (Action.RETRACT, 40, 99, "closed")
    assert [one.event_id for one in said.because.events] == ["o", *(["c"] if closed else [])]
    assert (said.because.values, said.channel, said.payload) == ({"cart.value": 3.0}, ["push"], {})
