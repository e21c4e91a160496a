"""Where the domain chooses, once, between its native part and the Python that it stands for.

What runs is what `stream_app.native` says, and what is built. The native modules know the Python ones, never the other
way round; to them they leave whatever is unusual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from stream_app.native import WANTED

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.customer import Customers
    from stream_app.domain.event import Event
    from stream_app.domain.messages import ComponentMessage, EventTo

Waiting = tuple[tuple[int, str], int, "Event", "EventTo"]
"""An event that waits to be taken in: its place on the timeline, its number in the batch, itself, its message."""


class UsualEvents(Protocol):
    """Takes in what is usual, and nothing else."""

    def gather(self, messages: list[ComponentMessage], start: int, waiting: dict[str, list[Waiting]]) -> int:
        """Do as `component.gather_events`."""

    def take(self, events: list[Waiting], start: int) -> int:
        """Take in one component's events from `start` on; return the place of the first that isn't usual."""


usual_events: Callable[[Customers], UsualEvents] | None = None
"""Makes what takes in the usual events of a partition; None: `Customers.take_in` takes in all."""
if WANTED:
    try:
        from stream_app.domain import native_usual
    except ImportError:
        pass  # not built: there was no compiler, or it is another version's
    else:
        usual_events = native_usual.UsualEvents
