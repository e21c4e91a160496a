"""The resolver protocol and the components' routing, in any interleaving, against an offline union-find."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.component import Components
from stream_app.domain.drain import Drains
from stream_app.domain.effects import Change
from stream_app.domain.keys import label_key
from stream_app.domain.messages import Link, Linked, Merge, Repoint, Topic, Union
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.repair import Limits
from stream_app.domain.resolver import Resolver
from stream_app.domain.rows import Header
from tests.property.examples import examples
from tests.property.identity_offline import LABELS, check, event, offline, shoppers
from tests.property.identity_world import NAMES, World

SMALL = Limits(rows=3, size=400)


@pytest.mark.parametrize("seed", range(60))
def test_partitions_that_talk_in_order_agree_with_the_offline_answer(seed: int) -> None:
    events = shoppers(seed)
    world = World(seed, partitions=1 + seed % 4, limits=SMALL if seed % 2 else Limits())
    world.run(events)
    check(world, events)


@pytest.mark.parametrize("seed", range(60))
def test_no_order_at_all_and_messages_handled_twice_give_the_same(seed: int) -> None:
    events = shoppers(seed + 100)
    world = World(
        seed, partitions=1 + seed % 4, ordered=False, twice=0.3, limits=SMALL if seed % 2 else Limits()
    )
    world.run(events)
    check(world, events)


def test_the_worlds_of_these_tests_have_merges_redirect_chains_conflicts_and_late_events() -> None:
    seen: set[str] = set()
    chain = 0
    for seed in range(12):
        events = shoppers(seed)
        world = World(seed, limits=SMALL)
        world.run(events)
        seen |= {name for name, count in world.effects.counts.items() if count}
        chain = max(
            [chain, *(hops(world, LABELS.of(name)) for one in offline(events) for name in one.identifiers)]
        )
    changes = (Change.CREATED, Change.RENAMED, Change.MERGED)
    assert seen >= {"late", "in order", "moved", "duplicate", "conflict", "forwarded", *map(str, changes)}
    assert chain > 1


def hops(world: World, label: str) -> int:
    count = 0
    while (redirect := world.home(label).redirect(label)) is not None:
        label, count = redirect, count + 1
    return count


POOL = [f"{name}:{number}" for name in NAMES[2:] for number in range(3)]


@examples(300)
@given(
    stars=st.lists(st.sets(st.sampled_from(POOL), min_size=1, max_size=3), min_size=1, max_size=14),
    seed=st.integers(0, 2**16),
    ordered=st.booleans(),
    twice=st.sampled_from((0.0, 0.3)),
)
def test_any_few_events_in_any_interleaving_give_the_offline_answer(
    stars: list[set[str]], seed: int, ordered: bool, twice: float
) -> None:
    draw = random.Random(seed)
    events = [event(draw, number, sorted(star)) for number, star in enumerate(stars)]
    draw.shuffle(events)
    world = World(seed, partitions=2, ordered=ordered, twice=twice, limits=SMALL)
    world.run(events)
    check(world, events)


@pytest.mark.parametrize("seed", range(6))
def test_where_the_cap_refuses_unions_every_event_is_still_in_exactly_one_place(seed: int) -> None:
    raw = {"namespaces": [{"name": n, "priority": p, "kind": "person"} for p, n in enumerate(NAMES, start=1)]}
    policy = IdentityPolicy.from_mapping(raw | {"component_cap": 6})
    events = list({event.event_id: event for event in shoppers(seed, shared=1)}.values())
    world = World(seed, policy=policy, limits=SMALL)
    world.run(events)
    held = [key[-8:] for tables in world.component_tables for key, _ in tables["timeline"].scan(b"")]
    assert world.effects.counts["refused"] > 0
    assert len(held) == len(events)
    assert sum(profile.events for profile in world.effects.profiles.values()) == len(events)


# -- planted bugs: each must be noticed ---------------------------------------------------------------------


class DropsRedirect(Components):
    def _union(self, message: Union) -> None:
        super()._union(message)
        if message.granted:
            self._headers.delete(label_key(message.loser))


class OverwritesRedirect(Components):
    def _union(self, message: Union) -> None:
        header = self._at(message.loser).header
        if header.redirect and header.redirect != message.winner:
            self._headers.put(label_key(message.loser), Header(redirect=message.winner))
            return
        super()._union(message)


class ForgetsRepoint(Components):
    def _repoint(self, *_: Any) -> None:
        pass


class SendsOnlyTheFirstChunk(Components):
    def _drain(self, message: Any) -> None:
        pass


class DropsMergesForTheRedirected(Components):
    def _merge(self, message: Merge) -> None:
        if not self._at(message.winner).header.redirect:
            super()._merge(message)


class KeepsWhatItSent(Components):
    def __init__(self, *rest: Any, **options: Any) -> None:
        super().__init__(*rest, **options)
        self._drains = Keeping(self._customers, options["limits"])


class Keeping(Drains):
    """Sends rows and has them still: the next chunk would begin with them again, so it goes on behind them."""

    def _events(self, at: Any, *rest: Any) -> Any:
        kept = [*self._tables.timeline.scan(at.prefix)]
        found = super()._events(at, *rest)
        if len(found[0]) == len(kept):
            for key, row in kept:
                self._tables.timeline.put(key, row)
        return found


class AdoptsThoughFounded(Resolver):
    def _link(self, message: Link) -> None:
        key = message.target.encode()
        row = self._rows.get(key)
        if row is not None and message.label < row.label:
            row.label = message.label
            self._rows.put(key, row)
        super()._link(message)


class RemembersBeforeTheAnswer(Resolver):
    """Marks a neighbour when the link goes out, and loses the link."""

    def _event(self, message: Any) -> None:
        super()._event(message)
        for other in message.labels[1:2]:
            self._linked(Linked(message.labels[0], other))

    def _link(self, message: Link) -> None:
        if crooked(message.target):
            return
        super()._link(message)


def crooked(label: str) -> bool:
    return label[-1] < "Z"


class RepointsUpwards(Resolver):
    def _repoint(self, message: Repoint) -> None:
        row = self._rows.get(message.identifier.encode())
        if row is not None:
            row.label = message.label
            self._rows.put(message.identifier.encode(), row)


class TrustsEveryRepoint(Resolver):
    """Gives up a label that nothing connects to the new one: the LINK was overtaken."""

    def _repoint(self, message: Repoint) -> None:
        row = self._rows.get(message.identifier.encode())
        origin = message.origin if row is None else row.label
        super()._repoint(msgspec.structs.replace(message, origin=origin))


class UnitesTheWrongWay(Resolver):
    def __init__(self, rows: Any, neighbours: Any, send: Any) -> None:
        super().__init__(rows, neighbours, lambda *message: send(*turned(*message)))


def turned(topic: Topic, key: str, message: Any) -> tuple[Topic, str, Any]:
    if isinstance(message, Union):
        return topic, message.winner, Union(message.winner, message.loser, message.stamp)
    return topic, key, message


BUGS = [
    DropsRedirect,
    OverwritesRedirect,
    ForgetsRepoint,
    SendsOnlyTheFirstChunk,
    DropsMergesForTheRedirected,
    KeepsWhatItSent,
    AdoptsThoughFounded,
    RemembersBeforeTheAnswer,
    RepointsUpwards,
    TrustsEveryRepoint,
    UnitesTheWrongWay,
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.__name__)
def test_a_planted_bug_is_noticed(bug: type) -> None:
    part: dict[str, Any] = {"components" if issubclass(bug, Components) else "resolver": bug}
    for seed in range(200):
        events = shoppers(seed)
        twice = 0.0 if seed % 3 else 0.3
        world = World(seed, 1 + seed % 4, ordered=seed % 2 == 0, twice=twice, limits=SMALL, **part)
        try:
            world.run(events)
            check(world, events)
        except (AssertionError, LookupError):  # rows whose evidence is nowhere: the handler fails
            return
    pytest.fail("nobody noticed")
