"""Folding and settling, one behaviour at a time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stream_app.domain.event import Event
from stream_app.domain.profile import Profile, apply
from stream_app.domain.rules import Action, Decision, RuleBook, RulesState, SendingPolicy, load_rule
from stream_app.domain.rules import settle as settle_module
from stream_app.domain.rules.applying import MAX_KEPT, MAX_OPEN
from stream_app.domain.rules.sending import QuietHours
from stream_app.domain.rules.settle import MAX_ELAPSED
from stream_app.domain.rules.state import MAX_ROWS, MAX_SENT, Ledger, Row, merged
from stream_app.domain.rules.trigger_id import trigger_id

MINUTE = 60_000
DAY = 1440 * MINUTE
LONG_AGO = -(2**62)
CART = """
name: cart
version: 1
channel: [email, push]
key: cart_id
opens: {event: Add}
keeps_open: {event: [Add, Look]}
closes: {event: Buy, match: cart_id}
after: 30m
"""


def book(extra: str = "", text: str = CART, **more: Any) -> RuleBook:
    return RuleBook([load_rule(text + extra)], **more)


def event(name: str, minute: float, kind: str, **properties: Any) -> Event:
    time = int(minute * MINUTE)
    return Event(name, time, "web", kind, ("cookie:1",), properties, time, "test")


def fold(rules: RuleBook, *events: Event) -> RulesState:
    state = rules.new_state()
    for one in events:
        rules.step(state, one)
    return state


def settle(
    rules: RuleBook,
    state: RulesState,
    clock: float,
    stood: float | None = None,
    profile: Profile | None = None,
    *identifiers: str,
) -> list[Decision]:
    at = LONG_AGO if stood is None else int(stood * MINUTE)
    return rules.settle(state, int(clock * MINUTE), at, profile, lambda: identifiers)


def brief(decisions: list[Decision]) -> list[tuple[str, str, str]]:
    return [(str(one.action), one.opened_by, one.reason) for one in decisions]


def test_silence_fires_once_at_the_due_time() -> None:
    rules = book("payload: [cart, opened.sku, last.sku, customer.first_name, store.nearest]")
    add = {"cart_id": "k", "sku": "A"}
    state = fold(rules, event("a", 0, "Add", **add), event("b", 10, "Look", cart_id="k", sku="B"))
    assert (rules.next_due(state) or 0) <= 40 * MINUTE
    assert settle(rules, state, 40) == []
    assert rules.next_due(state) == 40 * MINUTE
    profile = Profile()
    apply(profile, event("i", -5, "Identify", first_name="Ana"))
    (sent,) = settle(rules, state, 41, None, profile)
    assert (sent.action, sent.due, sent.sent) == (Action.FIRE, 40 * MINUTE, 40 * MINUTE)
    assert (sent.key, sent.channel, sent.opened_by) == (["k"], ["email", "push"], "a")
    assert sent.trigger_id == trigger_id("cart", 1, ["a"])
    assert [(ref.event_id, ref.role) for ref in sent.because.events] == [("a", "opened"), ("b", "kept_open")]
    assert sent.payload == {
        "cart": {"value": 0.0, "items": 0, "products": []},
        "opened.sku": "A",
        "last.sku": "B",
        "customer.first_name": "Ana",
    }
    assert rules.next_due(state) is None
    assert rules.settled(state, 99 * DAY)
    assert settle(rules, state, 99) == []


def test_a_purchase_read_in_order_but_after_the_trigger_was_sent_retracts_it() -> None:
    rules = book()
    state = fold(rules, event("a", 0, "Add", cart_id="k"))
    settle(rules, state, 31)
    rules.step(state, event("b", 15, "Buy", cart_id="k"))
    (back,) = settle(rules, state, 32, 32)
    assert (back.action, back.reason, back.sent) == (Action.RETRACT, "closed", 32 * MINUTE)
    assert [(ref.event_id, ref.role) for ref in back.because.events] == [("a", "opened"), ("b", "closed")]


def test_closing_events_without_the_matched_property_close_all_others_only_equal_ones() -> None:
    rules = book()
    opened = [event("a", 0, "Add", cart_id=1), event("b", 1, "Add", cart_id="2"), event("c", 2, "Add")]
    left = fold(rules, *opened, event("d", 3, "Buy", cart_id="1")).open["cart@1"]
    assert [one.opened.event_id for one in left.values()] == ["b", "c"]
    assert fold(rules, *opened, event("d", 3, "Buy")).open == {}
    assert fold(rules, *opened, event("d", 3, "Buy", cart_id=None)).open == {}


def test_a_keyed_rule_whose_closing_names_no_match_closes_all() -> None:
    rules = book(text="{name: x, key: k, opens: {event: Add}, closes: {event: Buy}, after: 30m}")
    opened = [event("a", 0, "Add", k=1), event("b", 1, "Add", k=2)]
    assert fold(rules, *opened, event("d", 3, "Buy", k=1)).open == {}


def test_keeping_events_keep_only_their_key() -> None:
    rules = book()
    state = fold(
        rules, event("a", 0, "Add", cart_id=1), event("b", 1, "Add", cart_id=2), event("c", 9, "Look")
    )
    assert [one.due for one in state.open["cart@1"].values()] == [30 * MINUTE, 31 * MINUTE]


def test_conditions_of_patterns_see_the_event_the_opening_and_the_basket() -> None:
    text = """
    name: x
    opens: {event: Product Added, if: event.price > 5 && cart.value >= 10.0 && channel == 'web'}
    keeps_open: {event: Look, if: event.n > opened.n && !(last.n >= event.n)}
    closes: {event: Buy, if: event.n == opened.n && time > timestamp('1970-01-01T00:01:00Z')}
    after: 30m
    """
    rules = book(text=text)
    opened = (
        event("a", 0, "Product Added", sku="A", price=6),
        event("b", 0.5, "Product Added", price=7, n=3),
    )
    state = fold(rules, *opened)
    (instance,) = state.open["x@1"].values()
    assert instance.opened.event_id == "b"
    assert instance.values == {"event.price": 7, "cart.value": 13.0, "channel": "web"}
    for minute, kind, n, due in [
        (1, "Look", 3, 30.5),
        (2, "Look", 4, 32),
        (3, "Look", 4, 32),
        (4, "Buy", 2, 32),
    ]:
        rules.step(state, event(f"e{minute}", minute, kind, n=n))
        assert next(iter(state.open["x@1"].values())).due == due * MINUTE
    rules.step(state, event("z", 5, "Buy", n=3))
    assert state.open == {}


def test_openings_outside_the_active_time_do_not_count() -> None:
    rules = book("active_from: 1970-01-01T00:01:00Z\nactive_until: 1970-01-01T00:02:00Z")
    for minute, opens in ((0.99, False), (1, True), (1.99, True), (2, False)):
        assert bool(fold(rules, event("a", minute, "Add")).open) is opens


def test_the_condition_sees_the_basket_as_of_the_due_time() -> None:
    text = "{name: x, opens: {event: Product Added}, after: 30m, if: cart.value >= 20.0, payload: cart.value}"
    rules = book(text=text)
    state = fold(
        rules,
        event("a", 0, "Product Added", sku="A", price=15),
        event("b", 30, "Product Viewed", sku="A"),
        event("c", 31, "Product Added", sku="A", price=15),
    )
    held, sent = settle(rules, state, 99)
    assert brief([held, sent]) == [("held_back", "a", "condition"), ("fire", "c", "")]
    assert (held.because.values, sent.payload) == ({"cart.value": 15.0}, {"cart.value": 30.0})


def test_a_late_event_that_spoils_the_condition_retracts() -> None:
    rules = book(text="{name: x, opens: {event: Product Added}, after: 30m, if: cart.value >= 20.0}")
    events = [event("a", 0, "Product Added", sku="A", price=25), event("z", 40, "Else")]
    state = fold(rules, *events)
    assert brief(settle(rules, state, 45)) == [("fire", "a", "")]
    late = event("b", 10, "Product Removed", sku="A", price=25)
    state = rules.refold([events[0], late, events[1]], [state.ledger])
    assert brief(settle(rules, state, 46, 46)) == [("retract", "a", "condition")]
    state = rules.refold(events, [state.ledger])
    assert brief(settle(rules, state, 47, 34)) == [("fire", "a", "")], "within grace it may go out again"


def test_what_is_found_late_is_judged_with_all_that_is_known_now() -> None:
    rules = book(text="{name: x, opens: {event: Product Added}, after: 30m, if: cart.value >= 20.0}")
    emptied = event("b", 31, "Order Completed")
    state = rules.refold([event("a", 0, "Product Added", sku="A", price=25), emptied])
    assert brief(settle(rules, state, 33, 33)) == [("held_back", "a", "condition")]


def test_what_found_no_room_is_skipped_for_good_even_if_a_retraction_makes_room() -> None:
    rules = book("at_most: {times: 1, per: 1d}")
    events = [event("a", 0, "Add", cart_id=1), event("b", 1, "Add", cart_id=2)]
    state = fold(rules, *events)
    assert brief(settle(rules, state, 32)) == [("fire", "a", ""), ("held_back", "b", "at_most")]
    rules.step(state, event("c", 20, "Buy", cart_id=1))
    assert brief(settle(rules, state, 33, 33)) == [("retract", "a", "closed")]
    again = rules.refold([*events, event("c", 20, "Buy", cart_id=1)], [state.ledger])
    assert settle(rules, again, 34, 34) == []


def test_at_most_rolls_and_counts_by_key_where_the_rule_says_so() -> None:
    times = [0.0, 100, 100 + 1440]
    events = [event(str(n), minute, "Add", cart_id=n) for n, minute in enumerate(times)]
    limited = book("at_most: {times: 1, per: 1d}")
    ever = book("at_most: {times: 2}")
    keyed = book("at_most: {times: 1, per_key: true}")
    fired = {
        name: [
            one.opened_by for one in settle(rules, fold(rules, *events), 9999) if one.action == Action.FIRE
        ]
        for name, rules in (("limited", limited), ("ever", ever), ("keyed", keyed))
    }
    assert fired == {"limited": ["0", "2"], "ever": ["0", "1"], "keyed": ["0", "1", "2"]}


def test_what_forbids_sending_is_asked_in_its_order() -> None:
    policy = SendingPolicy(
        consent_default={"marketing": True, "service": False},
        suppressed=frozenset({"email:no@example.org"}),
        addresses={"email": "email", "device": "push"},
    )
    added = event("a", 0, "Add")

    def outcome(extra: str, *identifiers: str) -> tuple[str, list[str]]:
        rules = RuleBook([load_rule(CART + extra)], policy)
        (decision,) = settle(rules, fold(rules, added), 31, None, None, *identifiers)
        return decision.reason, decision.channel

    assert outcome("purpose: service", "email:no@example.org") == ("consent", ["email", "push"])
    assert outcome("", "email:no@example.org", "device:d") == ("suppressed", ["email", "push"])
    assert outcome("", "cookie:c") == ("no_address", ["email", "push"])
    assert outcome("", "cookie:c", "device:d") == ("", ["push"])
    assert outcome("", "email:ana@example.org", "device:d") == ("", ["email", "push"])


def test_a_refold_years_later_is_silent_about_what_is_history() -> None:
    rules = book("at_most: {times: 9, per: 1d}")
    events = [event(f"{n:04}", n * 100, "Add", cart_id=n) for n in range(200)]
    state = fold(rules, *events)
    assert len(settle(rules, state, 100_000)) == 200
    years = 10 * 365 * 1440.0
    last = event("zz", years, "Else")
    rules.step(state, last)
    state = rules.refold([*events, last], [state.ledger])
    assert settle(rules, state, years, years) == []
    assert (state.elapsed, state.ledger.rows, rules.next_due(state)) == ({}, {}, None)
    without_ledger = rules.refold([*events, last])
    assert settle(rules, without_ledger, years, years) == []


def test_a_sent_trigger_whose_row_is_gone_does_not_fire_again_when_a_late_event_stretches_it() -> None:
    rules = book("retract_within: 10m\ngrace: 1m")
    first = event("a", 0, "Add", cart_id="k")
    state = fold(rules, first)
    assert brief(settle(rules, state, 31)) == [("fire", "a", "")]
    late = [event(f"l{n}", 25 + n * 25, "Look", cart_id="k") for n in range(4)]
    rules.step(state, event("m", 60, "Add", cart_id="other"))
    settle(rules, state, 105, 105)
    assert "a" not in {row.opened.event_id for row in state.ledger.rows.values()}
    state = rules.refold(sorted([first, *late], key=lambda one: one.order), [state.ledger])
    assert "a" in {one.opened.event_id for one in state.open["cart@1"].values()}
    assert settle(rules, state, 131, 105) == []
    assert rules.next_due(state) is None


def test_after_the_time_to_retract_what_was_sent_stands() -> None:
    rules = book("retract_within: 10m")
    state = fold(rules, event("a", 0, "Add", cart_id="k"))
    settle(rules, state, 31)
    rules.step(state, event("b", 15, "Look", cart_id="k"))
    assert settle(rules, state, 40.01, 40.01) == []
    assert settle(rules, state, 99, 40.01) == []


def test_of_two_ledgers_the_latest_message_counts() -> None:
    def ledger(status: str, changed: int, silent: int) -> Ledger:
        opened = fold(book(), event("a", 0, "Add")).open["cart@1"][""].opened
        row = Row("cart", "cart@1", 1, [], "", 0, 5, opened, status=status, sent=1, changed=changed, until=99)
        return Ledger({"t": row}, {"cart@1": silent}, {"cart@1": [f"t{silent}"]})

    both = [ledger("fired", 10, 3), ledger("retracted", 11, 2)]
    for ledgers in (both, both[::-1]):
        whole = merged(ledgers)
        assert (whole.rows["t"].status, whole.silent) == ("retracted", {"cart@1": 3})
        assert set(whole.sent["cart@1"]) == {"t2", "t3"}
    equal = [ledger("fired", 10, 3), ledger("retracted", 10, 2)]
    assert {merged(each).rows["t"].status for each in (equal, equal[::-1])} == {"fired"}


def test_a_split_takes_along_the_rows_of_its_own_opening_events() -> None:
    rules = book()
    state = fold(rules, event("a", 0, "Add", cart_id=1), event("b", 1, "Add", cart_id=2))
    settle(rules, state, 40)
    part = state.ledger.only({"b"})
    assert [row.opened.event_id for row in part.rows.values()] == ["b"]
    assert brief(settle(rules, rules.refold([event("b", 1, "Add", cart_id=2)], [part]), 41, 41)) == []


# -- what is decided for good ---------------------------------------------------------------------------------


def elapsed(state: RulesState) -> list[str]:
    return [one.instance.opened.event_id for ones in state.elapsed.values() for one in ones]


def test_what_was_sent_leaves_the_fold_and_is_neither_sent_again_nor_taken_back() -> None:
    rules = book()
    state = fold(rules, event("a", 0, "Add", cart_id="k"), event("b", 40, "Add", cart_id="2"))
    assert elapsed(state) == ["a"]
    assert brief(settle(rules, state, 71, 0)) == [("fire", "a", ""), ("fire", "b", "")]
    assert elapsed(state) == []
    rules.step(state, event("c", 45, "Buy", cart_id="2"))  # behind the clock: all is looked at again
    assert state.stale
    assert brief(settle(rules, state, 72, 72)) == [("retract", "b", "closed")]
    assert settle(rules, state, 99, 99) == []


def test_a_late_event_takes_back_what_has_left_the_fold() -> None:
    rules = book()
    ordered = [event("a", 0, "Add", cart_id="k"), event("x", 9, "Buy", cart_id="k"), event("b", 40, "Look")]
    state = fold(rules, ordered[0], ordered[2])
    assert brief(settle(rules, state, 41, 0)) == [("fire", "a", "")]
    state = rules.refold(ordered, [state.ledger])
    assert brief(settle(rules, state, 42, 42)) == [
        ("retract", "a", "closed" if state.closed else "unjustified")
    ]


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ({"consent_default": False}, []),
        ({"quiet_hours": QuietHours(0, 2 * 60 * MINUTE)}, ["a"]),
    ],
)
def test_what_was_held_back_for_good_leaves_the_fold_and_what_is_held_stays(
    what: Any, left: list[str]
) -> None:
    rules = book(policy=SendingPolicy(**what))
    state = fold(rules, event("a", 0, "Add", cart_id="k"))
    rules.elapse(state, 31 * MINUTE)
    settle(rules, state, 31, 0)
    held = [one.instance.opened.event_id for of in state.open.values() for i in of.values() for one in i.held]
    assert [*elapsed(state), *held] == left


def test_what_quiet_hours_hold_because_it_was_found_late_is_sent_when_they_end() -> None:
    rules = book("grace: 1d", policy=SendingPolicy(quiet_hours=QuietHours(60 * MINUTE, 120 * MINUTE)))
    state = fold(rules, event("a", 0, "Add", cart_id="k"), event("b", 40, "Look"))
    assert brief(settle(rules, state, 61, 61)) == [("held_back", "a", "quiet_hours")]
    assert elapsed(state) == ["a"]
    assert brief(settle(rules, state, 121, 119)) == [("fire", "a", "")]
    assert elapsed(state) == []


def test_what_the_condition_was_against_only_because_it_was_found_late_may_yet_be_sent() -> None:
    rules = book("if: cart.value >= 20.0\ngrace: 1d", CART.replace("Add", "Product Added"))
    add = {"cart_id": "k", "sku": "A", "price": 30}
    state = fold(
        rules,
        event("a", 0, "Product Added", **add),
        event("b", 40, "Product Removed", **add),
        event("c", 41, "Look"),
    )
    assert brief(settle(rules, state, 42, 42)) == [("held_back", "a", "condition")]
    assert elapsed(state) == ["a"]
    rules.step(state, event("d", 43, "Product Added", **add))
    assert brief(settle(rules, state, 99, 50)) == [("fire", "d", ""), ("fire", "a", "")]
    assert elapsed(state) == []


def test_a_row_stands_no_longer_than_its_trigger_could_be_taken_back_though_it_may_count_for_longer() -> None:
    rules = book("at_most: {times: 9, per: 30d}")
    state = fold(rules, event("a", 0, "Add", cart_id="k"), event("b", 40, "Look"))
    settle(rules, state, 41, 0)
    rules.step(state, event("c", 5 * 1440, "Add", cart_id="k"))
    settle(rules, state, 6 * 1440, 5 * 1440)
    assert [(row.opened.event_id, row.stands) for row in state.ledger.rows.values()] == [
        ("a", False),
        ("c", False),
    ]


def test_a_kept_fold_goes_on_without_what_has_left_it_unless_something_else_was_decided_since() -> None:
    rules = book()
    state = fold(rules, event("a", 0, "Add", cart_id="k"), event("b", 40, "Look"))
    settle(rules, state, 41, 0)
    kept, (trigger,) = rules.keep(state), state.ledger.rows
    again = rules.resume(kept, [state.ledger])
    assert again is not None
    assert again.ledger.rows[trigger].stands
    assert settle(rules, again, 43, 43) == []
    assert again.ledger.rows == state.ledger.rows
    for change in ({"status": "retracted"}, {"due": 1}, {"wake": 1}, {"reasons": ["cap"]}):
        row = msgspec.structs.replace(state.ledger.rows[trigger], **change)
        assert rules.resume(kept, [Ledger({trigger: row})]) is None
        history = rules.resume(kept, [Ledger({trigger: row}, {"cart@1": 30 * MINUTE})])
        assert history is not None
        assert not history.ledger.rows[trigger].stands
    assert rules.resume(kept, [Ledger()]) is not None, "one of too many rows has gone"


def test_a_row_stands_for_nothing_in_a_fold_that_is_made_anew_by_a_merge_or_for_a_split() -> None:
    rules = book()
    state = fold(rules, event("a", 0, "Add", cart_id="k"), event("b", 40, "Look"))
    settle(rules, state, 41, 0)
    assert [row.stands for row in state.ledger.rows.values()] == [True]
    for ledger in (merged([state.ledger]), state.ledger.only({"a"})):
        assert [row.stands for row in ledger.rows.values()] == [False]


def test_what_has_left_the_fold_counts_among_the_elapsed_of_which_the_oldest_become_history() -> None:
    def marks(patch: pytest.MonkeyPatch, *, kept: bool) -> list[int]:
        if kept:
            patch.setattr(settle_module, "_is_for_good", lambda *_: False)
        rules, found = book("at_most: {times: 9, per: 1d}"), []
        state = rules.new_state()
        for n in range(MAX_ELAPSED + 40):
            rules.step(state, event(f"{n:04}", n, "Add", cart_id=n))
            settle(rules, state, n)
            found.append(state.ledger.silent.get("cart@1", 0))
        return found

    with pytest.MonkeyPatch.context() as patch:
        without = marks(patch, kept=True)
    with pytest.MonkeyPatch.context() as patch:
        assert marks(patch, kept=False) == without
    assert len(set(without)) > 5


def test_an_event_of_a_customer_with_a_long_history_writes_a_small_row() -> None:
    rules, sizes = book("payload: [cart, opened.sku, opened.title]\nretract_within: 30d"), []
    state = rules.new_state()
    for n in range(200):
        start = n * 60
        more = {"cart_id": f"cart-{n}", "sku": f"SKU-{n}", "title": "a garden chair of teak"}
        rules.step(state, event(f"a{n}", start, "Add", **more))
        for look in range(10):
            rules.step(state, event(f"b{n}.{look}", start + look, "Look", cart_id=f"cart-{n}"))
        settle(rules, state, start + 59, start)
        if n % 100 == 1:
            sizes.append(len(msgspec.msgpack.encode(state)))
    grown = (sizes[1] - sizes[0]) / 100
    (row, *_) = state.ledger.rows.values()
    assert grown < 50 + len(msgspec.msgpack.encode(row)), (
        "a trigger leaves no more than its row in the ledger"
    )


def test_memory_per_customer_is_bounded() -> None:
    rules = book()
    state = rules.new_state()
    for n in range(MAX_OPEN + 50):
        rules.step(state, event(f"{n:05}", n / 1000, "Add", cart_id=n))
    assert len(state.open["cart@1"]) == MAX_OPEN
    for n in range(MAX_KEPT + 5):
        rules.step(state, event(f"x{n:05}", 1 + n, "Look", cart_id=1))
    instance = state.open["cart@1"]["1"]
    assert (len(instance.kept), instance.kept_count) == (MAX_KEPT, MAX_KEPT + 5)
    state = rules.new_state()
    for n in range(2 * MAX_ROWS):
        rules.step(state, event(f"{n:05}", n * 31 / 60, "Add", cart_id=n))
        settle(rules, state, n * 31 / 60)
    settle(rules, state, 99_999)
    assert len(state.elapsed.get("cart@1", [])) <= MAX_ELAPSED
    assert len(state.ledger.rows) <= MAX_ROWS
    assert len(state.ledger.sent["cart@1"]) <= MAX_SENT


def test_the_highest_version_of_a_name_counts_and_states_of_others_do_not_fit() -> None:
    old, new = load_rule(CART), load_rule(CART.replace("version: 1", "version: 2"))
    assert [rule.version for rule in RuleBook([new, old]).rules] == [2]
    state = fold(RuleBook([old]), event("a", 0, "Add"))
    assert settle(RuleBook([old]), state, 31)
    rules = RuleBook([old, new])
    assert RuleBook([old]).fits(state)
    assert not rules.fits(state)
    state = rules.refold([event("a", 0, "Add"), event("b", 40, "Add")], [state.ledger])
    assert brief(settle(rules, state, 99, 20)) == [("fire", "b", "")], "version 1 has sent the other"


def test_trigger_ids_are_of_the_rule_and_the_evidence() -> None:
    ids = {
        trigger_id("a", 1, ["x"]),
        trigger_id("a", 2, ["x"]),
        trigger_id("b", 1, ["x"]),
        trigger_id("a", 1, ["y"]),
        trigger_id("a", 1, ["x"], 1),
        trigger_id("a", 1, ["x", "y"]),
    }
    assert len(ids) == 6
    assert all(len(one) == 32 for one in ids)
    assert trigger_id("abandoned_cart", 2, ["e1"]) == "6a7c97301cf174fd1febc854415fc5dd"


@pytest.mark.parametrize("clock", [29, 30])
def test_nothing_is_sent_before_the_clock_has_passed_the_due_time(clock: int) -> None:
    rules = book()
    state = fold(rules, event("a", 0, "Add"))
    assert rules.settled(state, clock * MINUTE)
    assert settle(rules, state, clock) == []
