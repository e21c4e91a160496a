"""What components ask of the rules, as a customer's events concern them; and what answers where there are none.

State is whatever they keep in `customer.rules`: a fold of the timeline, and a history that no event can give back.
`folding` says when a fold is made anew, with `begin`, `step` and `finish`, over several epochs if need be; until then
the customer is not settled, and nothing may be decided about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from stream_app.domain.profile import BEGINNING, END

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_app.domain.customer import Customer
    from stream_app.domain.event import Event
    from stream_app.domain.profile import Place, Profile
    from stream_app.domain.rules.changes import Change


class RuleFold(Protocol):
    """The rules of one partition's customers."""

    def before(self, customer: Customer, event: Event) -> None:
        """The timeline's new last event is about to be taken in: the profile is without it."""

    def on_event(self, customer: Customer, event: Event) -> bool:
        """Take in the timeline's new last event; return False if other rules made the fold: it must be made anew."""

    def void(self, customer: Customer, event: Event) -> Place:
        """Return from where on the fold must be made anew, where `on_event` returned False."""

    def decide(self, customer: Customer, stamp: int) -> None:
        """Decide what follows from what was taken in; `stamp` (ms) is where the clock stood at the source."""

    def matters(self, change: Change) -> bool:
        """Tell whether a change of reference data can follow anything for anybody."""

    def concerns(self, customer: Customer, change: Change) -> bool:
        """Tell whether a change concerns a settled customer, as far as her fold says; True if other rules made that."""

    def on_change(self, customer: Customer, change: Change) -> bool:
        """Take in a change of reference data that concerns a settled customer; False: the fold must be made anew."""

    def begin(self, customer: Customer, kept: bytes | None, since: Place) -> Any:
        """Return a fold to go on with: of no event, or what `keep` gave; None if other rules gave that.

        `since` is the place from which on the fold is void; None, too, if what was kept has something from there on.
        """

    def before_step(self, fold: Any, event: Event, profile: Profile) -> None:
        """The next event of the timeline is about to be folded: the profile, folded beside, is without it."""

    def step(self, fold: Any, event: Event, profile: Profile) -> None:
        """Fold the next event of the timeline, in place; the profile has it."""

    def keep(self, fold: Any) -> bytes:
        """Return a fold as bytes, without the history."""

    def current(self, customer: Customer) -> Any:
        """Return the fold of a settled customer."""

    def finish(self, customer: Customer, fold: Any, stamp: int) -> None:
        """The fold has come to the timeline's end: it is the customer's now. `stamp` is the earliest."""

    def removed(self, key: bytes) -> None:
        """An event was removed from the timeline key that it had."""

    def leave(self, customer: Customer) -> bytes:
        """The customer ends here: drop its timers, and return the state as bytes, to travel."""

    def join(self, customer: Customer, state: bytes) -> Place:
        """Another's state has come: combine the histories. Return from where on to fold again. Idempotent."""

    def share(self, customer: Customer, slot_of: Callable[[str], int | None]) -> Mapping[int, bytes]:
        """Give away what belongs to those who own the events that it rests on: slot -> state for `join`.

        `slot_of(event id)` is the slot of an event's customer, None of an event that there isn't. The customer
        is folded again.
        """


class NoRules:
    """No rules at all."""

    def before(self, customer: Customer, event: Event) -> None:
        """Do nothing."""

    def on_event(self, customer: Customer, event: Event) -> bool:  # noqa: ARG002
        """Do nothing."""
        return True

    def void(self, customer: Customer, event: Event) -> Place:  # noqa: ARG002
        """Return the beginning."""
        return BEGINNING

    def matters(self, change: Change) -> bool:  # noqa: ARG002
        """Nothing follows."""
        return False

    def concerns(self, customer: Customer, change: Change) -> bool:  # noqa: ARG002
        """It doesn't."""
        return False

    def on_change(self, customer: Customer, change: Change) -> bool:  # noqa: ARG002
        """Do nothing."""
        return True

    def decide(self, customer: Customer, stamp: int) -> None:
        """Do nothing."""

    def begin(self, customer: Customer, kept: bytes | None, since: Place) -> Any:  # noqa: ARG002
        """Return a fold of nothing."""
        return b""

    def before_step(self, fold: Any, event: Event, profile: Profile) -> None:
        """Do nothing."""

    def step(self, fold: Any, event: Event, profile: Profile) -> None:
        """Do nothing."""

    def keep(self, fold: Any) -> bytes:  # noqa: ARG002
        """Return nothing."""
        return b""

    def current(self, customer: Customer) -> Any:  # noqa: ARG002
        """Return a fold of nothing."""
        return b""

    def finish(self, customer: Customer, fold: Any, stamp: int) -> None:
        """Do nothing."""

    def removed(self, key: bytes) -> None:
        """Do nothing."""

    def leave(self, customer: Customer) -> bytes:  # noqa: ARG002
        """Return no state."""
        return b""

    def join(self, customer: Customer, state: bytes) -> Place:  # noqa: ARG002
        """Do nothing."""
        return END

    def share(self, customer: Customer, slot_of: Callable[[str], int | None]) -> Mapping[int, bytes]:  # noqa: ARG002
        """Give nothing away."""
        return {}
