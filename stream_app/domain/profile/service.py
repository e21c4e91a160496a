"""Service requests: what a customer asked for or complained about, and whether it is settled.

Folded in the order of the timeline. Service Request Opened and Complaint Raised open the case `case_id` (one without is
a case of its own), or open it again. Service Request Closed and Complaint Resolved close the case that they name;
without a `case_id`, all that are open. Bound: `MAX_REQUESTS` cases; a closed one goes before an open one, and of
these the one untouched longest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.profile.values import text

if TYPE_CHECKING:
    from stream_app.domain.event import Event

MAX_REQUESTS = 16
COMPLAINT, REQUEST = "complaint", "request"
_OPENS = {"Complaint Raised": COMPLAINT, "Service Request Opened": REQUEST}
_CLOSES = frozenset({"Complaint Resolved", "Service Request Closed"})


class Request(msgspec.Struct, array_like=True, gc=False):
    """A case. Times are ms.

    Attributes:
        case: its id; "" where it has none.
        kind: `COMPLAINT` or `REQUEST`, as it was opened first.
        channel: that it came through first.
        opened: when it was opened first.
        closed: when it was closed last; None: it is open.
    """

    case: str
    kind: str
    channel: str
    opened: int
    closed: int | None = None


class Service(msgspec.Struct, array_like=True, gc=False):
    """All cases: how many there were, how many of them complaints, and the latest, the one touched last at the end."""

    requests: int = 0
    complaints: int = 0
    cases: list[Request] = msgspec.field(default_factory=list)


def serve(service: Service, event: Event) -> None:
    """Take in an event of `SERVICE_EVENTS`."""
    case = text(event.properties.get("case_id")) or ""
    cases = service.cases
    if event.type in _CLOSES:
        for one in [one for one in cases if one.closed is None and case in ("", one.case)]:
            one.closed = event.time
            _touch(cases, one)
        return
    known = next((one for one in cases if case and one.case == case), None)
    if known is not None:
        known.closed = None
        _touch(cases, known)
        return
    kind = _OPENS[event.type]
    service.requests += 1
    service.complaints += kind == COMPLAINT
    cases.append(Request(case, kind, event.channel, event.time))
    if len(cases) > MAX_REQUESTS:
        cases.remove(next((one for one in cases if one.closed is not None), cases[0]))


def open_requests(service: Service) -> int:
    """Return how many cases are open."""
    return sum(one.closed is None for one in service.cases) if service.cases else 0


def _touch(cases: list[Request], one: Request) -> None:
    del cases[next(n for n, other in enumerate(cases) if other is one)]
    cases.append(one)


SERVICE_EVENTS = _CLOSES | _OPENS.keys()
