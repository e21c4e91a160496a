"""Bugs of reference data that more than one test plants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.domain.rules import applying, changes

if TYPE_CHECKING:
    import pytest


def asks_for_nothing_where_a_change_opens(patch: pytest.MonkeyPatch) -> None:
    """Let every change of the field open, whatever the rule asks of it."""
    patch.setattr(changes, "_fits", lambda *_: True)


def keeps_the_first_event_before(patch: pytest.MonkeyPatch) -> None:
    """Have the first event that names an item be the one before its changes."""
    watch = applying._watch

    def wrong(plan: Any, step: Any) -> None:
        known = dict(step.state.before.get(plan.id, {}))
        watch(plan, step)
        step.state.before.get(plan.id, {}).update(known)

    patch.setattr(applying, "_watch", wrong)
