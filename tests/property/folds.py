"""What tests of the rules' folds share: a fold, held against that of its whole timeline from the beginning.

A fold that was settled lacks what its ledger's rows stand for, which one from the beginning has: that alone may differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.rules import settle

if TYPE_CHECKING:
    from stream_app.domain.rules import Ledger, RulesState

HISTORY = {"ledger", "judged", "stale", "next_at"}
"""What of a state is no function of the events."""


def of_events(state: RulesState, ledger: Ledger | None = None) -> dict[str, Any]:
    """Return what of a state is a function of the events, without what a ledger's rows stand for."""
    names = [field.name for field in msgspec.structs.fields(state)]
    found = {
        name: value
        for name, value in zip(names, msgspec.to_builtins(state), strict=True)
        if name not in HISTORY
    }
    standing = set() if ledger is None else standing_in(ledger)
    left = {
        rule: [one for one in elapsed if one.trigger_id not in standing]
        for rule, elapsed in state.elapsed.items()
    }
    found["elapsed"] = msgspec.to_builtins({rule: elapsed for rule, elapsed in left.items() if elapsed})
    return found


def standing_in(ledger: Ledger) -> set[str]:
    """Return the triggers for which rows stand."""
    return {trigger for trigger, row in ledger.rows.items() if row.stands}


def is_that_of_the_timeline(state: RulesState, whole: RulesState) -> None:
    """Hold a state against the fold of its whole timeline: what it has let go of is there, and decided for good."""
    assert of_events(state) == of_events(whole, state.ledger)
    elapsed = {one.trigger_id: one for ones in whole.elapsed.values() for one in ones}
    for trigger in standing_in(state.ledger):
        assert settle._is_for_good(state.ledger.rows[trigger], elapsed[trigger])
