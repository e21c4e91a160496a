"""People's lives in a deployment in memory: events that come late, who is who in dispute, erasures; all it decided.

Reference data change beside them, where a test wants that.

A life is played through the whole road - resolver, components, profile, rules, decisions - and every decision is kept
with what was known of its customer when it was published. The tests judge it by that alone.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from hypothesis import strategies as st

from stream_app.domain.commands import Command, Op
from stream_app.domain.event import Event
from stream_app.domain.local_time import zone
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.reference import Said
from stream_app.domain.rules import Action
from stream_app.runs.triggers_in_memory import TriggersInMemory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_app.domain.customer import Customer
    from stream_app.domain.folding import FoldLimits
    from stream_app.domain.reference import References
    from stream_app.domain.rules import Decision, RuleBook

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
POLICY = IdentityPolicy.from_mapping(
    {
        "shared_after": 5,
        "namespaces": [
            {"name": "user_id", "priority": 1, "kind": "person", "limit": 1},
            {"name": "cookie", "priority": 2, "kind": "device"},
        ],
    }
)
ANA, BEN, ONE, TWO = "user_id:ana", "user_id:ben", "cookie:1", "cookie:2"
NAMES = (ANA, BEN, ONE, TWO)
WHO = ((ONE,), (ONE,), (ONE,), (TWO,), (ANA,), (ANA,), (ANA, ONE), (BEN,), (BEN, TWO), (ANA, TWO), (ONE, TWO))
PAIRS = ((ANA, ONE), (ANA, TWO), (BEN, TWO), (ANA, BEN), (ONE, TWO))


class Input(NamedTuple):
    """What comes in, and where the clock is then (ms)."""

    at: int
    what: Event | Command | Said


class Made(NamedTuple):
    """A decision as it was published.

    Attributes:
        decision: the decision.
        clock: where the clock stood, ms.
        known: the customer's events then, in order.
        said: what had been said of reference data then, in order of arrival.
    """

    decision: Decision
    clock: int
    known: tuple[Event, ...]
    said: tuple[Said, ...] = ()

    def sees(self, event_id: str) -> Event | None:
        return next((event for event in self.known if event.event_id == event_id), None)


class Deployment(TriggersInMemory):
    """A deployment that keeps its decisions with what was known."""

    def __init__(self, book: RuleBook, folding: FoldLimits | None = None) -> None:
        self.made: list[Made] = []
        self.said: tuple[Said, ...] = ()
        super().__init__(POLICY, book, folding=folding)

    def _publish(self, customer: Customer, decision: Decision) -> None:
        super()._publish(customer, decision)
        self.made.append(Made(decision, self.clock, tuple(customer.history()), self.said))

    def take(self, what: Event | Command | Said) -> None:
        """Take in whatever comes."""
        if isinstance(what, Said):
            self.said += (what,)
            self.refer(what)
        else:
            self.give(what)

    @property
    def references(self) -> References:
        """The reference data that came in."""
        return self._deployment.references

    def customers(self) -> list[Customer]:
        """Return the customers that hold any of `NAMES`, as they are now."""
        found: dict[tuple[str, int], Customer] = {}
        deployment = self._deployment
        for name in NAMES:
            label = deployment._labels.of(name)
            row = deployment._lookups[deployment._partition(label)]["identifiers"].get(label.encode())
            at: str | None = label if row is None else row.label
            while at is not None:
                label, at = at, deployment._components[deployment._partition(at)].redirect(at)
            for group in deployment.identities(name).all.groups.values():
                customer = deployment.customer(label, group.slot)
                if customer is not None:
                    found[customer.key] = customer
        return list(found.values())


def play(
    book: RuleBook, life: Sequence[Input], after: int, folding: FoldLimits | None = None
) -> Iterator[Deployment]:
    """Yield the deployment after each input, and at the end, when the clock has gone on by `after` (ms)."""
    run = Deployment(book, folding)
    for one in life:
        run.advance(one.at)
        run.take(one.what)
        yield run
    run.advance(run.clock + after)
    yield run


def played(
    book: RuleBook, life: Sequence[Input], after: int, folding: FoldLimits | None = None
) -> list[Made]:
    """Play to the end; return all decisions."""
    *_, run = play(book, life, after, folding)
    return run.made


@st.composite
def lives(
    draw: st.DrawFn,
    start: st.SearchStrategy[int],
    gaps: Sequence[int],
    acts: st.SearchStrategy[tuple[str, str, dict[str, Any]]],
    delays: Sequence[int],
    most: int = 16,
    changes: st.SearchStrategy[tuple[str, str, dict[str, Any] | None]] | None = None,
) -> list[Input]:
    """Draw a life that begins at `start` (ms), with `gaps` between its events; `acts`: (type, channel, properties).

    About half of the events come in time, the others late by one of `delays`. So it is with what is said of reference
    data, if there are `changes`: (kind, item, fields).
    """
    time, life = draw(start), []
    first = time
    for number in range(draw(st.integers(1, most))):
        time += draw(st.sampled_from(gaps))
        kind, channel, properties = draw(acts)
        names = draw(st.sampled_from(WHO))
        at = time + draw(st.sampled_from((*([0] * len(delays)), *delays)))
        event_id = f"e{number * 7 % 31:02}"  # ids are unlike the order of time
        event = Event(event_id, time, channel, kind, names, properties, at, f"{channel}/0/{number}")
        life.append(Input(at, event))
    for kind, item, fields in draw(st.lists(changes, min_size=2, max_size=10)) if changes is not None else ():
        near = draw(st.sampled_from([one.what.time for one in life]))
        said = Said(kind, item, near + draw(st.sampled_from((0, MINUTE, HOUR))), fields)
        life.append(Input(said.time + draw(st.sampled_from((0, 0, 0, *delays))), said))
    for number in range(draw(st.integers(0, 4))):
        at = draw(st.one_of(st.sampled_from([one.at for one in life]), st.integers(first, time + HOUR)))
        op = draw(st.sampled_from((Op.DENY, Op.ASSERT, Op.ASSERT, Op.WITHDRAW, Op.ERASE)))
        about = (draw(st.sampled_from(NAMES)),) if op is Op.ERASE else draw(st.sampled_from(PAIRS))
        asked = Command(f"c{number}", op, about, at, "operator", "because", f"commands/0/{number}")
        life.append(Input(at, asked))
    return sorted(life, key=lambda one: one.at)


# -- what was sent --------------------------------------------------------------------------------------------


class Sent(NamedTuple):
    """A message that went out, and those of the same customer's that stood before it: fired, and not taken back."""

    made: Made
    standing: list[Decision]


def sends(all_made: Sequence[Made]) -> Iterator[Sent]:
    """Yield every fire. A send counts for the customer who owns its opening event when the next one goes out."""
    last: dict[str, Decision] = {}
    for made in all_made:
        one = made.decision
        if one.action == Action.HELD_BACK:
            continue
        if one.action == Action.FIRE:
            hers = {event.event_id for event in made.known}
            others = [sent for sent in last.values() if sent.action == Action.FIRE and sent.opened_by in hers]
            yield Sent(made, [sent for sent in others if sent.trigger_id != one.trigger_id])
        last[one.trigger_id] = one


def wall(ms: int, name: str) -> datetime:
    """Return what the wall shows in a zone: zoneinfo's own word, by the release of the zones that the product has."""
    return (EPOCH + timedelta(milliseconds=ms)).astimezone(zone(name))


def zone_at(made: Made, fallback: str) -> str:
    """Return the customer's zone at sending: that of her latest event up to then which names one."""
    named = [
        event.properties["timezone"]
        for event in made.known
        if event.time <= made.decision.sent and event.properties.get("timezone") is not None
    ]
    return named[-1] if named else fallback
