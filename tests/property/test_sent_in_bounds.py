"""Through the whole road: no cap is ever exceeded, and nothing is sent in quiet hours, whatever comes to light when.

People live around a change of the clocks of some zone; events come late, customers are joined, parted and erased. What
was sent before two customers were known to be one can't be unsent: from then on, the sends of both count, and no
further message may exceed a cap. The check looks at what was published, and computes with zoneinfo alone.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.agents.rules import Rules
from stream_app.domain.event import Event
from stream_app.domain.folding import FoldLimits
from stream_app.domain.profile import END, Profile, apply
from stream_app.domain.rules import Action, RuleBook, SendingPolicy, fold, limits, load_rule, plan, settle
from stream_app.domain.rules.sending import Cap, QuietHours
from tests.property.examples import search
from tests.property.lived_worlds import (
    DAY,
    HOUR,
    MINUTE,
    ONE,
    Input,
    Made,
    lives,
    played,
    sends,
    wall,
    zone_at,
)
from tests.property.test_sending_times import ZONES, changes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stream_app.domain.rules import Decision
    from tests.property.lived_worlds import Sent

RULES_TEXT = """
{name: note, channel: [email, push], opens: {event: Noted}, instances: per_event, grace: 1d, retract_within: 3d}
---
{name: basket, channel: [push, email], key: cart_id, opens: {event: Product Added}, after: 30m, priority: 5, grace: 6h,
 closes: {event: Order Completed, match: cart_id}, at_most: {times: 2, per: 1d}}
---
{name: help, purpose: service, channel: [sms, email], key: case_id, opens: {event: Complaint Raised}, after: 1h,
 closes: {event: Complaint Resolved}, instances: per_event, at_most: {times: 1, per: 12h, per_key: true}}
---
{name: news, channel: [email], ignore_caps: true, opens: {event: Noted, if: event.news}, after: 2h}
"""
RULES = [load_rule(text) for text in RULES_TEXT.split("---")]
NIGHT = QuietHours(21 * HOUR, 8 * HOUR)
HOURS = (NIGHT, QuietHours(90 * MINUTE, 3 * HOUR), QuietHours(3 * HOUR, 2 * HOUR), None)
HOME = "Europe/Paris"
AFTER = 6 * DAY
CAPS = st.builds(
    Cap,
    st.integers(1, 3),
    st.sampled_from((DAY, 2 * DAY)),
    st.sampled_from(("calendar", "rolling")),
    st.sampled_from((None, None, "email", "push")),
    st.sampled_from((None, "marketing", "service")),
)
LIMITS = st.builds(FoldLimits, st.integers(1, 6), st.integers(1, 3), st.integers(1, 4))


@st.composite
def policies(draw: st.DrawFn) -> SendingPolicy:
    caps = draw(st.lists(CAPS, min_size=1, max_size=3))
    return SendingPolicy(quiet_hours=draw(st.sampled_from(HOURS)), timezone=HOME, caps=tuple(caps))


@st.composite
def around_a_change(draw: st.DrawFn) -> list[Input]:
    """Draw a life that begins a day or two before a change of the clocks in one of its two zones."""
    zone, other = draw(st.sampled_from(ZONES)), draw(st.sampled_from(ZONES))
    change = draw(st.sampled_from(changes(zone) or (1_743_296_400_000,)))
    properties = st.fixed_dictionaries(
        {},
        optional={
            "cart_id": st.sampled_from(("k1", "k2")),
            "case_id": st.sampled_from(("c1", "c2")),
            "timezone": st.sampled_from((zone, zone, other)),
            "news": st.booleans(),
        },
    )
    kinds = ("Noted", "Noted", "Noted", "Product Added", "Order Completed", "Complaint Raised", "Page Viewed")
    acts = st.tuples(st.sampled_from(kinds), st.just("web"), properties)
    start = st.sampled_from((30, 40, 50)).map(lambda hours: change - hours * HOUR)
    gaps = (0, 10 * MINUTE, HOUR, 5 * HOUR, 11 * HOUR)
    return draw(lives(start, gaps, acts, (MINUTE, 40 * MINUTE, 2 * HOUR, 10 * HOUR, DAY)))


# -- the oracle ----------------------------------------------------------------------------------------------


def is_quiet(hours: QuietHours, shown: datetime) -> bool:
    of_day = (shown - shown.replace(hour=0, minute=0, second=0, microsecond=0)) // timedelta(milliseconds=1)
    if hours.start <= hours.end:
        return hours.start <= of_day < hours.end
    return of_day >= hours.start or of_day < hours.end


def check_quiet(made: Sequence[Made], policy: SendingPolicy) -> None:
    """Nothing is sent while the wall of the customer's zone shows quiet hours."""
    for one in made:
        if one.decision.action == Action.FIRE and policy.quiet_hours is not None:
            shown = wall(one.decision.sent, zone_at(one, policy.timezone))
            assert not is_quiet(policy.quiet_hours, shown), f"sent at {shown}"


