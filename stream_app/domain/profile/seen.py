"""Where and when a customer was seen: by channel, by device, and in which quarters of an hour.

A device is the strongest of an event's identifiers in the namespaces of `DEVICES`: one for each event, so that an
app with a device id and a push token is one device. Which namespaces a policy calls devices a profile can't know.

Bounds: channels are those that are configured; of `MAX_DEVICES` devices the one not seen for longest goes, and is
a new one should it come back; `MAX_ACTIVE` quarters of an hour, the latest.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from stream_app.domain.event import Event

MAX_DEVICES = 32
MAX_ACTIVE = 32
QUARTER_MS = 15 * 60 * 1000
DEVICES = ("device:", "cookie:", "app_id:", "push_id:", "wifi_id:")
PASSIVE = frozenset(
    {"Email Delivered", "Email Bounced", "SMS Delivered", "Push Notification Received", "Message Sent"}
    | {"Order Updated", "Order Refunded", "Order Cancelled"}
    | {"Complaint Resolved", "Service Request Closed"}
    | {"Loyalty Points Changed", "Loyalty Tier Changed", "Identify"},
)
"""What is done to a customer, or written down about one: it says nothing about when and where she is active."""


class Seen(msgspec.Struct, array_like=True, gc=False):
    """Visits through one channel: first and last event time (ms), how many events, how many of them her own doing."""

    first: int
    last: int
    count: int
    active: int = 0


class Device(msgspec.Struct, array_like=True, gc=False):
    """Visits with one device: first and last event time (ms), and how many events."""

    first: int
    last: int
    count: int


def see_channel(seen: dict[str, Seen], channel: str, time: int, *, active: bool) -> None:
    """Count an event; in any order."""
    known = seen.get(channel)
    if known is None:
        seen[channel] = Seen(time, time, 1, int(active))
        return
    known.count += 1
    known.active += active
    if time > known.last:
        known.last = time
    elif time < known.first:
        known.first = time


def device_of(event: Event) -> str | None:
    """Return the device that an event came from."""
    for identifier in event.identifiers:
        if identifier.startswith(DEVICES):
            return identifier
    return None


def see_device(devices: dict[str, Device], name: str, time: int, *, late: bool) -> bool:
    """Count an event; return False where it is late and might have kept another device from going."""
    known = devices.get(name)
    if late and len(devices) >= MAX_DEVICES and (known is None or time <= known.first):
        return False
    if known is None:
        if len(devices) >= MAX_DEVICES:
            del devices[min(devices, key=lambda other: (devices[other].last, other))]
        devices[name] = Device(time, time, 1)
        return True
    known.count += 1
    if time > known.last:
        known.last = time
    elif time < known.first:
        known.first = time
    return True


def be_active(active: list[int], time: int) -> None:
    """Note the quarter of an hour (since the epoch) of an event; in any order."""
    quarter = time // QUARTER_MS
    if not active or quarter > active[-1]:
        active.append(quarter)
    elif quarter == active[-1] or quarter in active:
        return
    else:
        insort(active, quarter)
    if len(active) > MAX_ACTIVE:
        del active[0]
