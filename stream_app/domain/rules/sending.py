"""The sending policy: what a deployment allows to be sent, whatever its rules want.

One policy for all rules: hours in which nothing is sent, caps on how much is, what counts as consent where the
customer never said, identifiers that get nothing, and which identifiers are addresses. It is asked when a trigger is
due, and only answers: what was sent, and what customers said, the caller knows.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads it at run time
from functools import cached_property
from hashlib import blake2b
from typing import Literal

import msgspec

from stream_app.domain.local_time import UTC_NAME, start_of_day
from stream_app.domain.rules.model import DAY, FOREVER
from stream_app.domain.rules.quiet_hours import QuietHours

ANY = "*"
"""In `consent_default`: every purpose that isn't named."""

__all__ = ["ANY", "Cap", "QuietHours", "SendingPolicy", "Window"]

Window = Literal["calendar", "rolling"]


class Cap(msgspec.Struct, frozen=True):
    """No more than `times` sends to a customer in `per` ms (None: ever).

    A calendar `per` is whole days of the customer's zone, today included. `channel` and `purpose`: only such sends
    count, and only such are held; None: all.
    """

    times: int
    per: int | None = None
    window: Window = "calendar"
    channel: str | None = None
    purpose: str | None = None

    @property
    def memory(self) -> int:
        """Return for how long (ms) a send can count at most.

        A calendar window may hold an hour that came twice, or even a day that did: it is given a day more.
        """
        if self.per is None:
            return FOREVER
        return self.per + DAY if self.window == "calendar" else self.per


class SendingPolicy(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What may be sent. The default allows everything.

    Attributes:
        quiet_hours: None: there are none.
        timezone: of customers whose own zone isn't known.
        caps: the strictest holds.
        consent_default: whether a customer who gave no answer consents: to anything, or by purpose, `ANY` for those
            that aren't named. Without `ANY` these are as without a policy: consented to.
        suppressed: identifiers, "namespace:value", that get nothing.
        addresses: namespace -> the channel that its values are addresses of; None: every channel reaches everybody.
    """

    quiet_hours: QuietHours | None = None
    timezone: str = UTC_NAME
    caps: tuple[Cap, ...] = ()
    consent_default: bool | Mapping[str, bool] = True
    suppressed: frozenset[str] = frozenset()
    addresses: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        """Say which policy it is and nothing of the people in it: what is shown may be logged."""
        return f"SendingPolicy(digest={self.digest!r}, suppressed={len(self.suppressed)} identifiers)"

    def quiet_until(self, time_ms: int, zone: str) -> int:
        """Return the first moment (ms) from `time_ms` on at which a customer in this zone may be sent something."""
        return time_ms if self.quiet_hours is None else self.quiet_hours.until(time_ms, zone)

    def since(self, cap: Cap, at: int, zone: str) -> int:
        """Return from when on (ms, inclusive) sends count for a cap that is asked at `at`."""
        if cap.per is None:
            return -FOREVER
        if cap.window == "rolling":
            return at - cap.per + 1
        return start_of_day(at, zone, 1 - cap.per // DAY)

    def consents(self, purpose: str, answer: bool | None) -> bool:
        """Tell whether there is consent; `answer` is the customer's explicit one, None where there is none."""
        if answer is not None:
            return answer
        default = self.consent_default
        return default if isinstance(default, bool) else default.get(purpose, default.get(ANY, True))

    @cached_property
    def longest_hold(self) -> int:
        """Return how long (ms) quiet hours hold a send at most, in any zone."""
        return 0 if self.quiet_hours is None else self.quiet_hours.longest_hold

    @cached_property
    def longest_memory(self) -> int:
        """Return for how long (ms) a send can count for a cap at most."""
        return max((cap.memory for cap in self.caps), default=0)

    @cached_property
    def digest(self) -> str:
        """Return a fingerprint of all that decisions depend on, whatever the order in which it was written."""
        quiet, consent = self.quiet_hours, self.consent_default
        text = repr(
            (
                None if quiet is None else (quiet.start, quiet.end, sorted(quiet.days)),
                self.timezone,
                sorted(repr(cap) for cap in self.caps),
                consent if isinstance(consent, bool) else sorted(consent.items()),
                sorted(self.suppressed),
                None if self.addresses is None else sorted(self.addresses.items()),
            )
        )
        return blake2b(text.encode(), digest_size=8).hexdigest()
