"""No trigger without its reason, none after its closing event is known, messages of one id alternate: shipped rules.

Lives have late events, merges, splits and erasures. Each message is judged by what was known of its customer when it
was published. `shipped_lives.CLOSES` is what calls a rule off, read from its description, and `REFERENCE` which
changes of reference data it wants.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.agents.rules import Rules
from stream_app.domain.event import Event
from stream_app.domain.folding import FoldLimits
from stream_app.domain.profile import END
from stream_app.domain.reference import References
from stream_app.domain.rules import Action, RuleBook, applying, fold, places
from stream_app.domain.rules.decision import HeldBack, Retracted
from stream_app.domain.rules.plan import Plan
from stream_app.domain.rules.settle import _Settlement
from tests.property.examples import search
from tests.property.lived_worlds import DAY, HOUR, ONE, Input, Made, played, wall, zone_at
from tests.property.reference_plants import (
    asks_for_nothing_where_a_change_opens,
    keeps_the_first_event_before,
)
from tests.property.rules_oracle_around import Around
from tests.property.rules_oracle_reference import BEHIND_ALL, changes
from tests.property.shipped_lives import AFTER, BOOKS, CLOSES, REFERENCE, RULES, START, shipped_lives
from tests.property.test_rules_any_order import alternates, held_once

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

LIMITS = st.builds(FoldLimits, st.integers(1, 6), st.integers(1, 3), st.integers(1, 4))


def has_its_reason(one: Made) -> None:
    """The events that a fire rests on are the customer's, are what the rule wants, and make it due when it was."""
    decision, rule = one.decision, RULES[one.decision.rule]
    refs = decision.because.events
    opened = next(ref for ref in refs if ref.role == "opened")
    for ref in refs:
        event = one.sees(ref.event_id)
        assert event is not None, f"it rests on {ref}, which isn't hers"
        if ref is opened and decision.rule in REFERENCE:
            is_opened_by_a_change(one, ref.time)
        else:
            assert (event.time, event.type) == (ref.time, ref.type)
    assert opened.event_id == decision.opened_by
    if rule.near is not None:
        is_where_she_came(one, opened.event_id)
    if rule.uses("weather"):
        is_weather_for_it(one)
    steps = [ref.type for ref in refs if ref.role == "step"] + [opened.type]
    for kind, pattern in zip(steps, rule.opens.patterns, strict=False):
        assert kind in pattern.event
    if rule.due_at is None:
        clocked = max(ref.time for ref in refs if ref.role in {"opened", "kept_open"})
        assert decision.due >= clocked + rule.after
    assert decision.due <= decision.sent <= one.clock


def is_opened_by_a_change(one: Made, time: int) -> None:
    """What was said makes a change at that time, the rule wants it, and it concerns her by her latest event before."""
    decision, wanted = one.decision, REFERENCE[one.decision.rule]
    item = decision.key[0]
    found = [
        each for each in changes(one.said) if (each.kind, each.item, each.time) == (wanted.kind, item, time)
    ]
    known = [event for event in one.known if event.time <= time]
    seen = [Around([*one.said]).seen(each, known) for each in found]
    assert [wanted.holds(*each) for each in seen] == [True], f"no such change: {found}"
    before = [
        event.event_id
        for event in one.known
        if event.type in wanted.before and event.time <= time and event.properties.get(wanted.match) == item
    ]
    assert decision.opened_by == before[-1]
    if wanted.kind == "product":
        assert item in wishes_and_baskets(event for event in one.known if event.time <= decision.sent)


def is_where_she_came(one: Made, event_id: str) -> None:
    """The event is a fix inside, reported by no till, and the fix before it, if there is one, is outside."""
    fixes = [event for event in one.known if "latitude" in event.properties]
    place = [event.event_id for event in fixes].index(event_id)
    inside = [event.properties["latitude"] == 45.7650 for event in fixes]
    assert inside[place]
    assert not (place and inside[place - 1])
    assert fixes[place].properties.keys().isdisjoint({"till_id", "order_id"})


