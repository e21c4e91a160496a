"""Folding again: profile and rules of a customer whose timeline has changed elsewhere than at its end.

1. An event in order is one step. Whatever else happens to a timeline (a late event; rows that came, went or changed;
   other rules) queues the customer, with the place from which on its fold is void. However much an epoch brings, a
   customer is folded once, at the epoch's end. What comes behind the clock is decided there, too, step or fold: by all
   that the epoch brings, in whatever order it came.
2. Every so many events the fold is kept: a checkpoint, a row at the key of the last event in it. Folding again
   begins at the last one before what changed, and those behind go. A long timeline keeps few of them (`thinned`);
   one that is shorter than the first has none, and is folded from its beginning.
3. An epoch folds at most `FoldLimits.events` events more than came in. Customers take turns, who had none before
   goes first. Where a fold has come to is a checkpoint; the customer's row says that there is more to do, and a
   message to the component itself asks for it: a crash resumes where the last epoch ended.
4. Until its fold has come to the end a customer is not settled: its profile is as it was, its rules wait, its
   events are put on the timeline and are folded in their turn.
5. Nothing is folded while rows are being moved: `repair` queues the customer when they have come to rest.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stream_app.domain.keys import timeline_key
from stream_app.domain.messages import Fold, Topic, decode_event
from stream_app.domain.profile import END, Profile, apply
from stream_app.domain.rows import CheckpointRow, FoldRow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stream_app.domain.customer import Customer, Customers
    from stream_app.domain.profile import Place
    from stream_app.domain.rows import CustomerRow, TimelineRow

_encode = msgspec.msgpack.Encoder(order="deterministic").encode
_profile = msgspec.msgpack.Decoder(Profile).decode

Checkpoint = tuple[bytes, CheckpointRow]
"""A checkpoint with its key."""


class FoldLimits(NamedTuple):
    """How much one epoch folds again.

    Attributes:
        events: over all customers, beyond what came in; an event counts once, and once more for each KiB of it.
        turn: the least that a customer's turn is, so that what a turn itself costs stays small.
        every: events between two checkpoints.
    """

    events: int = 4_000
    turn: int = 64
    every: int = 256


class Queued(NamedTuple):
    """A customer that this epoch will fold again.

    Attributes:
        label: the component's.
        slot: the customer's.
        fold: None where the customer's row has it.
    """

    label: str
    slot: int
    fold: FoldRow | None


class Undecided(NamedTuple):
    """A customer about whom this epoch's end has something to decide.

    Attributes:
        label: the component's.
        slot: the customer's.
        stamp: where the clock stood at the source when the first of its events was read, ms; the earliest.
    """

    label: str
    slot: int
    stamp: int


class Turn:
    """A customer's fold, while an epoch ends."""

    __slots__ = ("customer", "fold", "fresh", "kept", "key", "profile", "rows", "rules")

    def __init__(self, customer: Customer, fold: FoldRow) -> None:
        """Not begun yet."""
        self.customer = customer
        self.fold = fold
        self.rows: Iterator[tuple[bytes, TimelineRow]] | None = None
        self.profile: Profile
        self.rules: Any
        self.key: bytes
        self.kept: list[Checkpoint] = []
        self.fresh: list[Checkpoint] = []


