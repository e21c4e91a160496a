"""The fold: a customer's events, and what was sent to her, in order, each into what it adds to the numbers.

`step` takes an event that is later than all before it, `send_step` a send or its taking back; both change the state in
place and return the increments. All that a customer adds to the numbers is the sum over her entries. An event may
change what earlier ones added (a cancellation does): then its own increments take that back, in the windows where it
was. Nothing here knows a clock, and nothing comes of silence.

The profile is folded beside: `step` wants it as it is after the event. It says what orders are worth.

What comes before an entry that was folded (`in_turn` says so) needs a fold from a checkpoint before it; telling.py says
what becomes of what was told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.numbers.answers import answered
from stream_app.domain.numbers.cells import NOTHING, settled
from stream_app.domain.numbers.messages import CLICKS, IMPRESSIONS, click, shown
from stream_app.domain.numbers.orders import order_event, unbook_send
from stream_app.domain.numbers.sends import Sent, TakenBack, come_back, send, take_back
from stream_app.domain.numbers.state import EDITION, Numbers
from stream_app.domain.numbers.visits import INACTIVITY_MS, NO_VISIT, visit
from stream_app.domain.profile.orders import ORDER_EVENTS
from stream_app.domain.profile.ratings import SATISFACTION_EVENTS

if TYPE_CHECKING:
    from stream_app.domain.event import Event
    from stream_app.domain.numbers.cells import Increments, Tally
    from stream_app.domain.numbers.state import State
    from stream_app.domain.profile import Place, Profile

Entry = Sent | TakenBack
"""What is folded beside events."""

READ = frozenset(IMPRESSIONS) | frozenset(CLICKS) | ORDER_EVENTS | SATISFACTION_EVENTS
"""Types of events that are more than part of a visit."""
_UNUSUAL = NO_VISIT | READ

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Numbers).decode


def in_turn(state: State, profile: Profile, place: Place) -> bool:
    """Tell whether an entry at a place comes behind all that was folded; the profile is without it."""
    return place > state.ongoing.sent and (profile.last is None or place > profile.last)


def changed(entry: Event | Entry, increments: Increments) -> tuple[bool, bool]:
    """Return whether an entry that added these increments may have changed the journey, and the bookings.

    (`Ongoing` nearly every one changes.)
    """
    if isinstance(entry, Sent | TakenBack):
        return True, isinstance(entry, TakenBack)
    order = entry.type in ORDER_EVENTS
    return order or bool(increments), order


def step(state: State, event: Event, profile: Profile) -> Increments:
    """Fold an event; return what it adds."""
    kind = event.type
    if kind not in _UNUSUAL:
        known = state.ongoing.visits.get(event.channel)
        if (
            known is not None
            and event.time - known.last <= INACTIVITY_MS
            and (known.device or "device_type" not in event.properties)
        ):
            known.last = event.time  # as most events: one more of a visit
            return NOTHING
    elif kind not in READ:
        return NOTHING
    tally: Tally = {}
    if kind not in NO_VISIT and visit(state, event, tally):
        come_back(state.journey, event.time, tally)
    if kind in READ:
        _read(state, event, profile, tally)
    return settled(tally)


def _read(state: State, event: Event, profile: Profile, tally: Tally) -> None:
    """Take in what an event is besides part of a visit."""
    kind = event.type
    if kind in ORDER_EVENTS:
        order_event(state, event, profile, tally)
    elif kind in IMPRESSIONS:
        shown(event, tally)
    elif kind in CLICKS:
        click(state, event, tally)
    else:
        answered(event, tally)


def send_step(state: State, entry: Entry) -> Increments:
    """Fold a send, or its taking back; return what it adds."""
    tally: Tally = {}
    journey = state.journey
    state.ongoing.sent = entry.order
    if isinstance(entry, Sent):
        send(journey, entry, tally)
    else:
        unbought = take_back(journey, entry, tally)
        if unbought is not None:
            unbook_send(state, unbought, tally)
    return settled(tally)


def keep(state: State) -> bytes:
    """Return a fold as bytes."""
    return _encode(Numbers(state.ongoing, state.journey, state.bookings))


def resume(kept: bytes) -> Numbers | None:
    """Return a fold to go on with; None if other definitions gave it."""
    state = _decode(kept)
    return state if state.ongoing.edition == EDITION else None
