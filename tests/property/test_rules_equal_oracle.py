"""The pipeline's own rules against the oracle, on random rules, policies and timelines: resolver, components and all.

On time, every message and every decision must be the same. Late, in any order and with leaps of the clock: what is
left at the end, under rules whose outcome doesn't depend on when something was found out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.agents.rules import Rules
from stream_app.domain import reference, stations
from stream_app.domain.reference import References, Taken
from stream_app.domain.rules import Action, changes
from stream_app.domain.rules import weather as weather_module
from stream_app.domain.rules.fold import Fold
from stream_app.domain.rules.paths import resolve
from stream_app.domain.rules.plan import Plan
from stream_app.domain.rules.settle import _Settlement
from stream_app.domain.stations import Stations
from stream_app.runs.rule_cases import Case, Runner
from tests.property.examples import examples, search
from tests.property.reference_plants import (
    asks_for_nothing_where_a_change_opens,
    keeps_the_first_event_before,
)
from tests.property.rule_strategies import World, worlds
from tests.property.rules_oracle import Answer, answer

if TYPE_CHECKING:
    from stream_app.domain.rules import Decision
    from stream_app.runs.rule_expectations import Outcome

RUNNER = Runner({})


def played(world: World) -> list[Outcome]:
    outcomes, _ = RUNNER.run(msgspec.convert({**world, "expect": {}}, Case))
    return outcomes


def told(world: World) -> Answer:
    return answer(world["rules"], world["events"], world["until"], world["policy"], world["reference"])


def check_on_time(world: World) -> None:
    expected, messages, held = told(world), [], set()
    for outcome in played(world):
        one = outcome.decision
        if one.action == Action.FIRE:
            sends_the_shops_along(world, expected, one)
        if one.action == Action.HELD_BACK:
            held.add((one.rule, one.opened_by, one.due, one.number, str(one.reason)))
        else:
            messages.append(
                (one.sent, str(one.action), one.rule, one.opened_by, one.due, (*one.channel, None)[0])
            )
    assert sorted(messages, key=repr) == sorted(
        (
            (one.sent, one.action, one.firing.rule["name"], one.firing.opened.event_id, one.due, one.channel)
            for one in expected.messages
        ),
        key=repr,
    )
    assert held == {
        (one.firing.rule["name"], one.firing.opened.event_id, one.due, one.firing.number, one.reason)
        for one in expected.held_back
    }


def sends_the_shops_along(world: World, expected: Answer, one: Decision) -> None:
    """Which shops go along is as the oracle says."""
    names = [name for name in world["rules"][0].get("payload", ()) if name.startswith("store.")]
    if names:
        fires = [each for each in expected.messages if each.action == "fire" and each.sent == one.sent]
        stores = [each.store for each in fires if each.firing.opened.event_id == one.opened_by]
        wanted = [
            {name: resolve(tuple(name.split(".")), {"store": store}) for name in names} for store in stores
        ]
        assert {name: one.payload.get(name) for name in names} in wanted


@examples(300)
@given(worlds())
def test_on_time_every_message_and_every_decision_is_the_oracles(world: World) -> None:
    check_on_time(world)


@examples(400)
@given(worlds(reference=True))
def test_on_time_what_reference_data_open_is_the_oracles_too(world: World) -> None:
    check_on_time(world)


@examples(400)
@given(worlds(weather=True))
def test_on_time_what_weather_and_season_decide_is_the_oracles_too(world: World) -> None:
    check_on_time(world)


def check_what_is_left(world: World) -> None:
    last = {
        one.decision.trigger_id: one.decision
        for one in played(world)
        if one.decision.action != Action.HELD_BACK
    }
    left = sorted((one.rule, one.opened_by, one.number) for one in last.values() if one.action == Action.FIRE)
    assert left == sorted(
        (one.firing.rule["name"], one.firing.opened.event_id, one.firing.number) for one in told(world).net
    )


@examples(200)
@given(worlds(late=True, plain=True))
def test_in_any_order_what_is_left_is_what_the_oracle_leaves(world: World) -> None:
    check_what_is_left(world)


@examples(300)
@given(worlds(late=True, plain=True, reference=True))
def test_in_any_order_what_is_left_of_what_reference_data_open_is_the_oracles_too(world: World) -> None:
    check_what_is_left(world)


@examples(150)
@given(st.one_of(worlds(late=True), worlds(late=True, reference=True), worlds(late=True, weather=True)))
def test_messages_alternate_and_no_reason_is_told_twice(world: World) -> None:
    said: dict[str, str] = {}
    reasons: list[Any] = []
    for outcome in played(world):
        one = outcome.decision
        if one.action == Action.HELD_BACK:
            reasons.append((one.trigger_id, one.reason))
            continue
        before = said.get(one.trigger_id)
        assert one.action == (Action.RETRACT if before == Action.FIRE else Action.FIRE)
        said[one.trigger_id] = one.action
    assert len(reasons) == len(set(reasons))


def ignores_quiet_hours(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Plan, "_hold", lambda *_: None)


def forgets_to_elapse(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Fold, "_elapse", lambda *_: None)


def sends_without_consent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(_Settlement, "unreachable", lambda _, finding: (finding.plan.rule.channel, None))


def takes_the_less_important_first(patch: pytest.MonkeyPatch) -> None:
    order = _Settlement.order

    def wrong(self: _Settlement, finding: Any) -> Any:
        at, priority, *rest = order(self, finding)
        return (at, -priority, *rest)

    patch.setattr(_Settlement, "order", wrong)


@pytest.mark.parametrize(
    "plant",
    [ignores_quiet_hours, forgets_to_elapse, sends_without_consent, takes_the_less_important_first],
)
def test_a_planted_bug_is_caught(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    @search(1500)
    @given(worlds())
    def wanted(world: World) -> None:
        check_on_time(world)

    with pytest.raises((AssertionError, IndexError)):
        wanted()


# -- planted bugs of reference data --------------------------------------------------------------------------


def takes_a_first_value_for_a_change(patch: pytest.MonkeyPatch) -> None:
    def wrong(rule: Any, change: Any) -> bool:
        old, new = change.old.get(rule.field), change.new.get(rule.field)
        return rule.kind == change.kind and new is not None and old != new

    patch.setattr(changes, "looks_at", wrong)


def takes_the_same_value_for_a_change(patch: pytest.MonkeyPatch) -> None:
    def wrong(rule: Any, change: Any) -> bool:
        return rule.kind == change.kind and None not in (
            change.old.get(rule.field),
            change.new.get(rule.field),
        )

    patch.setattr(changes, "looks_at", wrong)


def looks_at_any_field(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(changes, "looks_at", lambda rule, change: rule.kind == change.kind and bool(change.old))


def wants_the_event_before_to_be_earlier(patch: pytest.MonkeyPatch) -> None:
    apply_change = changes.apply_change

    def wrong(world: Any, plan: Any, state: Any, change: Any, profile: Any) -> None:
        before = state.before.get(plan.id, {}).get(change.item)
        if before is not None and before.event.time < change.time:
            apply_change(world, plan, state, change, profile)

    patch.setattr("stream_app.domain.rules.fold.apply_change", wrong)


def forgets_fields_that_are_not_named(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reference, "_after", lambda _, said: {name: value for name, value in said.items() if name})


def does_not_hear_that_an_item_is_gone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reference, "_after", lambda old, said: old | {k: v for k, v in said.items() if k})


def mistakes_the_new_row_for_the_old(patch: pytest.MonkeyPatch) -> None:
    revised = changes.Revised
    patch.setattr(changes, "Revised", lambda _, new, before: revised(new, new, before))


def opens_where_it_was_not_quiet_before(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(changes, "counts", lambda *_: True)


def spreads_no_correction(patch: pytest.MonkeyPatch) -> None:
    take = References.take

    def wrong(self: References, said: Any) -> Taken:
        taken = take(self, said)
        return Taken.NEWS if taken is Taken.CORRECTION else taken

    patch.setattr(References, "take", wrong)


def tells_triggers_by_the_change_alone(patch: pytest.MonkeyPatch) -> None:
    open_instance = changes.open_instance

    def wrong(plan: Any, step: Any, opening: Any, kept: Any) -> None:
        opening.evidence = opening.evidence[:1]
        open_instance(plan, step, opening, kept)

    patch.setattr(changes, "open_instance", wrong)


def tells_triggers_by_the_event_before_alone(patch: pytest.MonkeyPatch) -> None:
    open_instance = changes.open_instance

    def wrong(plan: Any, step: Any, opening: Any, kept: Any) -> None:
        opening.evidence = opening.evidence[1:]
        open_instance(plan, step, opening, kept)

    patch.setattr(changes, "open_instance", wrong)


def takes_a_late_change_as_if_it_came_in_order(patch: pytest.MonkeyPatch) -> None:
    def wrong(self: Rules, customer: Any, change: Any) -> bool:
        self._revise(self._row(customer).state, None, change, customer.profile)
        return True

    patch.setattr(Rules, "on_change", wrong)


IN_ORDER = [
    takes_a_first_value_for_a_change,
    takes_the_same_value_for_a_change,
    looks_at_any_field,
    asks_for_nothing_where_a_change_opens,
    keeps_the_first_event_before,
    wants_the_event_before_to_be_earlier,
    forgets_fields_that_are_not_named,
    does_not_hear_that_an_item_is_gone,
    mistakes_the_new_row_for_the_old,
    opens_where_it_was_not_quiet_before,
    spreads_no_correction,
    tells_triggers_by_the_event_before_alone,
]
LATE = [tells_triggers_by_the_change_alone, takes_a_late_change_as_if_it_came_in_order]


@pytest.mark.parametrize("plant", [*IN_ORDER, *LATE])
def test_a_bug_in_what_reference_data_open_is_caught(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    late = plant in LATE

    @search(3_000)
    @given(worlds(reference=True, late=late, plain=late))
    def wanted(world: World) -> None:
        (check_what_is_left if late else check_on_time)(world)

    with pytest.raises(AssertionError):
        wanted()


# -- planted bugs of weather and season ----------------------------------------------------------------------


def knows_where_she_is_without_her_leave(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Plan, "_may_locate", lambda *_: True)


def takes_leave_on_one_channel_for_all(patch: pytest.MonkeyPatch) -> None:
    may = Plan._may_locate
    patch.setattr(Plan, "_may_locate", lambda self, profile, _: may(self, profile, ()))


def knows_no_shop(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(weather_module, "preferred_store", lambda _: None)


def goes_to_the_shop_first(patch: pytest.MonkeyPatch) -> None:
    position_of = weather_module.position_of

    def wrong(spot: Any, profile: Any, surroundings: Any, time: int, *, located: bool) -> Any:
        store = None if profile is None else weather_module.preferred_store(profile)
        found = None if store is None else weather_module._store(store, surroundings, time)
        return found or position_of(spot, profile, surroundings, time, located=located)

    patch.setattr("stream_app.domain.rules.plan.position_of", wrong)


def asks_the_farthest_station(patch: pytest.MonkeyPatch) -> None:
    near = Stations.near
    patch.setattr(Stations, "near", lambda self, *where: reversed(list(near(self, *where))))


def asks_the_nearest_station_alone(patch: pytest.MonkeyPatch) -> None:
    near = Stations.near
    patch.setattr(Stations, "near", lambda self, *where: list(near(self, *where))[:1])


def asks_a_station_however_far(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(stations, "REACH_M", 100_000)


def believes_what_is_old(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reference, "FRESH_MS", stations.FRESH_MS + 60_000)


def takes_six_hours_for_old(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reference, "FRESH_MS", stations.FRESH_MS - 1)


def believes_the_last_word_whenever_it_was_said(patch: pytest.MonkeyPatch) -> None:
    lately = References._lately
    patch.setattr(References, "_lately", lambda self, prefix, since, _: lately(self, prefix, since, 2**62))


def keeps_what_a_station_says_no_more(patch: pytest.MonkeyPatch) -> None:
    take = References.take

    def wrong(self: References, said: Any) -> Taken:
        if said.kind == "weather" and said.fields is not None:
            before = self._lately(reference.item_key("weather", said.item), -(2**62), said.time)
            said = msgspec.structs.replace(said, fields=before | said.fields)
        return take(self, said)

    patch.setattr(References, "take", wrong)


def does_not_hear_that_a_station_is_gone(patch: pytest.MonkeyPatch) -> None:
    take = References.take
    patch.setattr(
        References,
        "take",
        lambda self, said: (
            Taken.NOTHING if (said.kind, said.fields) == ("weather", None) else take(self, said)
        ),
    )


def finds_a_station_where_it_was(patch: pytest.MonkeyPatch) -> None:
    near = Stations.near

    def wrong(self: Stations, *where: float) -> Any:
        """Have every station be wherever its last word says that it is."""
        for station, spot in near(self, *where):
            patch.setattr(reference, "spot_of", lambda row, spot=spot: spot if row else None)
            yield station, spot

    patch.setattr(Stations, "near", wrong)


def puts_all_seasons_in_the_north(patch: pytest.MonkeyPatch) -> None:
    season_of = weather_module.season_of
    patch.setattr("stream_app.domain.rules.plan.season_of", lambda _, *rest: season_of(None, *rest))


def judges_by_the_time_of_the_opening(patch: pytest.MonkeyPatch) -> None:
    outdoors = Plan._outdoors
    patch.setattr(Plan, "_outdoors", lambda self, one, _, *rest: outdoors(self, one, one.opened.time, *rest))


@pytest.mark.parametrize(
    "plant",
    [
        knows_where_she_is_without_her_leave,
        takes_leave_on_one_channel_for_all,
        knows_no_shop,
        goes_to_the_shop_first,
        asks_the_farthest_station,
        asks_the_nearest_station_alone,
        asks_a_station_however_far,
        believes_what_is_old,
        takes_six_hours_for_old,
        believes_the_last_word_whenever_it_was_said,
        keeps_what_a_station_says_no_more,
        does_not_hear_that_a_station_is_gone,
        finds_a_station_where_it_was,
        puts_all_seasons_in_the_north,
        judges_by_the_time_of_the_opening,
    ],
)
def test_a_bug_in_weather_or_season_is_caught(plant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)

    @search(5_000)
    @given(worlds(weather=True))
    def wanted(world: World) -> None:
        check_on_time(world)

    with pytest.raises(AssertionError):
        wanted()
