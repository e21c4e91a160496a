"""Visits, and which of them are touches.

A visit is what a customer does on one channel without a break of more than `INACTIVITY_MS`, as a session of GA4 is.
Only her own doing counts: not what is done to her, what is written down about her, what her mail program does, what
ends a call or a visit, an answer about consent, or a rating, which we asked for.

A touch is the beginning of a visit. One exception: the first visit to web, app or marketplace that begins after a
click in a message (on another channel than these), and no later than `INACTIVITY_MS` after it, is where that click led,
and no touch of its own. Otherwise the web site had the last touch of nearly every order, and what brought the customer
there none.

A visit's device is the first `device_type` that is said in it; until then "". `DEVICES` are told apart.

Bounds: a visit for each channel; of the touches of the last 30 days the latest `MAX_TOUCHES`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.numbers.attribution import LOOKBACK_MS, Touch
from stream_app.domain.numbers.cells import Cell, add, day_of, month_of
from stream_app.domain.profile.seen import PASSIVE
from stream_app.domain.profile.values import text

if TYPE_CHECKING:
    from stream_app.domain.event import Event
    from stream_app.domain.numbers.cells import Tally
    from stream_app.domain.numbers.state import Journey, Ongoing, State

INACTIVITY_MS = 30 * 60_000
MAX_TOUCHES = 100
LANDINGS = frozenset({"web", "app", "marketplace"})
"""Channels that a click in a message leads to."""
DEVICES = frozenset({"phone", "tablet", "desktop", "till", "kiosk", "tv", "watch"})
"""What `device_type` may be; anything else is `OTHER`, so that no producer makes numbers without end."""
OTHER = "other"
NO_VISIT = (
    PASSIVE
    | {"Email Opened", "Email Marked as Spam", "Unsubscribed", "Consent Changed"}
    | {"Visit Ended", "Call Ended", "Conversation Ended", "Satisfaction Rated", "Order Ready for Pickup"}
)


class Visit(msgspec.Struct, array_like=True, gc=False):
    """The latest visit on a channel: its first and last event time (ms), and the device that was said."""

    first: int
    last: int
    device: str = ""


def device_of(properties: dict[str, Any]) -> str:
    """Return the device that an event says, "" for none."""
    said = properties.get("device_type")
    if said is None:
        return ""
    name = said.lower() if type(said) is str else ""
    return name if name in DEVICES else OTHER if name else ""


def campaign_of(event: Event) -> str:
    """Return the campaign that an event names, "" for none."""
    return text(event.properties.get("campaign_id")) or ""


def visit(state: State, event: Event, tally: Tally) -> bool:
    """Take in an event of a visit; return whether it begins one."""
    channel, time = event.channel, event.time
    visits = state.ongoing.visits
    known = visits.get(channel)
    device = device_of(event.properties)
    if known is not None and time - known.last <= INACTIVITY_MS:
        known.last = time
        if device and not known.device:
            known.device, day = device, day_of(known.first)
            add(tally, Cell("visits", day, (channel, "")), -1)
            add(tally, Cell("visits", day, (channel, device)), 1)
        return False
    visits[channel] = Visit(time, time, device)
    add(tally, Cell("visits", day_of(time), (channel, device)), 1)
    _be_active(state.journey, time, tally)
    if not _landed(state.ongoing, event):
        _touch(state.journey.touches, Touch(time, channel, campaign_of(event)))
    return True


def _landed(ongoing: Ongoing, event: Event) -> bool:
    """Tell whether a visit that begins is where a click in a message led; it leads to one."""
    if ongoing.clicked is None or event.channel not in LANDINGS:
        return False
    clicked, ongoing.clicked = ongoing.clicked, None
    return event.time - clicked <= INACTIVITY_MS


def _touch(touches: list[Touch], touch: Touch) -> None:
    touches.append(touch)
    while touch.time - touches[0].time > LOOKBACK_MS or len(touches) > MAX_TOUCHES:
        del touches[0]


def _be_active(journey: Journey, time: int, tally: Tally) -> None:
    """Count the customer in the month of a visit, once."""
    month = month_of(time)
    if journey.cohort is None:
        journey.cohort = month
    if journey.month != month:
        journey.month = month
        add(tally, Cell("active_customers", journey.cohort, (str(month - journey.cohort),)), 1)
