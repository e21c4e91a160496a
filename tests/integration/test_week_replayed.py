"""A week of simulated shoppers, replayed as fast as it goes, leaves the same triggers however its channels are written.

The shipped rules, quiet hours and caps, with consent unless somebody said no; tills that report late, clocks that are
wrong, copies, conflicts, family tablets, kiosks. The same week comes about three times:

- as it was lived: in memory, each event given when it arrived, the clock moved by hand to that moment. The worker can't
  live a week in a minute: its live clock is the broker's.
- replayed by a worker, all channels together.
- replayed with the channels one after the other: the app's whole week has been worked through before the first record
  of another channel is written, so baskets are a week ahead of the orders in the shops; the web shop comes last. The
  clock of a stage is that of the channel which is furthest behind; else these baskets would be taken for abandoned.

Both replays must agree about everybody. With life they must agree about half of the customers: those of whom operators
have said at the beginning which identifiers are theirs. About the others they can't always: a replay has read the whole
week when a timer goes off, and so it knows already who was to sign in on that device an hour later. A rule's fold is of
the events up to the due time; who is who is not. So a basket that life gave an anonymous visitor, and sent something
about, is in the replay that of a customer who has said no, or was sent another reminder the day before.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

import pytest

import schemas
from connectors.simulators.settings import Noise
from connectors.simulators.simulation import Simulation
from stream_app.app import identifier_of, load_policy, read_rules
from stream_app.domain.commands import Command, Op
from stream_app.domain.identifiers import to_event
from stream_app.domain.rules import Action
from stream_app.runs.triggers_in_memory import TriggersInMemory
from stream_app.wire import IdentityCommand
from tests.pipeline_job import FAST, HOUR, Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from stream_app.settings import Settings

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]

WEEK = Simulation(7, shoppers=16, days=7, noise=Noise(malformed=0, too_large=0))
RECORDS = list(WEEK.records())
OVER = max(record.at for record in RECORDS) + 10 * 24 * HOUR
FIRST = "app"
PATIENCE_S = 120.0


class Stands(NamedTuple):
    """A trigger whose last word is a fire, and the identifiers of the customer who owns its opening event."""

    rule: str
    opened_by: str
    due: int
    customer: frozenset[str]


Net = dict[str, Stands]
"""What stands at the end, by trigger id."""


class Told(NamedTuple):
    """What each of the three came to, and the customers that were known from the beginning."""

    life: Net
    together: Net
    apart: Net
    known: frozenset[frozenset[str]]

    def of_known(self, net: Mapping[str, Stands]) -> Net:
        return {trigger: one for trigger, one in net.items() if one.customer in self.known}


# -- life ----------------------------------------------------------------------------------------------------


def lived(settings: Settings, said: Sequence[Command] = ()) -> TriggersInMemory:
    """Live through the week, from what operators say at its beginning to its end and ten days behind it."""
    policy = load_policy(settings)
    identifier = identifier_of(settings, policy)
    run = TriggersInMemory(policy, read_rules(settings, policy).book)
    for command in said:
        run.give(command)
    for number, record in enumerate(RECORDS):
        run.advance(record.at)
        if record.event is None or record.note == "wrong_clock":
            continue  # refused on arrival
        names, _ = identifier.identify(record.event)
        if names:
            run.give(to_event(record.event, names, record.at, f"{record.channel}/0/{number}"))
    run.advance(OVER)
    return run


def left_by(run: TriggersInMemory) -> Net:
    owners = run.who_is_who().owners
    last = {
        one.decision.trigger_id: one.decision
        for one in run.decided
        if one.decision.action != Action.HELD_BACK
    }
    return {
        trigger: Stands(one.rule, one.opened_by, one.due, owners[one.opened_by] or frozenset())
        for trigger, one in last.items()
        if one.action == Action.FIRE
    }


def half_of(
    customers: frozenset[frozenset[str]], settings: Settings
) -> tuple[list[Command], set[frozenset[str]]]:
    """Return what makes every other customer known before the week begins, and these customers."""
    priority = {name: one.priority for name, one in load_policy(settings).namespaces.items()}
    said: list[Command] = []
    known = set(sorted(customers, key=sorted)[::2])
    for customer in known:
        strongest, *others = sorted(customer, key=lambda name: (priority[name.partition(":")[0]], name))
        for other in others:
            command_id, pair = f"known-{len(said)}", (strongest, other)
            said.append(
                Command(
                    command_id, Op.ASSERT, pair, WEEK.start - 1, "zoe", "known", f"commands/0/{len(said)}"
                )
            )
    return said, known


# -- replays -------------------------------------------------------------------------------------------------


def replayed(pipeline: Pipeline, said: Sequence[Command], *, apart: bool) -> Net:
    """Write the week as fast as it goes, while the worker runs."""
    pipeline.command(
        *(
            IdentityCommand(one.command_id, one.op, *one.identifiers, one.time, one.operator, one.reason)
            for one in said
        )
    )
    pipeline.start("w1")
    if apart:
        channels = sorted({record.channel for record in RECORDS}, key=lambda name: (name != FIRST, name))
        for channel in channels:
            pipeline._feed.play(
                [record for record in RECORDS if record.channel == channel], FAST, markers=False
            )
            if channel == FIRST:
                pipeline.drain(PATIENCE_S)
    else:
        pipeline.play(RECORDS)
    pipeline.drain(PATIENCE_S)
    pipeline.mark(OVER)
    pipeline.drain(PATIENCE_S)
    return left_in(pipeline)


def left_in(pipeline: Pipeline) -> Net:
    outcome = pipeline.outcome()
    assert outcome.books.balanced
    customers = {name: frozenset(profile["identifiers"]) for name, profile in outcome.profiles.items()}
    return {
        trigger: Stands(one["rule"], one["opened_by"], one["due"], customers[outcome.owner[one["opened_by"]]])
        for trigger, one in outcome.books.net.items()
    }


@pytest.fixture(scope="module")
def told(bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Have the week lived, and replayed both ways."""
    name, folder = uuid.uuid4().hex[:10], tmp_path_factory.mktemp("week")
    policy = folder / "sending.yaml"
    shipped = schemas.read_text("policies/sending.yaml")
    policy.write_text(shipped.replace("marketing: false", "marketing: true"), "utf-8")
    settings = {"RACCORD_SENDING_POLICY": str(policy)}
    nets: list[Net] = []
    for way in ("together", "apart"):
        with Pipeline(bootstrap_servers, f"t{name}.{way}.", folder / way, settings) as pipeline:
            if not nets:
                said, known = half_of(lived(pipeline.settings).who_is_who().customers, pipeline.settings)
                life = lived(pipeline.settings, said)
                nets.append(left_by(life))
            nets.append(replayed(pipeline, said, apart=way == "apart"))
    return Told(*nets, frozenset(known & life.who_is_who().customers))


def test_both_replays_leave_the_same_triggers_of_the_same_customers(told: Told) -> None:
    assert told.apart == told.together


def test_of_customers_who_are_known_a_replay_leaves_the_triggers_that_life_left(told: Told) -> None:
    assert told.of_known(told.together) == told.of_known(told.life)


def test_there_is_something_to_see(told: Told) -> None:
    assert any(record.note == "late" for record in RECORDS)
    assert len(told.of_known(told.life)) >= 10
    assert len({one.rule for one in told.of_known(told.life).values()}) >= 4
    assert len(told.together) > len(told.of_known(told.together))
