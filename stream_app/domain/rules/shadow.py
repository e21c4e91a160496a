"""Shadow rules: they run on live events beside the live ones, send nothing, and are compared with them.

1. The shadow's book is the live one with the shadow's rules in the place of those of their names: what would be if they
   were put in force now. It begins with what the live rules had sent, and from then on counts its own sends for caps
   and `at_most`. So other rules may differ too: a cap may hold what it let pass before.
2. Compared is by rule, opening event and number of the repeat, once neither side has still to decide. A side has while
   its instance is open and not due, waits for `then`, or is held by quiet hours. A side that didn't send when it was
   due, or whose instance is gone, has not fired.
3. Each difference is said once. What changes it later - a retraction, a trigger that is found late - is said as well:
   the opposite difference, or that there is none any more.
4. What another version of the rule had sent is not compared: it would be no difference between these two.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stream_app.domain.rules.book import RuleBook
from stream_app.domain.rules.decision import Action, Decision
from stream_app.domain.rules.model import FOREVER
from stream_app.domain.rules.state import FIRED, RETRACTED, Ledger, RulesState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from stream_app.domain.event import Event
    from stream_app.domain.rules.model import Rule
    from stream_app.domain.rules.state import Instance, Row

MAX_WAITING = 256
"""Triggers of a customer that wait for the other side; of more, the oldest are decided: the other side hasn't fired."""
NOT_DUE = "not_due"
"""Reason of a side that never came to decide: no instance, or one that was closed before it was due."""
TAKEN_BACK = "retracted"
"""Reason of a side that took its trigger back before the other one fired."""
_encode = msgspec.msgpack.Encoder().encode
_decode_kept = msgspec.msgpack.Decoder(tuple[dict[str, int], bytes]).decode


class Outcome(StrEnum):
    """How the shadow differs from what is live."""

    WOULD_HAVE_FIRED = "would_have_fired"
    WOULD_NOT_HAVE_FIRED = "would_not_have_fired"
    NO_DIFFERENCE = "no_difference"


class Difference(msgspec.Struct, frozen=True):
    """One difference, or the end of one. Times in ms since the epoch.

    Attributes:
        rule: its name.
        live_version: None: there is no such live rule.
        shadow_version: of the rule in the shadow's book.
        opened_by: the opening event.
        number: of the repeat.
        outcome: what the shadow would have done.
        due: on the side that fired, the latest one to do so.
        sent: when that side sent it, or would have.
        reason: of the side that didn't fire, or took it back.
        values: what the conditions of the side that fired saw.
    """

    rule: str
    live_version: int | None
    shadow_version: int | None
    opened_by: str
    number: int
    outcome: Outcome
    due: int
    sent: int
    reason: str
    values: dict[str, Any]


class Said(msgspec.Struct, array_like=True, gc=False):
    """What was said of one trigger. `outcome` "": nothing yet, the other side has still to decide."""

    outcome: str
    values: dict[str, Any]


class ShadowState(msgspec.Struct, array_like=True, gc=False):
    """The shadow's side of one customer.

    Attributes:
        state: the fold and the ledger of what would have been sent.
        versions: the shadow's own rules that it was folded by.
        said: what was said of triggers that are not the same on both sides, or wait to be compared.
    """

    state: RulesState
    versions: dict[str, int]
    said: dict[str, Said] = msgspec.field(default_factory=dict)


class _Key(NamedTuple):
    """What triggers are compared by."""

    rule: str
    number: int
    opened_by: str

    def __str__(self) -> str:
        return " ".join(map(str, self))

    @classmethod
    def read(cls, text: str) -> _Key:
        rule, number, opened_by = text.split(" ", 2)  # a rule's name has no blank
        return cls(rule, int(number), opened_by)


