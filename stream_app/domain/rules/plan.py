"""A rule as the fold and the settling want it: what it names, worked out once; when it is due; how it is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.rules import nearest, shelf
from stream_app.domain.rules.due import local_due, named_due
from stream_app.domain.rules.model import FOREVER, Rule, pick
from stream_app.domain.rules.paths import names_below
from stream_app.domain.rules.person import LOCATION, allowed, date_of, names_only_traits, view_of, zone_of
from stream_app.domain.rules.places import view
from stream_app.domain.rules.regions import PRICES, PRODUCT, regions_of, row_in
from stream_app.domain.rules.state import Instance, Occurrence, RulesState
from stream_app.domain.rules.surroundings import Prices
from stream_app.domain.rules.trigger_id import trigger_id
from stream_app.domain.rules.weather import OUTDOORS, position_of, season_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.person import Segments
    from stream_app.domain.rules.sending import SendingPolicy
    from stream_app.domain.rules.surroundings import Surroundings

MAX_AT_ONCE = 256
"""Repeats of one instance that one step or settling looks at, the latest."""


class Plan:
    """A rule, the policy by which it is sent, the segments, and reference data."""

    __slots__ = (
        "asks_for",
        "before_names",
        "customer_judged",
        "customer_sent",
        "first_names",
        "horizon",
        "id",
        "is_local",
        "keeps_cart",
        "last_names",
        "later_types",
        "memory",
        "nearest_names",
        "needs_cart",
        "new_names",
        "now_names",
        "old_names",
        "opened_names",
        "opens_by_traits",
        "opens_types",
        "policy",
        "purposes",
        "rule",
        "sees_customer",
        "segments",
        "sends_customer",
        "sends_stock",
        "sends_store",
        "sends_weather",
        "surroundings",
        "uses_now",
        "uses_stock",
        "uses_store",
        "uses_weather",
    )

    def __init__(
        self,
        rule: Rule,
        policy: SendingPolicy,
        segments: Segments,
        surroundings: Surroundings,
    ) -> None:
        """Work out what the rule names."""
        self.surroundings = surroundings
        self.rule = rule
        self.policy = policy
        self.segments = segments
        self.id = rule.id
        self.nearest_names = nearest.names_in(rule.paths())
        self.opened_names = rule.names("opened")
        if nearest.IN_STOCK in self.nearest_names and self.opened_names is not None:
            self.opened_names |= {*nearest.PRODUCT}
        self.uses_stock = rule.near is not None and rule.uses("stock")
        self.asks_for = frozenset[shelf.Asked]()
        if self.uses_stock and rule.condition is not None:
            self.asks_for = shelf.asked(rule.condition.source)
        self.uses_now = rule.opens.reference is not None and rule.uses("now")
        if self.uses_now and rule.opens.reference is not None and self.opened_names is not None:
            self.opened_names |= {rule.opens.reference.match}  # by which the item is found again
        self.uses_store = rule.uses("store")
        self.uses_weather = any(map(rule.uses, OUTDOORS))
        self.last_names = rule.names("last")
        self.first_names = rule.names("first")
        self.old_names = rule.names("old")
        self.new_names = rule.names("new")
        self.before_names = rule.names("before")
        payload = [tuple(name.split(".")) for name in rule.payload]
        self.sends_customer = any(path[0] == "customer" for path in payload)
        self.sends_store = any(path[0] == "store" for path in payload)
        self.sends_stock = any(path[0] == "stock" for path in payload)
        self.sends_weather = any(path[0] in OUTDOORS for path in payload)
        self.purposes = (rule.purpose,) if rule.near is None else (rule.purpose, LOCATION)
        self.now_names = names_below(payload, "now")
        self.customer_sent = names_below(payload, "customer")
        judged = [] if rule.condition is None else rule.condition.paths
        self.customer_judged = names_below([*payload, *judged], "customer")
        self.needs_cart = (
            self.uses_stock
            or nearest.IN_STOCK in self.nearest_names
            or (rule.condition is not None and "cart" in rule.condition.roots)
        )
        self.keeps_cart = any(name.split(".")[0] == "cart" for name in rule.payload)
        self.opens_types = rule.opens.event
        self.later_types = frozenset[str]().union(*(pattern.event for pattern in rule.opens.patterns[1:]))
        self.is_local = rule.due_at is not None and rule.due_at.is_local
        profile = rule.opens.profile
        self.opens_by_traits = profile is not None and names_only_traits(profile.customer)
        sees = OUTDOORS | {"customer"}  # where she is, and when, is in the profile
        self.sees_customer = bool(nearest.names_in(judged)) or any(
            not sees.isdisjoint(condition.roots) for condition in rule.conditions()
        )
        self.memory = rule.memory + policy.longest_hold
        """How long (ms) after its due time a trigger can still be sent or taken back."""
        self.horizon = max(rule.horizon, self.memory, policy.longest_memory)
        """How long (ms) after it was sent a message still matters: to its rule, or to count it."""

    def trigger_id(self, instance: Instance, number: int) -> str:
        """Return the name of an instance's trigger, the first or a repeat."""
        return trigger_id(self.rule.name, self.rule.version, instance.evidence, number)

    # -- when -------------------------------------------------------------------------------------------

    def due(self, time: int, properties: Mapping[str, Any], profile: Profile | None) -> int:
        """Return when what an event opens or opens again is due; `time` is the event's."""
        due_at = self.rule.due_at
        if due_at is None:
            return time + self.rule.after
        if due_at.named is not None:
            return named_due(due_at, properties.get(due_at.named))
        return self.local_due(time, profile)

    def local_due(self, start: int, profile: Profile | None) -> int:
        """Return the next due time by the customer's calendar after `start`."""
        due_at = self.rule.due_at
        if due_at is None:
            return FOREVER
        date = None if due_at.yearly is None else date_of(profile, due_at.yearly)
        return local_due(due_at, start, zone_of(profile, self.policy), date)

    def following(self, instance: Instance, due: int, profile: Profile | None) -> int | None:
        """Return the due time after `due`; None: that was the last."""
        rule = self.rule
        if rule.repeat is not None:
            within = rule.repeat_within
            following = due + rule.repeat
            return following if within is None or following <= instance.opened.time + within else None
        if rule.due_at is not None and rule.due_at.yearly is not None:
            following = self.local_due(due, profile)
            return None if following == FOREVER else following
        return None

    def awaits(self, instance: Instance) -> bool:
        """Tell whether an instance's due time is only the end of a silence, after which an event is awaited."""
        return self.rule.then is not None and not instance.waiting

    def dues(
        self, instance: Instance, until: int, since: int, profile: Profile | None
    ) -> Iterator[tuple[int, int]]:
        """Yield (number, due time) of an open instance, later than `since` and before `until`."""
        if instance.over or self.awaits(instance):
            return
        due, number = skip(self.rule, instance.due, instance.number, since, until)
        while due < until:
            if max(due, instance.opened.time) > since:
                yield number, due
            following = self.following(instance, due, profile)
            if following is None:
                return
            due, number = following, number + 1

    def next_due(self, instance: Instance, since: int, profile: Profile | None) -> int | None:
        """Return the first due time of an open instance that isn't before `since`; None: it waits, or never is."""
        if instance.over or self.awaits(instance):
            return None
        due, _ = skip(self.rule, instance.due, instance.number, since - 1, since)
        while due < since:
            following = self.following(instance, due, profile)
            if following is None:
                return None
            due = following
        return due

    # -- judging ----------------------------------------------------------------------------------------

    def judge(
        self,
        state: RulesState,
        instance: Instance,
        number: int,
        due: int,
        until: int,
        profile: Profile | None,
    ) -> Occurrence:
        """Judge an instance at a due time by the events folded; none between then and `until` is outstanding.

        Where `at` of what is returned is not before `until`, quiet hours hold it till then.
        """
        occurrence = Occurrence(
            self.trigger_id(instance, number), number, instance, due, due, True, {}, None, {}, [], ""
        )
        self._look(state, occurrence, profile)
        self._hold(state, occurrence, until, profile)
        return occurrence

    def judge_again(
        self, state: RulesState, held: Occurrence, until: int, profile: Profile | None
    ) -> Occurrence:
        """Judge what was held, as of the end of the quiet hours, by the events folded."""
        occurrence = msgspec.structs.replace(held)
        self._look(state, occurrence, profile)
        self._hold(state, occurrence, until, profile)
        return occurrence

    def refresh(self, state: RulesState, found: Occurrence, at: int, profile: Profile | None) -> Occurrence:
        """Judge what is found late by all that is known at `at`."""
        occurrence = msgspec.structs.replace(found, at=at)
        self._look(state, occurrence, profile)
        return occurrence

    def _store(
        self,
        instance: Instance,
        time: int,
        cart: dict[str, Any] | None,
        profile: Profile | None,
        channels: Sequence[str],
    ) -> dict[str, Any] | None:
        """Return what `store` means at a time: the one near which she was, as it is by now; and the nearest ones."""
        spot = instance.spot
        store = None if spot is None else view(self.surroundings, spot, time)
        if not self.nearest_names:
            return store
        by_position = self._may_locate(profile, channels)
        most = nearest.MAX_STORES if nearest.IN_STOCK in self.nearest_names else 1
        stores = nearest.around(self.surroundings, profile, time, most, by_position=by_position)
        found = {} if store is None else store
        for name in self.nearest_names:
            one = stores[0] if stores else None
            if name == nearest.IN_STOCK:
                products = nearest.wanted(instance.facts, cart)
                one = nearest.in_stock(self.surroundings, stores, products, time)
            row = None if one is None else nearest.row_of(self.surroundings, *one, time)
            if row is not None:
                found[name] = row
        return found or None

    def _may_locate(self, profile: Profile | None, channels: Sequence[str]) -> bool:
        """Tell whether a message may go by where she is: on each of its channels she has consented to that."""
        located = allowed(profile, self.policy, (LOCATION,), self.rule.channel)
        return bool(located) and set(channels) <= set(located)

    def _stock(
        self, instance: Instance, time: int, variables: Mapping[str, Any], profile: Profile | None
    ) -> dict[str, int]:
        """Return what `stock` means at a time (`shelf`)."""
        spot, cart = instance.spot, variables["cart"]
        if spot is None:
            return {}
        wanted = shelf.named(self.asks_for, variables)
        if cart is not None:
            wanted.update(one["item"] for one in cart["products"])
        if profile is not None:
            wanted.update(wish.item for wish in profile.wishes)
        return dict.fromkeys(self.surroundings.having(spot.store, sorted(wanted), time), shelf.HAS)

    def _now(
        self, state: RulesState, instance: Instance, time: int, profile: Profile | None
    ) -> dict[str, Any]:
        """Return what `now` means at a time: the row of the item that opened it, with the prices of her region."""
        reference = self.rule.opens.reference
        item = None if reference is None else instance.facts.get(reference.match)
        if reference is None or item is None:
            return {}
        row = self.surroundings.row(reference.kind, item, time)
        if reference.kind == PRODUCT and PRICES in row:
            row = row_in(row, regions_of(state, profile, self.surroundings, time))
        return row

    def _outdoors(
        self, instance: Instance, time: int, profile: Profile | None, channels: Sequence[str]
    ) -> dict[str, Any]:
        """Return what `weather` and `season` mean at a time, where the customer is."""
        located = self._may_locate(profile, channels)
        here = position_of(instance.spot, profile, self.surroundings, time, located=located)
        weather = {} if here is None else self.surroundings.weather(*here, time)
        return {"weather": weather, "season": season_of(here, profile, self.policy, time)}

    def _hold(self, state: RulesState, occurrence: Occurrence, until: int, profile: Profile | None) -> None:
        """Move `at` out of quiet hours, judging again at the end of each, as long as that is before `until`."""
        while occurrence.at < until and occurrence.passed and occurrence.channels:
            free = self.policy.quiet_until(occurrence.at, occurrence.zone)
            if free == occurrence.at:
                return
            occurrence.at = free
            if free < until:
                self._look(state, occurrence, profile)

    def _look(self, state: RulesState, occurrence: Occurrence, profile: Profile | None) -> None:
        """Take in the state of things, and judge the rule's `if` by it."""
        rule, instance = self.rule, occurrence.instance
        condition = rule.condition
        cart = None
        if self.needs_cart or self.keeps_cart:
            cart = state.baskets.view(
                instance.cart_id, Prices(self.surroundings, occurrence.at, state, profile)
            )
        names = self.customer_judged
        customer = (
            {} if names is not None and not names else view_of(profile, occurrence.at, names, self.segments)
        )
        channels = allowed(profile, self.policy, self.purposes, rule.channel)
        store = self._store(instance, occurrence.at, cart, profile, channels) if self.uses_store else None
        variables = {
            "opened": instance.facts,
            "last": instance.last,
            "first": instance.first,
            "cart": cart,
            "customer": customer,
            "store": store,
        }
        if instance.revised is not None:
            instance.revised.show(variables)
        stock = self._stock(instance, occurrence.at, variables, profile) if self.uses_stock else {}
        now = self._now(state, instance, occurrence.at, profile) if self.uses_now else {}
        outdoors = self._outdoors(instance, occurrence.at, profile, channels) if self.uses_weather else {}
        variables.update(outdoors, stock=stock, now=now)
        occurrence.values = dict(instance.values)
        occurrence.passed = condition is None or condition.holds(variables, occurrence.values)
        occurrence.cart = cart if self.keeps_cart else None
        occurrence.customer = {}
        if self.sends_customer:
            sent = self.customer_sent
            occurrence.customer = {name: v for name, v in customer.items() if sent is None or name in sent}
        occurrence.store = store if self.sends_store else None
        occurrence.stock = sorted(stock) if self.sends_stock else None
        occurrence.now = pick(now, self.now_names) if now else None
        occurrence.weather = outdoors.get("weather") if self.sends_weather else None
        occurrence.season = outdoors.get("season") if self.sends_weather else None
        occurrence.channels = channels
        occurrence.zone = zone_of(profile, self.policy)


def skip(rule: Rule, due: int, number: int, since: int, until: int) -> tuple[int, int]:
    """Return the first (due, number) of a row of repeats that is worth a look."""
    repeat = rule.repeat
    if repeat is None or due >= until:
        return due, number
    passed = max((since - due) // repeat + 1, (until - due) // repeat - MAX_AT_ONCE, 0)
    if rule.repeat_within is not None:
        return due, number  # the loader sees to it that there are few
    return due + passed * repeat, number + passed
