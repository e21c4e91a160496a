"""What a late event costs by how much of a long timeline lies behind it, beside one that is in order.

One customer, who lives the days of a simulated shopper until her timeline has so many rows; the customer stage with
all rules that ship, live. A late event comes alone, so many rows before the end; epochs follow until she is settled.
In between she goes on with events in order: one that is alone in its epoch, as the late one is, and some together.
"""

from __future__ import annotations

import gc
import tempfile
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Raw
from rich.table import Table

from connectors.simulators import QUIET, Simulation
from stream_app.agents.publish import channel_event
from stream_app.app import load_policy
from stream_app.domain.event import ChannelEvent, Event
from stream_app.domain.labels import Labels
from stream_app.domain.messages import EventTo, encode
from stream_app.settings import Settings
from stream_app.wire import encode_payload
from tests.benchmarks import figures
from tests.benchmarks.customer_stage import CustomerStage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WHO = "user_id:late"
LATE = ChannelEvent("", 0, "web", "Product Viewed", {}, {"sku": "A-1", "price": 40.0, "currency": "EUR"})
BEGINNING = "all"
ALONE, TOGETHER = 5, 37
"""Events in order between two rounds: so many each in its own epoch, so many in one. Rounds begin at different
distances from a checkpoint thereby."""
BUILT_AT_ONCE = 200
DAYS = 3_650
_MILLI, _MICRO = 1e3, 1e6


class Settled(NamedTuple):
    """What it took until the customer was settled: rows folded again, epochs, ms in all, and in the longest."""

    rows: int
    epochs: int
    all_ms: float
    longest_ms: float


def lived() -> Iterator[ChannelEvent]:
    """Yield what one shopper does, day by day, in order of event time and no two at once."""
    time = 0
    for record in Simulation(1, shoppers=1, days=DAYS, noise=QUIET).records():
        event = record.event
        if event is not None and record.note is None and event.time > time:
            time = event.time
            yield event


class Life:
    """A customer with a long timeline."""

    def __init__(self, folder: Path, rows: int) -> None:
        """Have her live until she has so many rows."""
        settings = Settings(bootstrap_servers="none:9", partitions=1)
        key = settings.customer_key.get_secret_value().encode()
        self._label = Labels(load_policy(settings), key).of(WHO)
        self._events = lived()
        self._number = 0
        self.times: list[int] = []
        self.stage = CustomerStage(folder)
        self._folded = 0
        self._count_steps()
        while len(self.times) < rows:
            self.go_on(min(BUILT_AT_ONCE, rows - len(self.times)))

    def _count_steps(self) -> None:
        rules: Any = self.stage.task.handler.rules
        step = rules.step

        def counted(*arguments: Any) -> None:
            self._folded += 1
            step(*arguments)

        rules.step = counted

    def go_on(self, count: int) -> float:
        """Take her next events in one epoch; return what it took, in ms."""
        coming = list(islice(self._events, count))
        messages = [self._message(event, event.time) for event in coming]
        self.times += [event.time for event in coming]
        return self.stage.epoch(messages, self.times[-1]).all * _MILLI

    def late(self, behind: int) -> Settled:
        """Take an event that has so many rows behind it, until she is settled."""
        place = len(self.times) - behind
        time = self.times[place] - 1
        self.times.insert(place, time)
        self._folded = 0
        messages = [self._message(LATE, time)]
        spent = [self.stage.epoch(messages).all]
        while not self.stage.idle:
            spent.append(self.stage.epoch().all)
        return Settled(self._folded, len(spent), sum(spent) * _MILLI, max(spent) * _MILLI)

    def _message(self, told: ChannelEvent, time: int) -> Any:
        """Return the message that brings an event of hers."""
        self._number += 1
        name, source = f"e{self._number:07}", f"channel.{told.channel}/0/{self._number}"
        event = Event(
            name, time, told.channel, told.type, (WHO,), told.properties, time, source, told.context
        )
        value = encode(EventTo(self._label, Raw(encode(event)), encode_payload(channel_event(event)), time))
        return SimpleNamespace(value=value, key=b"", headers=(), offset=self._number)


def measure(rows: int, behind: Sequence[int], runs: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Return what late events cost with so many rows behind them, and at the beginning of the timeline."""
    late: dict[str, list[Settled]] = {f"{one:,}": [] for one in sorted(behind) if one < rows}
    late[BEGINNING] = []
    alone, together = [], []
    with tempfile.TemporaryDirectory() as folder:
        life = Life(Path(folder) / "rows", rows)
        say(f"folding: {rows:,} rows")
        gc.collect()
        gc.freeze()
        for _ in range(runs):
            alone += [life.go_on(1) * _MICRO / _MILLI for _ in range(ALONE)]
            together.append(life.go_on(TOGETHER) / TOGETHER * _MICRO / _MILLI)
            for name, found in late.items():
                count = len(life.times) if name == BEGINNING else int(name.replace(",", ""))
                found.append(life.late(count))
                say(f"folding: {name} rows behind, {found[-1].rows:,} folded, {found[-1].all_ms:.1f} ms")
        gc.unfreeze()
        life.stage.close()
    return {
        "rows": rows,
        "runs": runs,
        "in_order_alone_us": figures.of(alone),
        "in_order_together_us": figures.of(together),
        "together": TOGETHER,
        "late_by_rows_behind": {
            name: {field: figures.of([getattr(one, field) for one in found]) for field in Settled._fields}
            for name, found in late.items()
        },
    }


def table(found: dict[str, Any]) -> Table:
    """Return what a person wants to see."""
    title = f"a late event into a timeline of {found['rows']:,} rows, all shipped rules, {found['runs']} runs"
    shown = Table(title=title, title_justify="left")
    for name in ("rows behind it", "rows folded", "epochs", "ms in all", "longest epoch, ms"):
        shown.add_column(name, justify="right")
    for name, row in found["late_by_rows_behind"].items():
        shown.add_row(name, *(figures.shown(row[field]) for field in Settled._fields))
    shown.caption = (
        f"in order: {figures.shown(found['in_order_alone_us'])} us alone in an epoch, "
        f"{figures.shown(found['in_order_together_us'])} us with {found['together']} of them in one"
    )
    return shown
