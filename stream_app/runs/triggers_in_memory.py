"""A small deployment in memory, with rules and a clock that is moved by hand.

Who is who is `in_memory`'s, the rules' side is the workers' own (`agents.rules`); only the clock and the timers
are made here. The rules of the clock:

1. It moves to the time of whatever comes in, never back.
2. Whatever falls due on the way is decided first, each timer when the clock has just passed its own time, so that
   one that it sets anew, or another rule's, finds the clock where it would have stood.
3. Then what came in is handled to rest, as an epoch of its own. It finds the clock at its own time or later: what
   it brings to light that was due before is found late.
"""

from __future__ import annotations

from collections import deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from stream_app.agents.rules import Rules, RulesRow
from stream_app.domain.keys import timer_of
from stream_app.domain.rows import customer_tables
from stream_app.runs.in_memory import InMemory

if TYPE_CHECKING:
    from stream_app.domain.commands import Command
    from stream_app.domain.customer import Customer
    from stream_app.domain.event import Event
    from stream_app.domain.folding import FoldLimits
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.reference import References, Said
    from stream_app.domain.rules import Decision, Difference, RuleBook, Shadow
    from stream_app.runs.in_memory import WhoIsWho

_TABLES = customer_tables(RulesRow)
BEFORE_ALL = -(1 << 62)
"""A time (ms) before everything."""


class Decided(NamedTuple):
    """A decision, and the identifiers of the customer that it was made about, as they were then."""

    decision: Decision
    identifiers: frozenset[str]


class Timekeeper:
    """What the rules need of their task: a clock (ms) and timers."""

    def __init__(self) -> None:
        """Begin before all times, without timers."""
        self.clock = BEFORE_ALL
        self._set: set[tuple[int, bytes]] = set()
        self._queue: list[tuple[int, bytes]] = []

    @property
    def timers(self) -> Timekeeper:
        """Return the timers: they are kept here too."""
        return self

    def set(self, due: int, key: bytes) -> None:
        """Have `key` called when the clock has passed `due`."""
        if (due, key) not in self._set:
            self._set.add((due, key))
            heappush(self._queue, (due, key))

    def cancel(self, due: int, key: bytes) -> None:
        """Take a timer back."""
        self._set.discard((due, key))

    def take(self, before: int) -> tuple[int, bytes] | None:
        """Take out the earliest timer that is due before a time, if there is one."""
        while self._queue and self._queue[0][0] < before:
            timer = heappop(self._queue)
            if timer in self._set:
                self._set.remove(timer)
                return timer
        return None


class TriggersInMemory:
    """A deployment: move its clock, give it events and commands, read what was decided.

    Attributes:
        decided: all decisions, in the order in which they were made.
        differed: all differences between shadow and live rules, the same.
    """

    def __init__(
        self,
        policy: IdentityPolicy,
        book: RuleBook,
        shadow: Shadow | None = None,
        folding: FoldLimits | None = None,
    ) -> None:
        """Begin empty; `folding` as in `InMemory`."""
        self.decided: list[Decided] = []
        self.differed: list[Difference] = []
        self._time = Timekeeper()
        self._ahead: deque[Said] = deque()
        self._rules = Rules(self._time, book, self._publish, shadow, self._compare)
        self._deployment = InMemory(policy, rules=self._rules, tables=_TABLES, folding=folding)
        self._rules.book = book.among(self._deployment.references)
        if shadow is not None:
            self._rules.shadow = shadow.beside(self._rules.book)

    @property
    def clock(self) -> int:
        """Where the clock stands, ms."""
        return self._time.clock

    def advance(self, to: int) -> None:
        """Move the clock to `to` (ms), deciding what falls due; a timer goes off when the clock has passed it."""
        while self._ahead and self._ahead[0].time <= to:  # of one time, in the order in which they were said
            said = self._ahead.popleft()
            self._pass(said.time)
            self._deployment.refer((said,), self.clock)
        self._pass(to)

    def _pass(self, to: int) -> None:
        time = self._time
        while (timer := time.take(to)) is not None:
            due, key = timer
            time.clock = max(time.clock, due + 1)
            self._fire(due, key)
        time.clock = max(time.clock, to)

    def give(self, one: Event | Command) -> None:
        """Take in an event or a command, after moving the clock to its time."""
        self.advance(one.time)
        self._deployment.give(one, self.clock)

    @property
    def references(self) -> References:
        """The reference data that have been said."""
        return self._deployment.references

    def know(self, *said: Said) -> None:
        """Take in what is known of reference data to begin with: the clock stays where it is.

        What is of a later time is said when the clock comes to that, as if somebody said it then.
        """
        self._ahead.extend(one for one in said if one.time > self.clock)
        self._ahead = deque(sorted(self._ahead, key=lambda one: one.time))
        if now := tuple(one for one in said if one.time <= self.clock):
            self._deployment.refer(now, self.clock)

    def refer(self, *said: Said) -> None:
        """Take in what is said of reference data, after moving the clock to the latest time among it."""
        self.advance(max(one.time for one in said))
        self._deployment.refer(said, self.clock)

    def who_is_who(self) -> WhoIsWho:
        """Return the customers, and whose every event is, as of now."""
        return self._deployment.who_is_who()

    def _fire(self, due: int, key: bytes) -> None:
        """Let a timer go off, as the workers' customer stage does."""
        customer = self._deployment.customer(*timer_of(key))
        if customer is None or not self._rules.fire(customer, due):
            return
        since = self._rules.waits(customer)
        if since is None:
            self._deployment.save(customer)
        else:
            self._deployment.fold_again(customer, since, due - 1)

    def _compare(self, customer: Customer, difference: Difference) -> None:  # noqa: ARG002
        self.differed.append(difference)

    def _publish(self, customer: Customer, decision: Decision) -> None:
        self.decided.append(Decided(decision, frozenset(customer.identifiers())))
