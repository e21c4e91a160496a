"""Who is who while workers are killed and operators give commands, against a computation over everything at once.

Two workers on a real broker; shoppers with all that makes people hard to tell apart (shared tablets, kiosks,
typing errors, telephone numbers that pass on), and with all that goes wrong on the way to the channels. Each
event must be exactly where the rules put it, under exactly the id that follows from them: while the workers were
killed; when their state has been rebuilt from the changelogs; and in a replay that tells a fresh deployment
everything in another order.
"""

from __future__ import annotations

import random
import shutil
import threading
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from connectors.simulators import IdentityNoise, Simulation
from stream_app.app import load_policy
from stream_app.domain.commands import PAIR_OPS, Command, Op
from stream_app.domain.identifiers import Identifier
from stream_app.domain.offline import who_is_who
from stream_app.runs.comparison import good_events
from stream_app.runs.feed import Speed
from stream_app.wire import IdentityCommand
from tests.pipeline_job import HOUR, START, Pipeline
from tests.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connectors.planned import Planned
    from stream_app.domain.event import Event
    from stream_app.domain.policy import IdentityPolicy
    from tests.pipeline_job import Outcome

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(480)]

CHANNELS = ("web", "app", "store", "sms", "chatbot", "call_center")
SECONDS = 25.0
WORKERS = ("w1", "w2")
SETTINGS = {
    "RACCORD_CHANNELS": ",".join(CHANNELS),
    "RACCORD_EPOCH_MS": "50",
    "RACCORD_SESSION_TIMEOUT_MS": "3000",
}
NOON = START + 12 * HOUR


def records() -> list[Planned]:
    """A day of shoppers, ten times as hard to tell apart as others."""
    simulation = Simulation(11, shoppers=400, days=1, identity_noise=IdentityNoise().times(10))
    return [one for one in simulation.records() if one.channel in CHANNELS]


def later(planned: Sequence[Planned]) -> list[Planned]:
    """What some of the same shoppers do on the day after."""
    again = [one for one in records() if one.note is None and one.event is not None][::12]
    for number, one in enumerate(again):
        one.event.event_id = f"again-{number}"
        one.event.time += 30 * HOUR
        one.at = max(one.at + 30 * HOUR, planned[-1].at)
    return again


class Operators:
    """Says things that matter, about the customers that there are when nobody says anything."""

    def __init__(self, policy: IdentityPolicy, events: Sequence[Event]) -> None:
        self._policy = policy
        self._random = random.Random(5)
        self._count = 0
        self._owner = who_is_who(policy, events)
        self._identifiers: defaultdict[str, set[str]] = defaultdict(set)
        seen: defaultdict[str, set[str]] = defaultdict(set)
        for event in events:
            persons = [name for name in event.identifiers if policy.is_person(name)]
            self._identifiers[self._owner[event.event_id]].update(persons)
            for name in event.identifiers:
                if not policy.is_person(name):
                    seen[name].update(persons)
        by_crowd = Counter({name: len(persons) for name, persons in seen.items()})
        self.crowded = [name for name, _ in by_crowd.most_common(12)]

    def first(self) -> list[IdentityCommand]:
        """What is said while the workers are killed."""
        known = [sorted(names) for names in self._identifiers.values() if names]
        merged = [names for names in known if len(names) > 1]
        assert len(merged) > 40
        strangers = self._random.sample(known, 40)
        said = []
        for one, other in zip(strangers[::2], strangers[1::2], strict=True):
            said.append(self._say(Op.ASSERT, one[0], other[0]))
        apart = self._random.sample(merged, 20)
        said += [self._say(Op.DENY, *self._random.sample(names, 2)) for names in apart]
        blocked, released = self.crowded[1:6:2], self.crowded[0:6:2]
        said += [self._say(Op.BLOCK, name) for name in (*blocked, *self._random.choice(known))]
        said += [self._say(Op.RELEASE, name) for name in released]
        verdicts = [one for one in said if one.op in PAIR_OPS]
        for one in self._random.sample(verdicts, 10):
            said.append(self._say(Op.WITHDRAW, one.a, one.b, time=one.time + HOUR))
        for one in self._random.sample(verdicts, 6):  # older than what it seems to take back
            said.append(self._say(Op.WITHDRAW, one.a, one.b, time=one.time - HOUR))
        for one in self._random.sample(verdicts, 4):
            contrary = Op.DENY if one.op is Op.ASSERT else Op.ASSERT
            said.append(self._say(contrary, one.a, one.b, time=one.time))
        said += self._random.sample(said, 5)  # said twice
        self._random.shuffle(said)
        return said

    def second(self, said: Sequence[IdentityCommand]) -> list[IdentityCommand]:
        """What is said when the state has been rebuilt: half of it the contrary of what was said before."""
        contrary = {Op.ASSERT: Op.WITHDRAW, Op.DENY: Op.WITHDRAW, Op.BLOCK: Op.RELEASE, Op.RELEASE: Op.BLOCK}
        return [
            self._say(contrary[one.op], one.a, one.b, time=NOON + 20 * HOUR)
            for one in said[::2]
            if one.op in contrary
        ]

    def _say(self, op: Op, a: str, b: str | None = None, time: int | None = None) -> IdentityCommand:
        self._count += 1
        at = NOON + self._random.randrange(10 * HOUR) if time is None else time
        return IdentityCommand(f"command-{self._count}", op, a, b, at, "zoe", "because")


