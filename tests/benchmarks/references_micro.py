"""CPU time of a word about an item, by how many there were before: `python -m tests.benchmarks.references_micro`.

Over RocksDB, as in the customer stage, an epoch for 200 words about as many items: noted, and what it changes looked
up, as each partition does it with each word. Process time, the median epoch's; the end of the epoch apart.

    versions    before      now   (us per word, 2 virtual cores, a load beside it; before: all rows were read, twice)
           1      30.3      6.9
          64     165.0      7.1
         512   1,141.5     34.8   (the oldest two become one)
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from stream_app.domain.reference import Said
from tests.benchmarks.customer_stage import CustomerStage

ITEMS = 200
EPOCHS = 15


def measure(folder: Path, versions: int) -> tuple[float, float]:
    """Return us per word, and us per word of the epoch's end, at items with so many versions."""
    stage = CustomerStage(folder)
    references, store = stage.task.handler._references, stage.task.store
    spent, ended = [], []
    for epoch in range(versions + EPOCHS):
        words = [
            Said("product", f"sku-{item}", 1_000 * epoch, {"price": 10.0 + epoch % 7, "stock": epoch})
            for item in range(ITEMS)
        ]
        marks = [time.process_time()]
        for word in words:
            references.take(word)
            references.changes(word.kind, word.item, word.time)
        marks.append(time.process_time())
        store.commit(store.changes(), 1)
        marks.append(time.process_time())
        if epoch >= versions:
            spent.append(marks[1] - marks[0])
            ended.append(marks[2] - marks[1])
    stage.close()
    return median(spent) / ITEMS * 1e6, median(ended) / ITEMS * 1e6


def main() -> None:
    for versions in [int(one) for one in sys.argv[1:]] or [1, 64, 512]:
        with tempfile.TemporaryDirectory() as folder:
            word, end = measure(Path(folder) / "rows", versions)
        print(f"{versions:4} versions: {word:8.1f} us per word, {end:6.1f} us at the end of its epoch")


if __name__ == "__main__":
    main()
