"""Consent: the latest explicit answer by purpose and channel, and the history of answers; in any order of events.

An answer without purpose or channel speaks of all of them. Of answers about one purpose and channel the latest counts,
at equal times "no". Bounds: the latest `MAX_ANSWERS` pairs of purpose and channel; of the history the latest
`MAX_HISTORY` answers (all of them stay on the timeline).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from stream_app.domain.profile.values import text

if TYPE_CHECKING:
    from stream_app.domain.event import Event

MAX_ANSWERS = 128
MAX_HISTORY = 32
ALL = "*"
_ABOUT = ("purpose", "channel")


class Answer(msgspec.Struct, array_like=True, gc=False):
    """An explicit answer to a question for consent, and its event time (ms)."""

    granted: bool
    time: int


class Said(msgspec.Struct, array_like=True, gc=False):
    """An answer in the history: its place on the timeline, what it was about (None: all), and how it came.

    `channel` is what it was about, `through` the channel that it came through.
    """

    time: int
    event_id: str
    purpose: str | None
    channel: str | None
    granted: bool
    through: str


def answer(consent: dict[str, Answer], history: list[Said], event: Event) -> None:
    """Take in a Consent Changed."""
    granted = event.properties.get("consent")
    if not isinstance(granted, bool):
        return
    purpose, channel = (text(event.properties.get(name)) for name in _ABOUT)
    if any(
        event.properties.get(name) is not None and text(event.properties[name]) is None for name in _ABOUT
    ):
        return
    about = f"{purpose or ALL}/{channel or ALL}"
    old = consent.get(about)
    if old is None or event.time > old.time:
        consent[about] = Answer(granted, event.time)
    elif event.time == old.time and not granted:
        old.granted = False
    if len(consent) > MAX_ANSWERS:
        del consent[min(consent, key=lambda name: (consent[name].time, name))]
    _remember(history, Said(event.time, event.event_id, purpose, channel, granted, event.channel))


def _remember(history: list[Said], said: Said) -> None:
    place = len(history)
    while place and (history[place - 1].time, history[place - 1].event_id) > (said.time, said.event_id):
        place -= 1
    history.insert(place, said)
    if len(history) > MAX_HISTORY:
        del history[0]


def allowed(consent: dict[str, Answer], purpose: str, channel: str) -> bool | None:
    """Return the latest explicit answer that speaks of a purpose on a channel; None if there is none."""
    keys = (f"{purpose}/{channel}", f"{purpose}/{ALL}", f"{ALL}/{channel}", f"{ALL}/{ALL}")
    answers = [answer for answer in map(consent.get, keys) if answer is not None]
    if not answers:
        return None
    latest = max(answer.time for answer in answers)
    return all(answer.granted for answer in answers if answer.time == latest)
