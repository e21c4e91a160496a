"""`raccord worker` as the chaos suite runs it: the same program, with what only a test needs.

- Events of the type `POISON` make the first stage raise, as a bug in it would.
- `CHAOS_CLOCK` names a file with a number of seconds by which this process' wall clock is wrong; it may change at any
  time. It is Python's `time.time` that is wrong, which is what the engine, aiokafka and kafka-python ask.
- `CHAOS_MEMTABLE` (bytes) makes RocksDB write to disk often, as under a larger load.
- `RACCORD_PLANT` and `RACCORD_CRASH` break it on purpose: see `engine_sabotage` and `domain_sabotage`.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_app.agents.ingest import Ingest
from stream_app.engine.store import Rows
from tests import domain_sabotage, engine_sabotage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

POISON = "Chaos Poison"
SECONDS = struct.Struct("<d")


def main() -> None:
    """Prepare this process as its environment says, and be a worker."""
    environment = os.environ
    domain_sabotage.apply(environment)
    if any(name in environment for name in ("RACCORD_CRASH", "RACCORD_FREEZE", "RACCORD_PLANT")):
        engine_sabotage.apply(environment)
    if "CHAOS_CLOCK" in environment:
        time.time = wrong_clock(Path(environment["CHAOS_CLOCK"]))
    if "CHAOS_MEMTABLE" in environment:
        cache, _ = Rows.__init__.__defaults__
        Rows.__init__.__defaults__ = (cache, int(environment["CHAOS_MEMTABLE"]))
    Ingest.process = poisonable(Ingest.process)
    from stream_app.__main__ import main as raccord  # noqa: PLC0415 - after what it imports was broken

    raccord()


def wrong_clock(file: Path) -> Callable[[], float]:
    """Return a clock that is wrong by what the file says now."""
    right = time.time
    with file.open("rb") as handle:
        seconds = mmap.mmap(handle.fileno(), SECONDS.size, access=mmap.ACCESS_READ)
    return lambda: right() + SECONDS.unpack_from(seconds)[0]


def set_clock(file: Path, seconds: float) -> None:
    """Have the clocks that go by this file be wrong by so much."""
    if not file.exists():
        file.write_bytes(SECONDS.pack(seconds))
        return
    with file.open("r+b") as handle, mmap.mmap(handle.fileno(), SECONDS.size) as told:
        SECONDS.pack_into(told, 0, seconds)


def poisonable(process: Callable[..., None]) -> Callable[..., None]:
    """Return a stage's `process` that fails on poison."""
    text = POISON.encode()

    def poisoned(self: Ingest, records: Sequence[Any]) -> None:
        for record in records:
            if record.value is not None and text in record.value:
                msg = "planted"
                raise ValueError(msg)
        process(self, records)

    return poisoned


if __name__ == "__main__":
    main()