def commands(policy: IdentityPolicy, said: Sequence[IdentityCommand]) -> list[Command]:
    """Return what the first hop makes of what operators say."""
    identifier = Identifier(policy)
    return [
        Command(one.command_id, one.op, identifier.named(one.named), one.time, one.operator, one.reason, "")
        for one in said
    ]


def disturb(pipeline: Pipeline, feeding: threading.Thread, said: Sequence[IdentityCommand]) -> int:
    """Kill workers, one or both, and give commands, until nothing is fed any more; return the kills."""
    rnd, kills, given = random.Random(3), 0, 0
    while feeding.is_alive() or given < len(said):
        time.sleep(rnd.uniform(0.5, 1.5))
        pipeline.command(*said[given : given + 8])
        given += 8
        time.sleep(rnd.uniform(0.0, 1.5))
        victims = WORKERS if kills == 1 else (rnd.choice(WORKERS),)
        for victim in victims:
            pipeline.workers[victim].kill()
            kills += 1
        time.sleep(rnd.uniform(0.0, 0.5))
        pipeline.start(*victims)
        time.sleep(2.0)
        pipeline.supervise()
    return kills


@dataclass(frozen=True, repr=False)
class Played:
    """What a deployment came to, beside what it had to come to: at first, and after its state was rebuilt.

    Attributes:
        pipeline: the deployment; its workers have stopped.
        kills: how often a worker was killed.
        found: what the topics said at the end of the first day, and at the end of the second.
        wanted: event id -> customer id, as all events and commands at once give it; the same two times.
        plain: the same without any command.
        rows: of all stores before they were thrown away, and after they were rebuilt.
    """

    pipeline: Pipeline
    kills: int
    found: tuple[Outcome, Outcome]
    wanted: tuple[Mapping[str, str], Mapping[str, str]]
    plain: Mapping[str, str]
    rows: tuple[dict[str, dict[bytes, bytes]], dict[str, dict[bytes, bytes]]]


@pytest.fixture(scope="module")
def played(bootstrap_servers, tmp_path_factory) -> Iterator[Played]:
    folder = tmp_path_factory.mktemp("identity")
    with Pipeline(bootstrap_servers, f"t{uuid.uuid4().hex[:10]}.", folder, SETTINGS) as pipeline:
        policy = load_policy(pipeline.settings)
        key = pipeline.settings.customer_key.get_secret_value().encode()
        planned = records()
        events = good_events(planned, policy)
        operators = Operators(policy, events)
        said = operators.first()
        speed = Speed((planned[-1].at - planned[0].at) / 1000 / SECONDS)
        pipeline.start(*WORKERS)
        feeding = threading.Thread(target=pipeline.play, args=(planned, speed))
        feeding.start()
        kills = disturb(pipeline, feeding, said)
        feeding.join()
        pipeline.drain(90, supervised=True)
        first = pipeline.outcome()

        before = rows_at_rest(pipeline)
        shutil.rmtree(pipeline.settings.data)
        pipeline.start(*WORKERS)
        after = rows_at_rest(pipeline)

        said_again, more = operators.second(said), later(planned)
        shutil.rmtree(pipeline.settings.data)
        pipeline.start(*WORKERS)
        pipeline.command(*said_again)
        pipeline.play(more)
        pipeline.drain(90)
        second = pipeline.outcome()
        rows_at_rest(pipeline)
        yield Played(
            pipeline,
            kills,
            (first, second),
            (
                who_is_who(policy, events, key, commands(policy, said)),
                who_is_who(
                    policy,
                    [*events, *good_events(more, policy)],
                    key,
                    commands(policy, [*said, *said_again]),
                ),
            ),
            who_is_who(policy, events, key),
            (before, after),
        )


