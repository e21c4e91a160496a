"""The small job of `engine_worker`: forward by key, then count per key; each tenth gives an output, timers fire.

Every way of losing or doubling anything changes a count, and all counts are looked at.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from faust.types import TP

from stream_app.engine.codec import WATERMARK_HEADER, encode_marker
from stream_app.engine.stage import Stage
from stream_app.engine.watermark import TimeMode
from tests.engine_worker import COUNT, COUNTS, Count, Dead, Forward
from tests.simulation.job import Input, Job
from tests.simulation.rows import differing, visible
from tests.simulation.seams import START_S

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulation.job import Rows
    from tests.simulation.transactions import Broker

PARTITIONS = 2
ROLES = ("input", "middle", "output", "dead", "forward-changelog", "count-changelog")
KEYS = [b"a", b"b", b"c", b"d", b"e"]
LONG_AFTER = 10**6
LIVE_MS = int(START_S * 1000)
"""When a simulation begins by the broker's clock."""
_MOST = 60


def job(seed: int, mode: TimeMode = TimeMode.EVENTS) -> Job:
    """Return the job with events of its own for each seed; its clock is its inputs', or the broker's."""
    rnd = random.Random(seed)
    live = mode is TimeMode.WALL
    inputs, counts, fired, dead = _inputs(rnd, live=live)
    stages = (
        Stage(
            "forward",
            ("input",),
            "forward-changelog",
            lambda task: Forward(task, "middle"),
            watermarks_to="middle",
        ),
        Stage(
            "count", ("middle",), "count-changelog", lambda task: Count(task, "output"), (COUNTS,), ("input",)
        ),
    )

    def problems(broker: Broker, rows: Mapping[str, Rows]) -> list[str]:
        outputs = Counter(record.value for record in visible(broker, "output"))
        wanted = Counter(
            b"%s:%d" % (key, n) for key, total in counts.items() for n in range(10, total + 1, 10)
        )
        found = differing("outputs", outputs, wanted + fired)
        letters = Counter(record.value for record in visible(broker, "dead"))
        found += differing("dead letters", letters, dead)
        held: Counter[bytes] = Counter()
        for task, stored in rows.items():
            if task.startswith("middle/"):
                for key, raw in stored.items():
                    if key.startswith(COUNTS.prefix):
                        held[key[1:]] += COUNT.unpack(raw)[0]
        return found + differing("counts", held, counts) + (_early(broker) if live else [])

    stamped = ("middle", "input") if live else ("middle",)
    return Job(
        stages,
        dict.fromkeys(ROLES, PARTITIONS),
        Dead("dead"),
        inputs,
        problems,
        stamped=stamped,
        mode=mode,
        tolerance_ms=20 if live else 0,
    )


def live_job(seed: int) -> Job:
    """Return the job with the broker's clock."""
    return job(seed, TimeMode.WALL)


def _early(broker: Broker) -> list[str]:
    """Say which timers have fired before the broker's clock had passed them."""
    found = []
    for record in visible(broker, "output"):
        fired, *_, due = (record.value or b"").split(b":")
        if fired == b"fired" and record.timestamp <= int(due):
            found.append(f"{record.value!r} was sent at {record.timestamp}")
    return found


def _inputs(
    rnd: random.Random, *, live: bool
) -> tuple[list[Input], Counter[bytes], Counter[bytes], Counter[bytes]]:
    """Return records, the counts that they give, what timers send, and what ends in the dead letters."""
    inputs: list[Input] = []
    counts: Counter[bytes] = Counter()
    fired: Counter[bytes] = Counter()
    dead: Counter[bytes] = Counter()
    bad = rnd.choice((0.0, 0.0, 0.04))
    for number in range(rnd.randrange(10, _MOST)):
        key, time, what = rnd.choice(KEYS), 1_000 + number * 10, rnd.random()
        value = b"x"
        if what < bad:
            value = rnd.choice((b"poison", b"fail-forward"))
            dead[value] += 1
        else:
            counts[key] += 1
            if what > 0.8:
                due = (
                    time * 100 + number if rnd.random() < 0.2 else time + rnd.randrange(300) * 1_000 + number
                )
                if live:
                    due = LIVE_MS + rnd.randrange(80) * 100 + number
                value = b"timer:%d" % due
                fired[b"fired:%s:%d" % (key, due)] += 1
        inputs.append(Input(TP("input", rnd.randrange(PARTITIONS)), key, value, (), time))
    if live:
        return inputs, counts, fired, dead
    end = encode_marker(LONG_AFTER)
    marked = ((WATERMARK_HEADER, b"1"),)
    inputs += [
        Input(TP("input", partition), None, end, marked, LONG_AFTER) for partition in range(PARTITIONS)
    ]
    return inputs, counts, fired, dead