class Shadow:
    """The shadow of a live book.

    Per customer: `fits`, else `refold` with whatever states it replaces; then the book's own `elapse`, `step` and
    `settle` beside the live book's; then `compare`. `keep` and `resume` as the book's.
    """

    def __init__(self, rules: Sequence[Rule], live: RuleBook) -> None:
        """Take the shadow's rules; of several versions the highest counts, whatever the live one's is."""
        self.own = RuleBook(rules, live.policy, live.segments, live.surroundings)
        self.versions = {rule.name: rule.version for rule in self.own.rules}
        others = [rule for rule in live.rules if rule.name not in self.versions]
        self.book = RuleBook([*self.own.rules, *others], live.policy, live.segments, live.surroundings)
        self._live = {rule.name: rule for rule in live.rules}
        self._shadow = {rule.name: rule for rule in self.book.rules}

    def beside(self, live: RuleBook) -> Shadow:
        """Return the same shadow of the same live rules, where these find reference data."""
        return Shadow(self.own.rules, live)

    def new_state(self) -> ShadowState:
        """Return the state of a customer without events."""
        return ShadowState(self.book.new_state(), self.versions)

    def fits(self, shadow: ShadowState | None) -> bool:
        """Tell whether a state was folded by this shadow; if not, refold it."""
        return shadow is not None and self.book.fits(shadow.state) and shadow.versions == self.versions

    def refold(
        self, events: Iterable[Event], parts: Iterable[tuple[Ledger, ShadowState | None]]
    ) -> ShadowState:
        """Fold a whole timeline; `parts` are the live ledger and the shadow of every state that is replaced."""
        ledgers, said = self._brought(parts)
        return ShadowState(self.book.refold(events, ledgers), self.versions, said)

    def keep(self, shadow: ShadowState) -> bytes:
        """Return a fold as bytes for `resume`: without what was sent and said, which no event can give back."""
        return _encode((shadow.versions, self.book.keep(shadow.state)))

    def resume(self, kept: bytes, parts: Iterable[tuple[Ledger, ShadowState | None]]) -> ShadowState | None:
        """Return a kept fold to go on from, with parts as in `refold`; None if another shadow made it.

        Other rules of the shadow's own begin with another ledger, though all in all the rules may be the same:
        what the fold has left out by its ledger may not be history by that one.
        """
        versions, fold = _decode_kept(kept)
        if versions != self.versions:
            return None
        ledgers, said = self._brought(parts)
        state = self.book.resume(fold, ledgers)
        return None if state is None else ShadowState(state, self.versions, said)

    def only(self, shadow: ShadowState, event_ids: Collection[str]) -> ShadowState:
        """Return the part that a split gives to whoever owns these opening events."""
        said = {key: one for key, one in shadow.said.items() if _Key.read(key).opened_by in event_ids}
        state = self.book.refold((), (shadow.state.ledger.only(event_ids),))
        return ShadowState(state, shadow.versions, said)

    def waits(self, shadow: ShadowState) -> bool:
        """Tell whether triggers wait to be compared."""
        return bool(shadow.said) and any(not one.outcome for one in shadow.said.values())

    def compare(
        self,
        live: RulesState,
        shadow: ShadowState,
        clock: int,
        decided: Sequence[Decision],
        would: Sequence[Decision],
    ) -> list[Difference]:
        """Say what differs since last time, in place; both sides have been settled at this clock (ms).

        `decided` and `would` are the decisions that the two sides have just made.
        """
        moved = any(one.action != Action.HELD_BACK for one in (*decided, *would))
        if not moved and not self.waits(shadow):
            return []
        sides = _Side(live, self._live, decided, clock), _Side(shadow.state, self._shadow, would, clock)
        return _Comparison(*sides, shadow.said).run()

    def _brought(
        self, parts: Iterable[tuple[Ledger, ShadowState | None]]
    ) -> tuple[list[Ledger], dict[str, Said]]:
        """Return what all parts bring along."""
        carried = [self._carried(live, shadow) for live, shadow in parts]
        said = {key: one for _, part in carried for key, one in part.items()}
        return [ledger for ledger, _ in carried], said

    def _carried(self, live: Ledger, shadow: ShadowState | None) -> tuple[Ledger, Mapping[str, Said]]:
        """Return what a state brings along: its own sends, but the live ones of rules that are new in the shadow."""
        if shadow is None:
            return live, {}
        own = shadow.state.ledger
        if shadow.versions == self.versions:
            return own, shadow.said
        changed = {name for name, _ in shadow.versions.items() ^ self.versions.items()}
        ledger = Ledger(
            {trigger: row for trigger, row in own.rows.items() if row.rule not in changed}
            | {trigger: row for trigger, row in live.rows.items() if row.rule in changed},
            _of(own.silent, changed, among=False) | _of(live.silent, changed, among=True),
            _of(own.sent, changed, among=False) | _of(live.sent, changed, among=True),
        )
        return ledger, {key: one for key, one in shadow.said.items() if _Key.read(key).rule not in changed}


def _of(by_rule: Mapping[str, Any], names: Collection[str], *, among: bool) -> dict[str, Any]:
    """Return the entries of rules (by id) whose names are among these, or aren't."""
    return {rule: one for rule, one in by_rule.items() if (rule.rpartition("@")[0] in names) == among}