def rows_at_rest(pipeline: Pipeline) -> dict[str, dict[bytes, bytes]]:
    """Stop the workers, and return what their stores hold.

    Nothing left to read says nothing of the stores: what a killed worker had committed may still be on its way back
    from the changelog.
    """
    assert wait_for(pipeline.at_work)
    assert [worker.stop() for worker in pipeline.workers.values()] == [0] * len(pipeline.workers)
    return pipeline.rows()


def test_events_are_whose_they_are_by_the_rules_though_workers_were_killed(played):
    assert played.kills >= 3
    assert played.found[0].owner == belonging(played.wanted[0])


def test_the_commands_have_changed_much_so_that_this_shows_something(played):
    changed = {one for one, customer in played.wanted[0].items() if customer != played.plain[one]}
    assert len(changed) > 50
    assert len(set(played.wanted[0].values())) > 100


def test_nothing_is_lost_and_no_revision_of_an_event_is_there_twice(played):
    for outcome in played.found:
        assert outcome.books.balanced
        assert outcome.books.lost == outcome.books.doubled == 0
    pipeline = played.pipeline
    rows = pipeline.outputs(pipeline.topics.timeline)
    published = Counter((row["event"]["event_id"], row["revision"]) for row in rows)
    assert {revision: count for revision, count in published.items() if count > 1} == {}


def test_state_that_is_rebuilt_from_the_changelogs_is_the_same_row_by_row(played):
    before, after = played.rows
    assert before.keys() == after.keys()
    assert sum(map(len, before.values())) > 10_000
    for task in before:
        assert differences(before[task], after[task]) == {}, task


def test_what_comes_to_rebuilt_state_goes_where_the_rules_put_it(played):
    assert played.found[1].owner == belonging(played.wanted[1])


def test_a_replay_of_all_topics_one_after_the_other_gives_the_same_customers(
    played, bootstrap_servers, tmp_path
):
    prefix = f"t{uuid.uuid4().hex[:10]}."
    with Pipeline(bootstrap_servers, prefix, tmp_path, SETTINGS) as again:
        again.start("w1")
        told, tell = played.pipeline.topics, again.topics
        again.copy_from(played.pipeline, told.commands, tell.commands)
        again.drain(90)
        for channel in reversed(CHANNELS):
            again.copy_from(played.pipeline, told.channels[channel], tell.channels[channel])
            again.drain(90)
        outcome = again.outcome()
    assert outcome.owner == played.found[1].owner
    assert outcome.books.balanced
    assert {customer: one["identifiers"] for customer, one in outcome.profiles.items()} == {
        customer: one["identifiers"] for customer, one in played.found[1].profiles.items()
    }


def belonging(owner: Mapping[str, str]) -> dict[str, str]:
    """Return whose events are, without those that are nobody's: the books leave them out."""
    return {event_id: customer for event_id, customer in owner.items() if customer}


def differences(before: Mapping[bytes, bytes], after: Mapping[bytes, bytes]) -> dict[bytes, tuple[str, str]]:
    """Return what isn't the same: key -> row before, row after, in hexadecimal digits; "" where there is none."""
    rows = {key: (before.get(key, b"").hex(), after.get(key, b"").hex()) for key in {**before, **after}}
    return {key: (was, now) for key, (was, now) in rows.items() if was != now and key[:1] != POSITION}


POSITION = b"\x01"
"""What begins the keys of rows that say how far a task has read: they go on while nothing happens."""
