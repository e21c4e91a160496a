"""The way from a channel to its topic: delays, wrong clocks, copies, sloppy spelling, broken records.

Everything is decided by hashes of the event's id (one number for each kind of noise) and of the device's
name: there is no state that one kind of noise could disturb for another.
"""

from __future__ import annotations

import struct
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from connectors.planned import Encoding, Planned
from connectors.simulators.chances import DAY, HOUR, MINUTE, SECOND
from connectors.simulators.malformed import REASONS, Accident, malformed
from stream_app.domain.event import ChannelEvent
from stream_app.domain.refusal import Reason

if TYPE_CHECKING:
    from connectors.simulators.diary import Act
    from connectors.simulators.identifiers import Identifier
    from connectors.simulators.settings import Noise
    from connectors.simulators.truth import Ledger

YEAR_2031 = 1_925_000_000_000  # 2031-01-01T02:13:20Z
YEAR_1999 = 915_200_000_000  # 1999-01-01T14:13:20Z
LARGEST_SKEW = 3 * MINUTE
CLOCK_CHANNELS = {"web", "app", "store"}
MEANINGLESS = (("user_id", "guest"), ("email", "null"), ("user_id", "undefined"), ("email", "None"))
_SIX_NUMBERS = struct.Struct("<6I")
_RANGE = 2**32
_ENCODINGS: tuple[Encoding, ...] = (
    *("single_object",) * 7,
    *("cloudevents_structured",) * 2,
    "cloudevents_binary",
)


class Reporter(msgspec.Struct, frozen=True):
    """A browser, app, till or server that sends events, and its ways.

    `clock` says whether its clock is right (give or take `skew` ms), or stuck in another year.
    """

    key: bytes
    encoding: Encoding
    clock: Literal["right", "future", "past"] = "right"
    skew: int = 0
    sloppy: bool = False


