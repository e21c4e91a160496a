"""The oracle's policy: consent, suppression, at_most, caps, and the channel that is left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from tests.property.rules_oracle_texts import Happening, Raw, duration, listed, traits
from tests.property.rules_oracle_zones import local, zone_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.property.rules_oracle_fold import Firing

DAY = 86_400_000


@dataclass(frozen=True)
class Send:
    """A message that went out."""

    firing: Firing
    sent: int
    channel: str | None


@dataclass(frozen=True)
class Judge:
    """Judges one message to one customer at one time; `known`: her events up to then."""

    policy: Raw
    customer: frozenset[str]
    known: Sequence[Happening]
    firing: Firing
    now: int

    @property
    def rule(self) -> Raw:
        return self.firing.rule

    @property
    def purpose(self) -> str:
        purpose: str = self.rule.get("purpose", "marketing")
        return purpose

    @property
    def consented(self) -> bool:
        """Whether there is consent on any channel."""
        return bool(self._consenting())

    def refusal(self) -> str | None:
        """Return why it may not be sent at all: consent, then suppression."""
        if not self._consenting():
            return "consent"
        return "suppressed" if self.customer & set(self.policy.get("suppressed", ())) else None

    def no_room(self, sends: Sequence[Send], before: Sequence[Send]) -> str | None:
        """Return why there is no room: `before` are the sends without those of this very time."""
        if not self._with_room(sends):
            return "priority" if self._with_room(before) else "cap"
        return "at_most" if self._at_most(sends) else None

    def channel(self, sends: Sequence[Send]) -> str | None:
        """Return "the first that has consent, an address and room under its cap"."""
        return self._with_room(sends)[0]

    def _channels(self) -> list[str | None]:
        """List the channels "in order of preference (the customer's preferred channel goes first ...)"."""
        channels = listed(self.rule.get("channel")) or [None]
        preferred = traits(self.known).get("preferred_channel")
        return sorted(channels, key=lambda channel: channel is None or channel != preferred)

    @property
    def located(self) -> bool:
        """Whether she may be told by where she is, on every channel that there is consent for otherwise."""
        located = {channel for channel in self._channels() if self._consents(channel, "location")}
        return bool(located) and located.issuperset(self._consenting())

    def _consenting(self) -> list[str | None]:
        return [channel for channel in self._channels() if self._consents(channel, self.purpose)]

    def _consents(self, channel: str | None, purpose: str) -> bool:
        """Judge consent: "the latest explicit answer per purpose and channel wins", at equal times "no"."""
        answers = [
            (event.time, event.properties["consent"])
            for event in self.known
            if event.type == "Consent Changed"
            and isinstance(event.properties.get("consent"), bool)
            and event.properties.get("purpose") in (None, purpose)
            and event.properties.get("channel") in (None, channel)
        ]
        if answers:
            latest = max(time for time, _ in answers)
            return all(answer for time, answer in answers if time == latest)
        default = self.policy.get("consent_default", True)
        by_purpose = default if isinstance(default, dict) else {"*": default}
        return bool(by_purpose.get(purpose, by_purpose.get("*", True)))

    def _at_most(self, sends: Sequence[Send]) -> bool:
        """Tell whether the rule's own limit is reached: "rolling, exactly `per` ago no longer counts"."""
        limit = self.rule.get("at_most")
        if limit is None:
            return False
        since = self.now - duration(limit["per"]) if "per" in limit else None
        counted = [
            send
            for send in sends
            if send.firing.rule["name"] == self.rule["name"]
            and (since is None or send.sent > since)
            and (not limit.get("per_key") or send.firing.key == self.firing.key)
        ]
        return len(counted) >= limit["times"]

    def _with_room(self, sends: Sequence[Send]) -> list[str | None]:
        """List the channels with consent and room: "the strictest holds"."""
        if self.rule.get("ignore_caps"):
            return self._consenting()
        return [
            channel
            for channel in self._consenting()
            if all(self._room(cap, channel, sends) for cap in self.policy.get("caps", ()))
        ]

    def _room(self, cap: Raw, channel: str | None, sends: Sequence[Send]) -> bool:
        if cap.get("channel") not in (None, channel) or cap.get("purpose") not in (None, self.purpose):
            return True
        counted = [
            send
            for send in sends
            if not send.firing.rule.get("ignore_caps")
            and cap.get("channel") in (None, send.channel)
            and cap.get("purpose") in (None, send.firing.rule.get("purpose", "marketing"))
            and self._within(cap, send.sent)
        ]
        return len(counted) < cap["times"]

    def _within(self, cap: Raw, sent: int) -> bool:
        """Tell whether a send counts: rolling, or by calendar days "in the customer's zone, today included"."""
        per = duration(cap["per"])
        if cap.get("window", "rolling") == "rolling":
            return sent > self.now - per
        zone = zone_of(self.known, self.policy)
        first = local(self.now, zone).date() - timedelta(days=per // DAY - 1)
        return local(sent, zone).date() >= first
