"""The rule book: all rules of a deployment, folded and settled together for one customer at a time."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.rules.fold import Fold
from stream_app.domain.rules.model import FOREVER
from stream_app.domain.rules.person import SEGMENTS, NoSegments
from stream_app.domain.rules.sending import SendingPolicy
from stream_app.domain.rules.settle import Moment, Settler
from stream_app.domain.rules.state import Ledger, RulesState
from stream_app.domain.rules.surroundings import Nowhere

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from stream_app.domain.event import Event
    from stream_app.domain.profile import Profile
    from stream_app.domain.rules.decision import Decision
    from stream_app.domain.rules.model import Rule
    from stream_app.domain.rules.person import Segments
    from stream_app.domain.rules.state import Row
    from stream_app.domain.rules.surroundings import Surroundings

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(RulesState).decode


class RuleBook:
    """The rules in force, and the policy by which they send. Of a name's versions the highest counts.

    Per event that is in order: `elapse`, then the profile takes it in, then `step`. Otherwise `refold` the timeline
    with the state's ledger. Then `settle` unless `settled`; then a timer at `next_due`. When a timer is due:
    `settle`. A long timeline need not be folded from its beginning: `keep` the fold now and then, and
    `resume` from what was kept before the change.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        policy: SendingPolicy | None = None,
        segments: Segments | None = None,
        surroundings: Surroundings | None = None,
    ) -> None:
        """Compile the rules.

        Args:
            rules: those in force.
            policy: without one everything may be sent.
            segments: what `customer.segments` is read from.
            surroundings: reference data; None: there are none.
        """
        highest: dict[str, Rule] = {}
        for rule in rules:
            known = highest.get(rule.name)
            if known is None or rule.version > known.version:
                highest[rule.name] = rule
        self.rules = tuple(highest[name] for name in sorted(highest))
        self.policy = SendingPolicy() if policy is None else policy
        self.segments = NoSegments() if segments is None else segments
        by_segments = any(_names_segments(rule) for rule in self.rules)
        parts = [self.policy.digest, *(f"{rule.id} {rule.digest}" for rule in self.rules)]
        parts += [self.segments.digest] if by_segments else []
        self.fingerprint = blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()
        self.surroundings = Nowhere() if surroundings is None else surroundings
        self._fold = Fold(self.rules, self.fingerprint, self.policy, self.segments, self.surroundings)
        self._settler = Settler(self._fold.plans, self.policy)
        self.elapse = self._fold.elapse
        """elapse(state, time, profile): judge what is due before the event that comes next, in place."""
        self.step = self._fold.step
        """step(state, event, profile): fold one event that is in order, in place."""
        self.revise = self._fold.revise
        """revise(state, change, profile): fold one change of reference data that is in order, in place."""
        self.matters = self._fold.matters
        """matters(change): tell whether a change may open anything for anybody."""
        self.concerning, self.concerns = self._fold.concerning, self._fold.concerns
        """concerning(state): yield (kind, item, since) of what concerns the customer; concerns(state, change)."""
        self.watched = self._fold.watched
        """(kind, item) that have begun to concern the customer at hand; whoever steps empties it."""

    def among(self, surroundings: Surroundings) -> RuleBook:
        """Return the same rules for customers among whom reference data are found there."""
        return RuleBook(self.rules, self.policy, self.segments, surroundings)

    def altered(self, other: RuleBook) -> list[Rule]:
        """Return the rules of `other` that say something else than ours of the same name and version.

        Its description may differ: nothing is decided by it.
        """
        ours = {rule.id: rule for rule in self.rules}
        return [rule for rule in other.rules if rule.id in ours and ours[rule.id].digest != rule.digest]

    def new_state(self) -> RulesState:
        """Return the state of a customer without events."""
        return self._fold.new_state()

    def fits(self, state: RulesState) -> bool:
        """Tell whether a state was folded by these rules; if not, refold it, with its ledger."""
        return state.book == self.fingerprint

    def in_order(self, state: RulesState, event: Event) -> bool:
        """Tell whether an event is later than all that were folded."""
        return (event.time, event.event_id) > (state.time, state.event_id)

    def refold(self, events: Iterable[Event], ledgers: Iterable[Ledger] = ()) -> RulesState:
        """Fold a whole timeline, ascending by `Event.order`, as if it had come in order.

        `ledgers` are those of every state that this one replaces: the customer's own, of both in a merge.
        """
        return self._fold.refold(events, ledgers)

    def keep(self, state: RulesState) -> bytes:
        """Return a fold as bytes for `resume`: without the ledger, which no event can give back.

        But for the rows that stand for a part of the fold.
        """
        return _encode(msgspec.structs.replace(state, ledger=state.ledger.standing()))

    def resume(self, kept: bytes, ledgers: Iterable[Ledger] = ()) -> RulesState | None:
        """Return a kept fold to `step` on from; None if other rules made it, or it lacks what must be decided anew.

        With the ledgers as in `refold`, and as if it had been folded with them: what they have made history
        since is left out.
        """
        state = _decode(kept)
        if not self.fits(state):
            return None
        standing = state.ledger.rows
        empty = self._fold.refold((), ledgers)
        state.ledger, state.judged = empty.ledger, empty.judged
        state.stale, state.next_at = empty.stale, empty.next_at
        if not _stand_again(state.ledger, standing):
            return None
        for rule, elapsed in list(state.elapsed.items()):
            silent = state.ledger.silent.get(rule)
            if silent is not None:
                state.elapsed[rule] = [one for one in elapsed if one.latest > silent]
                if not state.elapsed[rule]:
                    del state.elapsed[rule]
        for trigger in state.closed.keys() - state.ledger.rows.keys():
            del state.closed[trigger]
        return state

    def next_due(self, state: RulesState) -> int | None:
        """Return a time (ms) at or before the next one about which there is something to decide."""
        return None if state.next_at == FOREVER else state.next_at

    def settled(self, state: RulesState, clock: int) -> bool:
        """Tell whether there is nothing to decide at this clock (ms). Cheap."""
        return self._settler.settled(state, clock)

    def settle(
        self,
        state: RulesState,
        clock: int,
        stood: int,
        profile: Profile | None = None,
        identifiers: Callable[[], Iterable[str]] = tuple,
    ) -> list[Decision]:
        """Decide what is due before `clock`, in place; decisions in the order of sending.

        Args:
            state: Folded by this book.
            clock: Now (ms): no event before it is outstanding.
            stood: Where the clock stood (ms) at the source when the event at hand was read; for a timer,
                where it stood before it moved. Due then or later is on time.
            profile: The customer's, as of the last event folded.
            identifiers: Gives the customer's identifiers.
        """
        return self._settler.settle(state, Moment(clock, stood, profile, identifiers))


def _stand_again(ledger: Ledger, standing: Mapping[str, Row]) -> bool:
    """Have a ledger's rows stand for what a fold has let go of; return False if they can't: more was decided since.

    A row that is gone, though its trigger isn't history, was one of too many: nothing is decided about it again.
    """
    for trigger, before in standing.items():
        row, silent = ledger.rows.get(trigger), ledger.silent.get(before.rule_id)
        if row is None or (silent is not None and before.latest <= silent):
            continue
        if not row.says_the_same(before):
            return False
        row.stands = True
    return True


def _names_segments(rule: Rule) -> bool:
    names = rule.names("customer")
    return names is None or SEGMENTS in names
