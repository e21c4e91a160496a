"""What is fed into a run: a simulator's shoppers, their day pressed into seconds, and what goes wrong on the way.

What the input faults do, they do here: copies, records out of order, poison. Each record that must be refused is noted,
by what it holds, so that the oracle knows it when it reads the topics.
"""

from __future__ import annotations

import random
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from connectors.planned import Planned
from connectors.simulators import IdentityNoise, Noise, Simulation
from stream_app.domain.event import ChannelEvent
from stream_app.runs.feed import Feed, Speed, encoded
from tests.chaos.oracle import digest
from tests.chaos.worker import POISON

if TYPE_CHECKING:
    from collections.abc import Iterator

DAY_MS = 86_400_000
LEAD_MS = 300
WINDOW = 25
"""Records that wait for each other while records are out of order."""
_LARGE = 2_000_000


class Intake:
    """Feeds one run from a thread of its own.

    Args:
        seed: of the shoppers and of what goes wrong.
        seconds: how long it takes.
        per_second: shoppers for each second; a shopper is about 14 records.
        channels: those of the deployment.
    """

    def __init__(
        self, seed: int, seconds: float, per_second: float, channels: frozenset[str] | set[str]
    ) -> None:
        self.seconds = seconds
        self.bad: dict[bytes, str] = {}
        """Digest -> reason, of each record that must be refused whatever came before."""
        self.copies = self.moved = self.poisoned = 0
        self.last_time = 0
        """Of the event that happens last (ms)."""
        self.error: BaseException | None = None
        # For a long run, without the shops' tablets: hundreds of shoppers in one component are too many for an oracle
        # that works by brute force.
        kiosks = 0.05 if seconds <= 150 else 0.0
        identity = msgspec.structs.replace(IdentityNoise(), kiosks=kiosks)
        noise = Noise(too_large_bytes=_LARGE)
        self._simulation = Simulation(
            seed, shoppers=max(20, int(per_second * seconds)), days=1, identity_noise=identity, noise=noise
        )
        self._channels = channels
        self._random = random.Random(seed)
        self._factor = DAY_MS / (seconds * 1000)
        self._thread: threading.Thread | None = None
        self._doing: set[str] = set()
        self._stop = threading.Event()

    def begin(self, what: str) -> None:
        """Have something go wrong with what is fed from now on: copies, disorder, poison."""
        self._doing.add(what)

    def end(self, what: str) -> None:
        """Have it go wrong no more."""
        self._doing.discard(what)

    def start(self, feed: Feed) -> None:
        """Begin to feed."""
        self._thread = threading.Thread(target=self._feed, args=(feed,), name="intake", daemon=True)
        self._thread.start()

    @property
    def feeds(self) -> bool:
        """Whether there is something left to feed."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """Feed no more."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end, and raise what went wrong with the feeding itself."""
        if self._thread is not None:
            self._thread.join()
        if self.error is not None:
            raise self.error

    def _feed(self, feed: Feed) -> None:
        try:
            feed.play(self._records(), Speed(1.0), markers=False)
        except BaseException as error:  # noqa: BLE001 - raised in `join`
            self.error = error

    def _records(self) -> Iterator[Planned]:
        held: list[Planned] = []
        for record in self._retimed():
            if self._stop.is_set():
                break
            if "poison" in self._doing and self._random.random() < 0.03:
                yield self._poison(record)
            if "disorder" in self._doing:
                held.append(record)
                if len(held) < WINDOW:
                    continue
                self._random.shuffle(held)
                self.moved += len(held)
            else:
                held.append(record)
            for one in held:
                yield one
                if "copies" in self._doing and self._random.random() < 0.5:
                    self.copies += 1
                    yield one
            held = []
        yield from held

    def _retimed(self) -> Iterator[Planned]:
        """Yield the shoppers' records; their day begins now."""
        origin, base = self._simulation.start, time.time_ns() // 1_000_000 + LEAD_MS
        for record in self._simulation.records():
            if record.channel not in self._channels:
                continue
            if record.at - origin > DAY_MS:
                break  # what a day leaves behind comes at night
            record.at = base + round((record.at - origin) / self._factor)
            note = record.note or ""
            if record.event is not None and not note.startswith("malformed"):
                if note != "wrong_clock":
                    record.event = msgspec.structs.replace(
                        record.event,
                        time=base + round((record.event.time - origin) / self._factor),
                        sent_at=None,
                    )
                    self.last_time = max(self.last_time, record.event.time)
                else:
                    self._refuse(record, "time_out_of_range")
            elif note.startswith("malformed:"):
                self._refuse(record, note.partition(":")[2])
            yield record

    def _poison(self, record: Planned) -> Planned:
        self.poisoned += 1
        event = ChannelEvent(
            f"poison-{self.poisoned}", record.at, record.channel, POISON, {"cookie": "poison"}, {}
        )
        planned = Planned(channel=record.channel, at=record.at, event=event, key=record.key)
        self._refuse(planned, "poison")
        return planned

    def _refuse(self, record: Planned, reason: str) -> None:
        value, headers = encoded(record)
        self.bad[digest(value, headers)] = reason
