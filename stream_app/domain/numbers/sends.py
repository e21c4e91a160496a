"""Our own triggers: was one sent, did the customer come back, did she buy.

A send is an entry of the fold, in its place by time, as an event is (`Sent`); so is taking it back (`TakenBack`). At
equal times sends come before events, so that who comes in the very millisecond comes afterwards.
- She came back if a visit begins within `OUTCOME_MS` after the send.
- She bought if the first order that is placed within that time is not cancelled.
- What is taken back counts for neither, and is counted as taken back.

A send that is said again is no second one, unless it was taken back in between.

Bounds: `MAX_SENDS`, the latest, none older than `OUTCOME_MS`: what happens to older ones changes nothing any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.numbers.cells import Cell, add, day_of

if TYPE_CHECKING:
    from stream_app.domain.numbers.cells import Tally
    from stream_app.domain.numbers.state import Journey
    from stream_app.domain.profile.values import Place

OUTCOME_MS = 7 * 86_400_000
MAX_SENDS = 32
_BEFORE_EVENTS = "\0"
"""Begins a send's place among those of one millisecond."""


class Sent(msgspec.Struct, array_like=True, gc=False, frozen=True, tag="sent"):
    """A trigger was sent: its id, its rule's name, the channel that it went by, and when (ms).

    Whoever records a send should give it a time behind all events that were known then: what was known before the
    message went out is no answer to it. And such a send comes in turn.
    """

    trigger_id: str
    rule: str
    channel: str
    time: int

    @property
    def order(self) -> Place:
        """Its place among events."""
        return (self.time, f"{_BEFORE_EVENTS}{self.trigger_id}")


class TakenBack(msgspec.Struct, array_like=True, gc=False, frozen=True, tag="taken_back"):
    """A trigger was taken back: what was sent, at `sent`, and when it was taken back (ms)."""

    trigger_id: str
    rule: str
    channel: str
    sent: int
    time: int

    @property
    def order(self) -> Place:
        """Its place among events, behind what it takes back."""
        return (self.time, f"{_BEFORE_EVENTS}{self.trigger_id}{_BEFORE_EVENTS}")


class Send(msgspec.Struct, array_like=True, gc=False):
    """What is kept of a send.

    Attributes:
        trigger_id: its id.
        rule: its rule's name.
        channel: that it went by.
        time: when it was sent, ms.
        returned: whether a visit has begun since.
        order: the first order that was placed since; "" for one that has no id; None: none was.
        taken_back: whether it was.
    """

    trigger_id: str
    rule: str
    channel: str
    time: int
    returned: bool = False
    order: str | None = None
    taken_back: bool = False

    def cell(self, number: str) -> Cell:
        """Return the cell of a number that this send counts in."""
        return Cell(number, day_of(self.time), (self.rule, self.channel))


def send(journey: Journey, sent: Sent, tally: Tally) -> None:
    """Take in that a trigger was sent."""
    forget(journey, sent.time)
    for known in journey.sends:
        if known.trigger_id == sent.trigger_id:
            if not known.taken_back:
                return
            journey.sends.remove(known)
            break
    fresh = Send(sent.trigger_id, sent.rule, sent.channel, sent.time)
    add(tally, fresh.cell("triggers_sent"), 1)
    journey.sends.append(fresh)
    del journey.sends[:-MAX_SENDS]


def take_back(journey: Journey, taken: TakenBack, tally: Tally) -> Send | None:
    """Take in that a trigger was taken back; return the send whose order no longer counts for it, if there is one."""
    forget(journey, taken.time)
    known = next((one for one in journey.sends if one.trigger_id == taken.trigger_id), None)
    if known is not None and known.taken_back:
        return None
    where = (taken.rule, taken.channel)
    add(tally, Cell("triggers_taken_back", day_of(taken.sent), where), 1)
    if known is None:
        return None
    known.taken_back = True
    if known.returned:
        add(tally, known.cell("triggers_returned"), -1)
    return known if known.order is not None else None


def come_back(journey: Journey, time: int, tally: Tally) -> None:
    """Take in that a visit begins."""
    forget(journey, time)
    for one in journey.sends:
        if not one.returned and not one.taken_back:
            one.returned = True
            add(tally, one.cell("triggers_returned"), 1)


def bought(journey: Journey, time: int, order_id: str) -> list[Send]:
    """Take in that an order was placed; return the sends that it is the first one for."""
    forget(journey, time)
    first = [one for one in journey.sends if one.order is None and not one.taken_back]
    for one in first:
        one.order = order_id
    return first


def forget(journey: Journey, time: int) -> None:
    """Let go of sends whose time is over."""
    sends = journey.sends
    while sends and time - sends[0].time > OUTCOME_MS:
        del sends[0]