def is_weather_for_it(one: Made) -> None:
    """Where she is it rained, or was no warmer than ten degrees in autumn, by the last word of six hours.

    All positions and the first shop are near the station. Who didn't let it be known where she is, shops there most.
    """
    sent = one.decision.sent
    told = [said for said in one.said if said.kind == "weather" and said.time <= sent][-1]
    assert sent - told.time <= 6 * HOUR
    assert told.fields is not None
    autumn = wall(sent, zone_at(one, "UTC")).month in {9, 10, 11}
    asks = told.fields["condition"] == "rain" or (told.fields.get("temperature_c", 99) <= 10 and autumn)
    assert asks, f"nobody sends for {told}"
    hers = [event for event in one.known if event.time <= sent and event.type != "Identify"]
    if any("latitude" in event.properties for event in hers) and any(map(lets_it_be_known, hers)):
        return
    visits = Counter(event.properties.get("store_id") for event in hers)
    assert visits["s1"] >= visits["s2"], "it isn't the weather of her shop"


def lets_it_be_known(event: Event) -> bool:
    """Tell whether an event is a yes to being told by where she is, on some channel."""
    said = event.properties
    return (
        event.type == "Consent Changed"
        and said.get("consent") is True
        and said.get("purpose") in (None, "location")
    )


def wishes_and_baskets(events: Iterable[Event]) -> set[str]:
    """Return what is on the wish list or in a basket, whichever; a basket is no more once it is ordered or emptied."""
    wished, held = set[str](), Counter[tuple[str, str]]()
    for event in events:
        sku, cart = event.properties.get("sku", ""), event.properties.get("cart_id", "")
        if event.type == "Product Added to Wishlist":
            wished.add(sku)
        elif event.type in {"Product Removed from Wishlist", "Wishlist Product Added to Cart"}:
            wished.discard(sku)
        if event.type in {"Product Added", "Wishlist Product Added to Cart"}:
            held[cart, sku] += 1
        elif event.type == "Product Removed" and held[cart, sku] > 0:
            held[cart, sku] -= 1
        elif event.type in {"Order Completed", "Cart Emptied"}:
            wished -= {line["sku"] for line in event.properties.get("products", ()) if "sku" in line}
            held = Counter({place: count for place, count in held.items() if cart and place[0] != cart})
    return wished | {sku for (_, sku), count in held.items() if count > 0}


def is_still_open(one: Made) -> None:
    """No event that calls it off is known, of the time at which it is sent or before."""
    decision = one.decision
    opened = one.sees(decision.opened_by)
    assert opened is not None
    begins = opened.order
    if decision.rule in REFERENCE:  # the change opened it, behind all events of its time
        begins = (next(ref.time for ref in decision.because.events if ref.role == "opened"), BEHIND_ALL)
    for event in one.known:
        if begins < event.order and event.time <= decision.sent:
            assert not CLOSES[decision.rule](opened, event), f"{event} had closed it"


def is_taken_back_for_a_reason(one: Made) -> None:
    decision = one.decision
    reason = Retracted(decision.reason)
    if reason is Retracted.CLOSED:
        opened = one.sees(decision.opened_by)
        closed = [ref for ref in decision.because.events if ref.role == "closed"]
        event = one.sees(closed[0].event_id) if closed else None
        assert opened is not None
        assert event is not None
        assert CLOSES[decision.rule](opened, event)


def check(life: Sequence[Input], book: RuleBook, folding: FoldLimits | None = None) -> list[Made]:
    made = played(book, life, AFTER, folding)
    alternates(one.decision for one in made)
    held_once(one.decision for one in made)
    for one in made:
        if one.decision.action == Action.FIRE:
            has_its_reason(one)
            is_still_open(one)
        elif one.decision.action == Action.RETRACT:
            is_taken_back_for_a_reason(one)
    return made


@pytest.mark.parametrize("name", sorted(RULES))
def test_each_message_has_its_reason_none_comes_after_what_calls_it_off_and_those_of_one_id_alternate(
    name: str,
) -> None:
    seen: Counter[str] = Counter()

    @settings(max_examples=60, deadline=None)
    @given(shipped_lives(name), st.sampled_from(BOOKS), LIMITS)
    def wanted(life: list[Input], book: RuleBook, folding: FoldLimits) -> None:
        made = check(life, book, folding)
        seen.update(str(one.decision.action) for one in made if one.decision.rule == name)

    wanted()
    if settings.default.derandomize:  # else what is drawn is another each time
        assert seen[Action.FIRE] > 0, "it never fired, so this shows nothing"


