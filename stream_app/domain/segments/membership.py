"""Which segments a customer is in: judged anew whenever the profile has changed, and on days when counting says so.

Membership belongs to a customer id, for that is what consumers know; a segment is entered and left by turns. `now` is
the customer's own: the latest event's time, or that of a timer that has gone off since. So who is in what is a function
of the timeline and of how far time has come, whatever the order in which events came.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from stream_app.domain.profile import DAY_MS, day_changes, view

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.domain.profile import Profile
    from stream_app.domain.segments.definition import SegmentBook


class Action(StrEnum):
    """What a customer did to a segment."""

    ENTERED = "entered"
    LEFT = "left"


class Crossing(msgspec.Struct, frozen=True):
    """A customer's entry or exit: the segment and its version, as of when (ms), and the values that were judged."""

    segment: str
    version: int
    action: Action
    time: int
    values: dict[str, Any]


class Member(msgspec.Struct, array_like=True, gc=False):
    """A membership: in which version of the segment, since when (ms)."""

    version: int
    since: int


class Membership(msgspec.Struct, array_like=True, gc=False):
    """What is kept for one customer id.

    Attributes:
        members: by segment.
        time: as of when it was judged last after a timer, ms.
        timer: when a timer goes off, ms; None: none is set.
        label: the component that the customer was in when that was set.
        slot: the customer's slot there.
    """

    members: dict[str, Member] = msgspec.field(default_factory=dict)
    time: int = 0
    timer: int | None = None
    label: str = ""
    slot: int = 0


class Verdict(NamedTuple):
    """What a judgement comes to: the new members, the entries and exits, and when to judge again anyhow (ms)."""

    members: dict[str, Member]
    crossings: list[Crossing]
    due: int | None


def judge(book: SegmentBook, membership: Membership, profile: Profile) -> Verdict:
    """Judge a membership; it is not changed."""
    now = max(membership.time, profile.last[0] if profile.last else 0)
    # Since when days are counted is worked out once, for what conditions say now and for when they may say another.
    began = {name: day_changes(profile, name) for name in book.days}
    customer = view(profile, now, names=book.undated)
    for name, time in began.items():
        if time is not None:
            customer[name] = max(0, now - time) // DAY_MS
    variables = {"customer": customer}
    due = _next(book, began, now)
    known, inside = membership.members, book.inside(variables)
    if known.keys() == inside and all(
        one.version == book.by_name[name].version for name, one in known.items()
    ):
        return Verdict(known, [], due)
    members: dict[str, Member] = {}
    crossings = []
    for segment in book.segments:
        name, version = segment.name, segment.version
        member = known.get(name)
        if name in inside:
            members[name] = Member(version, now if member is None else member.since)
        if (name in inside) != (member is not None):
            values: dict[str, Any] = {}
            segment.condition.holds(variables, values)
            action = Action.LEFT if member is not None else Action.ENTERED
            crossings.append(Crossing(name, version, action, now, values))
    if len(known) > len(members):
        crossings += leave(membership, now, known.keys() - book.by_name)
    return Verdict(members, crossings, due)


def leave(membership: Membership, now: int, segments: Iterable[str] | None = None) -> list[Crossing]:
    """Return the exits from segments, or from all: there are none of that name any more, or no such customer."""
    known = membership.members
    gone = sorted(known if segments is None else segments)
    return [Crossing(name, known[name].version, Action.LEFT, now, {}) for name in gone]


def _next(book: SegmentBook, began: Mapping[str, int | None], now: int) -> int | None:
    """Return the next time at which a count of days passes what a condition compares it with."""
    due: int | None = None
    for name, since in began.items():
        if since is not None:
            for days in book.days[name]:
                time = since + days * DAY_MS
                if time > now:
                    due = time if due is None or time < due else due
                    break
    return due