class _Side:
    """One of the two sides: what has it decided about a trigger, and has it still to decide?"""

    def __init__(
        self, state: RulesState, rules: Mapping[str, Rule], decisions: Iterable[Decision], clock: int
    ) -> None:
        self.rules = rules
        self.decisions: dict[_Key, Decision] = {}
        for one in decisions:
            key = _Key(one.rule, one.number, one.opened_by)
            if one.action != Action.HELD_BACK or key not in self.decisions:
                self.decisions[key] = one
        self._state = state
        self._clock = clock
        self._rows: dict[_Key, list[Row]] = {}
        for row in state.ledger.rows.values():
            self._rows.setdefault(_Key(row.rule, row.number, row.opened.event_id), []).append(row)

    def version(self, key: _Key) -> int | None:
        rule = self.rules.get(key.rule)
        return None if rule is None else rule.version

    def row(self, key: _Key) -> Row | None:
        """Return the row of a trigger of the rule's present version; one that says "fired" if there are several."""
        version = self.version(key)
        rows = [row for row in self._rows.get(key, ()) if row.version == version]
        return max(rows, key=lambda row: (row.status == FIRED, row.changed), default=None)

    def fired(self, key: _Key) -> bool:
        row = self.row(key)
        return row is not None and row.status == FIRED

    def is_others(self, key: _Key) -> bool:
        """Tell whether another version of the rule has sent it."""
        version = self.version(key)
        return any(row.version != version and row.status == FIRED for row in self._rows.get(key, ()))

    def pends(self, key: _Key) -> bool:
        """Tell whether it is still to be decided about."""
        rule, state, clock = self.rules.get(key.rule), self._state, self._clock
        if rule is None:
            return False
        row = self.row(key)
        if row is not None and row.status != FIRED and row.wake >= clock:
            return True
        return any(
            one.number == key.number and one.due >= clock and one.instance.opened.event_id == key.opened_by
            for one in state.elapsed.get(rule.id, ())
        ) or any(
            one.opened.event_id == key.opened_by and _is_to_come(rule, one, key.number, clock)
            for one in state.open.get(rule.id, {}).values()
        )

    def reason(self, key: _Key) -> str:
        """Return why it has not fired."""
        decision, row = self.decisions.get(key), self.row(key)
        if decision is not None and decision.action != Action.FIRE:
            return decision.reason
        if row is None:
            return NOT_DUE
        if row.status == RETRACTED:
            return TAKEN_BACK
        return row.reasons[-1] if row.reasons else NOT_DUE


def _is_to_come(rule: Rule, instance: Instance, number: int, clock: int) -> bool:
    """Tell whether a repeat (0: the first time) of an open instance is due at the clock or later."""
    if instance.over or number < instance.number:
        return False
    if rule.then is not None and instance.then is None:
        return True
    if number == instance.number:
        return instance.due >= clock
    if rule.repeat is None:
        return rule.due_at is not None and rule.due_at.yearly is not None
    due = instance.due + (number - instance.number) * rule.repeat
    within = FOREVER if rule.repeat_within is None else rule.repeat_within
    return clock <= due <= instance.opened.time + within


class _Comparison:
    """One comparison of one customer's two sides."""

    def __init__(self, live: _Side, shadow: _Side, said: dict[str, Said]) -> None:
        self.live = live
        self.shadow = shadow
        self.said = said
        self.found: list[Difference] = []

    def run(self) -> list[Difference]:
        waiting = [_Key.read(text) for text, one in self.said.items() if not one.outcome]
        given_up = set(sorted(waiting, key=self._sent)[:-MAX_WAITING])
        moved = (*self.live.decisions.items(), *self.shadow.decisions.items())
        touched = {key for key, one in moved if one.action != Action.HELD_BACK}
        for key in sorted(touched.union(waiting)):
            self._look(key, given_up)
        self._forget()
        return self.found

    def _look(self, key: _Key, given_up: Collection[_Key]) -> None:
        gone = self.shadow.version(key) is None
        if gone or self.live.is_others(key) or self.shadow.is_others(key):
            self.said.pop(str(key), None)
            return
        known = self.said.get(str(key))
        lives, would = self.live.fired(key), self.shadow.fired(key)
        if lives == would:
            self._agree(key, known)
            return
        outcome = Outcome.WOULD_HAVE_FIRED if would else Outcome.WOULD_NOT_HAVE_FIRED
        if known is not None and known.outcome == outcome:
            return
        fires, other = (self.shadow, self.live) if would else (self.live, self.shadow)
        values = known.values if known is not None else {}
        decision = fires.decisions.get(key)
        if decision is not None and decision.action == Action.FIRE:
            values = decision.because.values
        if key not in given_up and other.pends(key):
            if known is None or known.outcome:
                self._agree(key, known)
                self.said[str(key)] = Said("", values)
            return
        self._say(key, outcome, fires, other.reason(key), values)
        self.said[str(key)] = Said(outcome, {})

    def _agree(self, key: _Key, known: Said | None) -> None:
        """There is nothing different: end what was said before, if anything was."""
        if known is None:
            return
        del self.said[str(key)]
        if not known.outcome:
            return
        differed = self.shadow if known.outcome == Outcome.WOULD_HAVE_FIRED else self.live
        took_back = not differed.fired(key)
        self._say(key, Outcome.NO_DIFFERENCE, differed, differed.reason(key) if took_back else "", {})

    def _say(self, key: _Key, outcome: Outcome, fires: _Side, reason: str, values: dict[str, Any]) -> None:
        row = fires.row(key)
        self.found.append(
            Difference(
                key.rule,
                self.live.version(key),
                self.shadow.rules[key.rule].version,
                key.opened_by,
                key.number,
                outcome,
                0 if row is None else row.due,
                0 if row is None else row.sent,
                reason,
                values,
            )
        )

    def _forget(self) -> None:
        """Let go of what can't change any more: the row of the side that fired has gone."""
        for text, one in list(self.said.items()):
            side = self.shadow if one.outcome == Outcome.WOULD_HAVE_FIRED else self.live
            if one.outcome and side.row(_Key.read(text)) is None:
                del self.said[text]

    def _sent(self, key: _Key) -> tuple[int, _Key]:
        rows = [row for row in (self.live.row(key), self.shadow.row(key)) if row is not None]
        return max((row.sent for row in rows), default=0), key