def test_what_quiet_hours_held_long_ago_is_not_recorded_again_with_each_timer() -> None:
    """An order's first sign of being ready comes a day late: `past`; and that is that, whatever is due for days."""

    def ready(event_id: str, at: int) -> Input:
        event = Event(
            event_id, START, "store", "Order Ready for Pickup", (ONE,), {}, at, f"store/0/{event_id}"
        )
        return Input(at, event)

    made = check([ready("b", START), ready("a", START + DAY)], BOOKS[1])
    past = [one.decision.opened_by for one in made if one.decision.reason == HeldBack.PAST]
    assert past == ["a"]


# -- planted bugs --------------------------------------------------------------------------------------------


def never_closes(patch: pytest.MonkeyPatch) -> None:
    """Let nothing call a rule off."""
    patch.setattr(applying, "_close", lambda *_: None)


def closes_what_is_open_alone(patch: pytest.MonkeyPatch) -> None:
    """Forget what closes a trigger between its due time and the time at which it is found late."""
    close = applying._close

    def wrong(plan: Any, pattern: Any, step: Any) -> None:
        elapsed = step.state.elapsed.pop(plan.id, None)
        close(plan, pattern, step)
        if elapsed is not None:
            step.state.elapsed[plan.id] = elapsed

    patch.setattr(applying, "_close", wrong)


def never_leaves(patch: pytest.MonkeyPatch) -> None:
    """Let a fix out of reach end no stay."""
    patch.setattr(places, "_leave", lambda *_: None)


def never_takes_back(patch: pytest.MonkeyPatch) -> None:
    """Forget that something was sent, rather than take it back."""

    def wrong(self: _Settlement, found: Any) -> None:
        for trigger in self.ledger.rows.keys() - found.keys():
            del self.ledger.rows[trigger]

    patch.setattr(_Settlement, "retract", wrong)


def forgets_when_folded_again(patch: pytest.MonkeyPatch) -> None:
    """Lose what was sent whenever a timeline is folded again."""
    merged = fold.merged
    patch.setattr(fold, "merged", lambda _: merged(()))


def loses_what_another_sent(patch: pytest.MonkeyPatch) -> None:
    """Forget what one of two customers was sent, when they turn out to be one."""
    patch.setattr(Rules, "join", lambda *_: END)


def doesnt_wait(patch: pytest.MonkeyPatch) -> None:
    """Let nothing restart the clock of what is open."""

    def wrong(_: Any, instance: Any, step: Any) -> None:
        instance.kept.append(step.ref("kept_open"))

    patch.setattr(applying, "_restart", wrong)


def takes_the_latest_weather(patch: pytest.MonkeyPatch) -> None:
    """Judge by what a station says now, whenever a message was due."""
    lately = References._lately
    patch.setattr(References, "_lately", lambda self, prefix, *_: lately(self, prefix, -(2**62), 2**62))


def judges_by_the_weather_of_the_opening(patch: pytest.MonkeyPatch) -> None:
    """Judge by the weather when she looked, not when the message is due."""
    outdoors = Plan._outdoors
    patch.setattr(Plan, "_outdoors", lambda self, one, _, *rest: outdoors(self, one, one.opened.time, *rest))


PLANTS = {
    takes_the_latest_weather: "weather_or_season",
    judges_by_the_weather_of_the_opening: "weather_or_season",
    never_closes: "abandoned_cart",
    closes_what_is_open_alone: "click_and_collect_ready",
    never_leaves: "near_store_offer",
    never_takes_back: "click_and_collect_ready",
    forgets_when_folded_again: "post_purchase_follow_up",
    loses_what_another_sent: "post_purchase_follow_up",
    doesnt_wait: "win_back",
    asks_for_nothing_where_a_change_opens: "back_in_stock",
    keeps_the_first_event_before: "store_pickup_ready",
}
"""With a rule by which each is seen soon."""


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_bug_is_caught(
    plant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)

    @search(2_000)
    @given(shipped_lives(PLANTS[plant]), st.sampled_from(BOOKS), LIMITS)
    def wanted(life: list[Input], book: RuleBook, folding: FoldLimits) -> None:
        check(life, book, folding)

    with pytest.raises(AssertionError):
        wanted()
