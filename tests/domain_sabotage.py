"""Breaks what the engine runs: bugs of the domain, planted as `RACCORD_PLANT` says, for the tests to find.

They are planted in Python, so a worker with one runs without the native part (`RACCORD_NATIVE=0`).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from stream_app.domain.component import Components
from stream_app.domain.resolver import Resolver
from stream_app.domain.rules import plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def apply(environment: Mapping[str, str]) -> None:
    """Plant the bug that the environment names, if it is one of these."""
    planted = PLANTS.get(environment.get("RACCORD_PLANT", ""))
    if planted is not None:
        planted()


def _drop_what_comes_for_a_redirected_component() -> None:
    """Take what comes for a component that has joined another as done."""
    Components._pass_on = lambda *_: None


def _forget_repoint() -> None:
    """Leave identifiers pointing to where they lived before."""
    Resolver._repoint = lambda *_: None


def _make_up_trigger_ids() -> None:
    """Name a trigger anew each time it is asked for."""
    plan.trigger_id = lambda *_: uuid.uuid4().hex


PLANTS: dict[str, Callable[[], None]] = {
    "drops a redirect": _drop_what_comes_for_a_redirected_component,
    "forgets REPOINT": _forget_repoint,
    "makes up trigger ids": _make_up_trigger_ids,
}