def together(cap: Cap, one: int, other: int, zone: str) -> bool:
    """Tell whether two sends (ms) lie in one of a cap's windows."""
    assert cap.per is not None
    if cap.window == "rolling":
        return abs(one - other) < cap.per
    return abs(wall(one, zone).date() - wall(other, zone).date()) < timedelta(cap.per // DAY)


def check_caps(sent: Sent, policy: SendingPolicy) -> None:
    """With the message that goes out there are no more than `times` in any window that holds it."""
    one, zone = sent.made.decision, zone_at(sent.made, policy.timezone)
    ignoring = {rule.name for rule in RULES if rule.ignore_caps}
    for cap in policy.caps:
        if one.rule in ignoring or not counts(cap, one):
            continue
        counted = [other.sent for other in sent.standing if other.rule not in ignoring and counts(cap, other)]
        for end in [one.sent, *(other for other in counted if other > one.sent)]:
            within = [other for other in counted if other <= end and together(cap, other, end, zone)]
            if together(cap, one.sent, end, zone):
                assert len(within) < cap.times, f"{cap} and already {len(within)} sent"


def counts(cap: Cap, one: Decision) -> bool:
    return cap.channel in {None, one.channel[0]} and cap.purpose in {None, one.purpose}


def check_at_most(sent: Sent) -> None:
    """The rule's own limit, the same."""
    one = sent.made.decision
    limit = next(rule.at_most for rule in RULES if rule.name == one.rule)
    if limit is None:
        return
    assert limit.per is not None
    counted = [
        other
        for other in sent.standing
        if other.rule == one.rule
        and abs(other.sent - one.sent) < limit.per
        and (not limit.per_key or other.key == one.key)
    ]
    assert len(counted) < limit.times


def check(life: Sequence[Input], policy: SendingPolicy, folding: FoldLimits | None = None) -> list[Made]:
    made = played(RuleBook(RULES, policy), life, AFTER, folding)
    check_quiet(made, policy)
    for sent in sends(made):
        check_caps(sent, policy)
        check_at_most(sent)
    return made


@settings(max_examples=200, deadline=None)
@given(around_a_change(), policies(), LIMITS)
def test_no_cap_is_exceeded_and_nothing_is_sent_in_quiet_hours_whatever_comes_to_light_when(
    life: list[Input], policy: SendingPolicy, folding: FoldLimits
) -> None:
    check(life, policy, folding)


# -- every zone ----------------------------------------------------------------------------------------------


def days_around(change: int, zone: str) -> list[Input]:
    """Return a life with something to say every two hours or so, from a day before a change to a day behind it."""
    times = range(change - 26 * HOUR, change + 26 * HOUR, 131 * MINUTE)
    return [
        Input(time, Event(f"{time}", time, "web", "Noted", (ONE,), {"timezone": zone}, time, "web/0/0"))
        for time in times
    ]


def test_in_each_zone_all_is_sent_and_nothing_in_quiet_hours_around_either_kind_of_change() -> None:
    """Most clocks change between two and three: one of these nights ends by the change, or a second time."""
    policy = SendingPolicy(quiet_hours=QuietHours(21 * HOUR, 150 * MINUTE), timezone=HOME)
    book = RuleBook(RULES[:1], policy)
    for zone in ZONES:
        latest = {wall(at, zone).utcoffset(): at for at in changes(zone)}  # into summer time, and out of it
        for change in sorted(latest.values())[-2:]:
            life = days_around(change, zone)
            made = played(book, life, AFTER)
            check_quiet(made, policy)
            fired = [one.decision.opened_by for one in made if one.decision.action == Action.FIRE]
            assert sorted(fired) == [one.what.event_id for one in life if isinstance(one.what, Event)]


def test_a_zone_that_comes_to_light_during_a_hold_counts_when_the_hold_is_over() -> None:
    """It is held until eight in Paris; then it is known that she is in Brazil, where that is four in the morning."""
    night = 951_512_400_000  # 2000-02-25T21:00Z
    noted = Event("b", night, "web", "Noted", (ONE,), {}, night, "web/0/0")
    late = msgspec.structs.replace(
        noted, event_id="a", properties={"timezone": "America/Boa_Vista"}, type="Page Viewed"
    )
    policy = SendingPolicy(quiet_hours=NIGHT, timezone=HOME)
    made = check([Input(night, noted), Input(night + MINUTE, late)], policy)
    assert [wall(one.decision.sent, "America/Boa_Vista").hour for one in made] == [18, 8]
    assert [one.decision.action for one in made] == [Action.HELD_BACK, Action.FIRE]


def test_a_clock_that_leaps_over_such_a_hold_and_the_next_sends_at_the_end_of_the_last() -> None:
    night = 951_512_400_000
    noted = Event("b", night, "web", "Noted", (ONE,), {}, night, "web/0/0")
    state = (book := RuleBook(RULES[:1], SendingPolicy(quiet_hours=NIGHT, timezone=HOME))).new_state()
    book.step(state, noted, profile := Profile())
    book.settle(state, night + 1, night, profile)
    late = msgspec.structs.replace(
        noted, event_id="a", properties={"timezone": "America/Boa_Vista"}, type="Page Viewed"
    )
    apply(profile, late)
    again = book.refold([late, noted], [state.ledger])
    made = book.settle(again, night + 2 * DAY, night + 1, profile)
    assert [(one.action, wall(one.sent, "America/Boa_Vista").hour) for one in made] == [(Action.FIRE, 8)]
    assert book.settle(again, night + 3 * DAY, night + 2 * DAY, profile) == []


# -- planted bugs --------------------------------------------------------------------------------------------


def holds_nothing(patch: pytest.MonkeyPatch) -> None:
    """Forget quiet hours for what is due on time."""
    patch.setattr(plan.Plan, "_hold", lambda *_: None)


def knows_no_zones(patch: pytest.MonkeyPatch) -> None:
    """Take the deployment's zone for everybody's."""
    patch.setattr(plan, "zone_of", lambda _, policy: policy.timezone)


def asks_the_fold_alone(patch: pytest.MonkeyPatch) -> None:
    """Forget quiet hours for what is found late, and where a hold ends in another zone's."""
    begin = settle._Settlement.__init__

    def wrong(self: settle._Settlement, *given: Any) -> None:
        begin(self, *given)
        self.policy = msgspec.structs.replace(self.policy, quiet_hours=None)

    patch.setattr(settle._Settlement, "__init__", wrong)


def counts_one_too_few(patch: pytest.MonkeyPatch) -> None:
    """Allow a cap one more."""
    room = limits._room

    def wrong(policy: SendingPolicy, ledger: Any, cap: Cap, *rest: Any) -> bool:
        return room(policy, ledger, Cap(cap.times + 1, cap.per, cap.window, cap.channel, cap.purpose), *rest)

    patch.setattr(limits, "_room", wrong)


def loses_what_another_sent(patch: pytest.MonkeyPatch) -> None:
    """Count only what one of two customers was sent, when they turn out to be one."""
    patch.setattr(Rules, "join", lambda *_: END)


def keeps_what_another_opened(patch: pytest.MonkeyPatch) -> None:
    """Leave behind what was sent when customers are parted."""
    patch.setattr(Rules, "share", lambda *_: {})


def forgets_when_folded_again(patch: pytest.MonkeyPatch) -> None:
    """Lose what was sent whenever a timeline is folded again."""
    merged = fold.merged
    patch.setattr(fold, "merged", lambda _: merged(()))


def ignores_its_own_limit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(settle, "at_most", lambda *_: None)


@pytest.mark.parametrize(
    "plant",
    [
        holds_nothing,
        knows_no_zones,
        asks_the_fold_alone,
        counts_one_too_few,
        loses_what_another_sent,
        keeps_what_another_opened,
        forgets_when_folded_again,
        ignores_its_own_limit,
    ],
)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    @search(1_000)
    @given(around_a_change(), policies(), LIMITS)
    def wanted(life: list[Input], policy: SendingPolicy, folding: FoldLimits) -> None:
        check(life, policy, folding)

    with pytest.raises(AssertionError):
        wanted()