class Folds:
    """The folds of one partition's customers."""

    def __init__(self, customers: Customers, limits: FoldLimits) -> None:
        """Work on the rows of `customers`."""
        self.queue: dict[bytes, Queued] = {}
        """By the prefix of a customer's rows: whom this epoch will fold again."""
        self.undecided: dict[bytes, Undecided] = {}
        """By the same: about whom this epoch's end has something to decide, though the fold is whole."""
        self.references = customers.references
        """The partition's."""
        self.came_in = 0
        """Events that this epoch has put on timelines."""
        self.every = limits.every
        self._limits = limits
        self._customers = customers
        self._rows = customers.tables.checkpoints

    def reset(self) -> None:
        """Forget what is in memory: the rows were rolled back."""
        self.queue.clear()
        self.undecided.clear()
        self.came_in = 0

    # -- while messages are handled ---------------------------------------------------------------------

    def again(self, customer: Customer, since: Place, stamp: int) -> None:
        """Have a customer folded again from a place on. Its rows must be at rest."""
        row, known, stamp = customer.row, self.queue.get(customer.prefix), self._customers.stood(stamp)
        waits = self.undecided.pop(customer.prefix, None)
        if waits is not None:
            stamp = min(stamp, waits.stamp)
        fold = row.fold if row.fold is not None or known is None else known.fold
        if fold is None:
            fold = FoldRow(since, stamp)
        else:
            fold.since = min(fold.since, since)
            fold.stamp = min(fold.stamp, stamp)
        if row.fold is None:
            self.queue[customer.prefix] = Queued(*customer.key, fold)
        self._customers.tables.customers.put(customer.prefix, row)

    def decide_later(self, customer: Customer, stamp: int) -> None:
        """Have it decided at the epoch's end what follows from events that a settled customer has taken in."""
        known, stamp = self.undecided.get(customer.prefix), self._customers.stood(stamp)
        if known is not None:
            stamp = min(stamp, known.stamp)
        self.undecided[customer.prefix] = Undecided(*customer.key, stamp)

    def stamps(self, prefix: bytes, row: CustomerRow[Any] | None) -> Iterator[int]:
        """Yield where the clock stood when what is yet to be folded or decided of a customer was read, ms."""
        queued = self.queue.get(prefix)
        waits = (
            self.undecided.get(prefix),
            None if queued is None else queued.fold,
            None if row is None else row.fold,
        )
        yield from (one.stamp for one in waits if one is not None)

    def go_on(self, customer: Customer, step: int) -> None:
        """Give a customer the turn that was asked for; one that was asked for twice is given once."""
        fold = customer.row.fold
        if fold is not None and fold.step == step:
            self.queue[customer.prefix] = Queued(*customer.key, None)

    def keep(self, customer: Customer) -> None:
        """Write a checkpoint of a settled customer, at its last event."""
        profile = customer.profile
        if profile.last is not None:
            key = timeline_key(customer.prefix, *profile.last)
            fresh = self._checkpoint(key, profile, self._customers.rules.current(customer))
            self._write(customer, self._checkpoints(customer), [fresh])

    def leave(self, prefix: bytes, row: CustomerRow[Any]) -> None:
        """Forget a customer that ends here: its checkpoints go."""
        self.queue.pop(prefix, None)
        if row.checkpoints:
            for key, _ in list(self._rows.scan(prefix)):
                self._rows.delete(key)

    # -- at the end of an epoch -------------------------------------------------------------------------

    def flush(self, customer_of: Callable[[str, int], Customer | None]) -> None:
        """Decide what is undecided; fold again whoever is queued, as far as an epoch goes, and ask for what is left."""
        self._decide(customer_of)
        left, self.came_in = self._limits.events + self.came_in, 0
        if not self.queue:
            return
        waiting = deque(sorted(self._turns(customer_of), key=lambda turn: -turn.fold.waited))
        while waiting and left > 0:
            share = max(self._limits.turn, left // len(waiting))
            turn = waiting.popleft()
            spent, done = self._fold(turn, min(share, left))
            left -= spent
            if done:
                self._finish(turn)
            else:
                waiting.append(turn)
        for turn in waiting:
            self._put_off(turn)
        self.queue.clear()

    def _decide(self, customer_of: Callable[[str, int], Customer | None]) -> None:
        """Decide about whoever waits for it; rows that have begun to move since decide when they are at rest."""
        waiting = list(self.undecided.values())
        self.undecided.clear()
        for waits in waiting:
            customer = customer_of(waits.label, waits.slot)
            if customer is None:
                continue
            if customer.settled:
                self._customers.rules.decide(customer, waits.stamp)
                self._customers.tables.customers.put(customer.prefix, customer.row)
            elif not customer.whole:
                self._customers.touch(customer.at, customer.slot, waits.stamp, END)

    def _turns(self, customer_of: Callable[[str, int], Customer | None]) -> Iterator[Turn]:
        """Yield who can be folded; who has rows on the move is left to `repair`."""
        for queued in self.queue.values():
            customer = customer_of(queued.label, queued.slot)
            if customer is None:
                continue
            fold = customer.row.fold or queued.fold
            if fold is None:
                continue
            if customer.whole:
                yield Turn(customer, fold)
                continue
            customer.row.fold = None
            self._customers.tables.customers.put(customer.prefix, customer.row)
            self._customers.touch(customer.at, customer.slot, fold.stamp, fold.since)

    def _fold(self, turn: Turn, most: int) -> tuple[int, bool]:
        """Fold a customer's next events; return what that came to, and whether there are no more."""
        if turn.rows is None:
            turn.rows = self._begin(turn)
        profile, rules, spent = turn.profile, turn.rules, 0
        before, step = self._customers.rules.before_step, self._customers.rules.step
        for key, row in turn.rows:
            event = decode_event(row.event)
            before(rules, event, profile)
            apply(profile, event)
            step(rules, event, profile)
            turn.key = key
            if profile.events % self.every == 0:
                turn.fresh.append(self._checkpoint(key, profile, rules))
            spent += 1 + (len(row.event) >> 10)
            if spent >= most:
                return spent, False
        return spent, True

    def _begin(self, turn: Turn) -> Iterator[tuple[bytes, TimelineRow]]:
        """Take up a fold at the last checkpoint that holds; return the rows behind it."""
        customer, rules = turn.customer, self._customers.rules
        void = timeline_key(customer.prefix, *turn.fold.since)
        turn.kept = self._checkpoints(customer)
        while turn.kept:
            key, row = turn.kept[-1]
            found = rules.begin(customer, row.rules, turn.fold.since) if key < void else None
            if found is not None:
                turn.key, turn.profile, turn.rules = key, _profile(row.profile), found
                return self._customers.timelines.rows(customer.prefix, key + b"\0")
            self._rows.delete(key)
            turn.kept.pop()
        turn.key, turn.profile, turn.rules = b"", Profile(), rules.begin(customer, None, turn.fold.since)
        return self._customers.timelines.rows(customer.prefix)

    def _finish(self, turn: Turn) -> None:
        """Make a fold that has come to the timeline's end the customer's."""
        customers, customer = self._customers, turn.customer
        customers.tables.customers.put(customer.prefix, customer.row)
        del self.queue[customer.prefix]
        customer.row.fold = None
        customer.row.profile = turn.profile
        self._write(customer, turn.kept, turn.fresh)
        customers.rules.finish(customer, turn.rules, turn.fold.stamp)
        customers.save(customer)

    def _put_off(self, turn: Turn) -> None:
        """Note where a fold has come to, and ask for the next turn."""
        customers, customer, fold = self._customers, turn.customer, turn.fold
        fold.step += 1
        begun = turn.rows is not None
        if begun:
            fold.since, fold.waited = END, 0
        else:
            fold.waited += 1
        customer.row.fold = fold
        customers.tables.customers.put(customer.prefix, customer.row)
        if begun:
            here = self._checkpoint(turn.key, turn.profile, turn.rules)
            self._write(customer, turn.kept, turn.fresh, here)
            customers.tables.customers.put(customer.prefix, customer.row)
        customers.effects.send(Topic.COMPONENTS, customer.label, Fold(*customer.key, fold.step))

    # -- checkpoints ------------------------------------------------------------------------------------

    def _checkpoints(self, customer: Customer) -> list[Checkpoint]:
        return list(self._rows.scan(customer.prefix)) if customer.row.checkpoints else []

    def _checkpoint(self, key: bytes, profile: Profile, rules: Any) -> Checkpoint:
        raw = msgspec.Raw(_encode(profile))
        return key, CheckpointRow(profile.events, raw, self._customers.rules.keep(rules))

    def _write(
        self,
        customer: Customer,
        old: list[Checkpoint],
        fresh: list[Checkpoint],
        here: Checkpoint | None = None,
    ) -> None:
        """Write the checkpoints that are worth it; `here` is where an unfinished fold has come to.

        Where one had come to before is between two of the others, and of no use any more.
        """
        regular = [one for one in (*old, *fresh) if one[1].events % self.every == 0]
        kept = set(thinned([row.events for _, row in regular]))
        wanted = {key: row for key, row in regular if row.events in kept}
        if here is not None:
            wanted[here[0]] = here[1]
        before = {key for key, _ in old}
        for key in before - wanted.keys():
            self._rows.delete(key)
        for key, row in wanted.items():
            if key not in before:
                self._rows.put(key, row)
        customer.row.checkpoints = len(wanted)


def thinned(counts: Sequence[int]) -> list[int]:
    """Return which checkpoints to keep, of those at these numbers of events (ascending): some log2 of them.

    One goes where the way from the one before it (or the beginning) to the next one that is kept is no longer than
    from there to the last of all. So what must be folded in vain, to get to a place, is at most as much as what
    follows it, and the distance of two checkpoints more.
    """
    kept: list[int] = []
    for place in reversed(range(len(counts))):
        before = counts[place - 1] if place else 0
        if not kept or kept[-1] - before > counts[-1] - kept[-1]:
            kept.append(counts[place])
    return kept[::-1]