class Transit:
    """Carries acts to Kafka, with the noise that is asked for, and books what it does."""

    def __init__(self, seed: int, noise: Noise, ledger: Ledger) -> None:
        """Set the rates."""
        self._seed = seed
        self._noise = noise
        self._ledger = ledger
        self._reporters: dict[tuple[str, str], Reporter] = {}
        self._accidents = 0
        self._too_large = 0

    def carry(self, act: Act) -> list[Planned]:
        """Return the records that an act leads to: its event first, then copies and broken records."""
        noise = self._noise
        delay, slow, copied, conflicting, blocked, broken = _numbers(act.event_id)
        reporter = self._reporters.get((act.channel, act.key)) or self._reporter(act.channel, act.key)
        at = act.time + 150 + delay % 700
        if slow < noise.out_of_order * _RANGE:
            at += delay % (30 * SECOND)
        late = act.channel == "store" and act.type == "Order Completed" and delay < noise.late_tills * _RANGE
        if late:
            at += HOUR + slow % (7 * HOUR)
        identifiers = _spelled(act.identifiers, reporter)
        vague = len(act.identifiers) == 1 and act.identifiers[0].namespace in {"cookie", "device"}
        vague = vague and blocked < noise.blocked_identifiers * _RANGE
        if vague:
            namespace, value = MEANINGLESS[blocked % len(MEANINGLESS)]
            identifiers[namespace] = value
        event = ChannelEvent(
            act.event_id,
            _clock(reporter, act.time),
            act.channel,
            act.type,
            identifiers,
            act.properties,
            sent_at=_clock(reporter, at - 90),
            context=act.context,
        )
        record = Planned(
            channel=act.channel, at=at, event=event, encoding=reporter.encoding, key=reporter.key
        )
        records = [record]
        if reporter.clock != "right":
            record.note = "wrong_clock"
            self._ledger.dead(Reason.TIME_OUT_OF_RANGE)
        else:
            texts = tuple(one.text for one in act.identifiers)
            self._ledger.good(act.event_id, act.shopper, act.channel, texts, blocked=vague, late=late)
            record.note = "late" if late else None
            if copied < noise.duplicates * _RANGE:
                records.append(self._copy(record, copied))
            if conflicting < noise.conflicts * _RANGE:
                records.append(self._conflict(record, event, conflicting))
        if broken < noise.malformed * _RANGE:
            records.append(self._broken(act, at, reporter.key))
        return records

    def _copy(self, record: Planned, number: int) -> Planned:
        self._ledger.duplicate()
        return msgspec.structs.replace(record, at=record.at + _some_minutes(number), note="duplicate")

    def _conflict(self, record: Planned, event: ChannelEvent, number: int) -> Planned:
        self._ledger.dead(Reason.CONFLICT)
        other = msgspec.structs.replace(event, properties={**event.properties, "corrected": True})
        at = record.at + _some_minutes(number)
        return msgspec.structs.replace(record, at=at, event=other, note="conflict")

    def _broken(self, act: Act, at: int, key: bytes) -> Planned:
        reason = REASONS[self._accidents % len(REASONS)]
        if reason is Reason.TOO_LARGE and self._too_large >= self._noise.too_large:
            reason = Reason.UNDECODABLE
        self._too_large += reason is Reason.TOO_LARGE
        self._ledger.dead(reason)
        turn = self._accidents // len(REASONS)
        self._accidents += 1
        random = Random(f"{act.event_id}/broken")
        return malformed(reason, Accident(turn, act.channel, at + 1, key, random, self._noise))

    def _reporter(self, channel: str, key: str) -> Reporter:
        noise = self._noise
        spelling, clock, skewed, by, _, _ = _numbers(f"{self._seed}/{channel}/{key}")
        encoding = _ENCODINGS[spelling % len(_ENCODINGS)]
        sloppy = spelling < noise.sloppy_spelling * _RANGE
        reporter = Reporter(key.encode(), encoding, sloppy=sloppy)
        if channel == "store" and clock < noise.stuck_tills * _RANGE:
            reporter = Reporter(key.encode(), encoding, clock="past", sloppy=sloppy)
        elif channel in {"web", "app"} and clock < noise.wrong_clocks * _RANGE:
            reporter = Reporter(key.encode(), encoding, clock="future", sloppy=sloppy)
        elif channel in CLOCK_CHANNELS and skewed < noise.skewed_clocks * _RANGE:
            skew = by % (2 * LARGEST_SKEW) - LARGEST_SKEW
            reporter = Reporter(key.encode(), encoding, skew=skew, sloppy=sloppy)
        self._reporters[channel, key] = reporter
        return reporter


def _numbers(text: str) -> tuple[int, ...]:
    """Return six independent numbers below 2**32 that depend on the text alone."""
    return _SIX_NUMBERS.unpack(blake2b(text.encode(), digest_size=24).digest())


def _some_minutes(number: int) -> int:
    return MINUTE + number % (9 * MINUTE)


def _clock(reporter: Reporter, time: int) -> int:
    if reporter.clock == "future":
        return YEAR_2031 + time % (30 * DAY)
    if reporter.clock == "past":
        return YEAR_1999 + time % (30 * DAY)
    return time + reporter.skew


def _spelled(identifiers: tuple[Identifier, ...], reporter: Reporter) -> dict[str, Any]:
    """Return the identifiers as the event carries them; two values of one namespace become a list."""
    spelled: dict[str, Any] = {}
    for one in identifiers:
        value: Any = _sloppy(one, reporter) if reporter.sloppy else one.value
        if one.namespace in spelled:
            value = [spelled[one.namespace], value]
        spelled[one.namespace] = value
    return spelled


def _sloppy(one: Identifier, reporter: Reporter) -> Any:
    """Spell it otherwise, so that normalising gives the same: capitals, blanks, numbers for digits."""
    if one.namespace == "email":
        return f" {one.value.title()}"
    if one.namespace == "phone":
        country, rest = one.value[:3], one.value[3:]
        return " ".join((country, rest[0], *(rest[place : place + 2] for place in range(1, 9, 2))))
    if one.namespace == "user_id" and reporter.encoding != "single_object":
        return int(one.value)
    return one.value
