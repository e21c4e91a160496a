"""What changes of reference data cost where there are many customers: `make bench-references`.

Results go to `tests/benchmarks/results/references.json`. No Kafka needed; the customer stage of one partition over
RocksDB, with the rules that ship.

Customers, each with ten products on her wish list, an e-mail address and a yes to advertising, are copies of one who
was folded by the stage itself: her rows with other names, other ids and other products of the same length, as far as a
change reads them (not the timeline: no change comes late here). A million of them in one partition are far more than a
partition ought to have, and are the dearest case: a small partition fits its caches.

- changes: prices fall, one after the other, for products drawn from a seed. How many customers each ought to concern is
  known from how they were made; it must be taken to so many, and each customer whom one or more concern must get one
  message (the rule's `at_most`), or the exit code is 1.
- waiting: one fall concerns many customers, while others' events go on coming. Counted in epochs, not in time: how many
  events of others each epoch took in, with the fall and without it, which must be the same; and in how many epochs all
  were told. What others are told waits that long, for the clock does; their events do not.
- stock: all products in all shops, said once, then a tenth of the shelves of each product turned, one word a shop,
  within two days: what one partition keeps of that on disk, flushed, and what of it is encoded rows.

Process time, without what a producer and the broker would take.
"""

from __future__ import annotations

import gc
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from rich.table import Table

from stream_app.domain.messages import ReferenceRows, encode
from stream_app.domain.reference import Said
from stream_app.domain.spreading import MOST
from tests.benchmarks import command, figures
from tests.benchmarks.customer_stage import CustomerStage
from tests.benchmarks.rule_counts import _Road
from tests.machine import machine
from tests.pipeline_job import HOUR, START, happened

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

RESULTS = command.RESULTS / "references.json"
SEED = 23
WISHES = 10
HOT = "sku999999"
"""What many wish for; of the length of all others."""
NOON = START - START % (24 * HOUR) + 36 * HOUR
"""Outside quiet hours: the day after their wishes."""
PLACEHOLDER = b"77777777"
"""Stands for a customer's number in names and ids of the one who is copied."""
TABLES = b"cmosu"
"""Prefixes of the tables whose rows are copied: components, members, concerned, sightings, customers."""
BATCH = 5_000
IN_A_MESSAGE = 200
IN_AN_EPOCH = 10
"""Prices that fall in an epoch: so few that all whom they concern are told in it."""
EXIT_WRONG = 1


def sku_of(customer: int, wish: int, products: int) -> str:
    """Return what a customer wishes for: different products, each wished for by about as many."""
    return f"sku{(customer * WISHES + wish) * 7_919 % products:06}"


def model(folder: Path) -> list[tuple[bytes, bytes]]:
    """Return the rows of the one customer who is copied."""
    stage = CustomerStage(folder)
    road = _Road(stage)
    number = PLACEHOLDER.decode()
    who = {"email": f"c{number}@example.org"}
    consent = happened(f"y{number}", 0, "Consent Changed", who, consent=True, purpose="marketing")
    wishes = [
        happened(f"{wish}{number}", 1, "Product Added to Wishlist", who, sku=f"sku-{wish:05}", price=10.0)
        for wish in range(WISHES)
    ]
    road.step([consent, *wishes])
    while not road.idle:
        road.step([])
    rows = [(key, row) for key, row in stage.task.store.rows.scan(b"", None) if key[:1] in TABLES]
    stage.close()
    return [(key, row) for key, row in rows if key[0] in TABLES]


def copies(
    rows: list[tuple[bytes, bytes]], customers: int, products: int, hot: int
) -> Iterator[tuple[bytes, bytes]]:
    """Yield the rows of so many customers; of the first ones, `hot` wish for the same product."""
    label = next(key[3:] for key, _ in rows if key[:1] == b"c")
    customer_id = next(row for key, row in rows if key[:1] == b"u").partition(b"\xd9 ")[2][:32]
    for number in range(customers):
        text = b"%08d" % number
        changed = [(PLACEHOLDER, text), (label, label[:-8] + text), (customer_id, customer_id[:-8] + text)]
        for wish in range(WISHES):
            sku = HOT if wish == 0 and number < hot else sku_of(number, wish, products)
            changed.append((f"sku-{wish:05}".encode(), sku.encode()))
        whole = b"\xc1\xc1".join(part for row in rows for part in row)  # a byte that MessagePack never has
        for old, new in changed:
            whole = whole.replace(old, new)
        parts = whole.split(b"\xc1\xc1")
        yield from zip(parts[::2], parts[1::2], strict=True)


class Shop:
    """A stage with many customers."""

    def __init__(self, folder: Path, rows: list[tuple[bytes, bytes]], options: argparse.Namespace) -> None:
        stage = CustomerStage(folder)
        batch: list[tuple[bytes, bytes | None]] = []
        for row in copies(rows, options.customers, options.products, options.hot):
            batch.append(row)
            if len(batch) >= BATCH:
                stage.task.store.rows.write(batch, 0)
                batch = []
        stage.task.store.rows.write(batch, 0)
        stage.close()
        self.stage = CustomerStage(folder)
        self.messaged = set[int]()
        """Who of those with the same wish had a message already."""
        self.taken = 0
        """To how many customers changes were taken."""
        spreading = self.stage.task.handler.components._spreading
        tell = spreading._tell

        def counted(*args: Any) -> None:
            self.taken += 1
            tell(*args)

        spreading._tell = counted

    def say(self, time_ms: int, prices: dict[str, float]) -> list[Any]:
        """Return the messages that say prices."""
        said = [
            Said("product", sku, time_ms + at, {"price": price})
            for at, (sku, price) in enumerate(prices.items())
        ]
        return [
            SimpleNamespace(
                value=encode(ReferenceRows(tuple(said[at : at + IN_A_MESSAGE]), time_ms)),
                key=None,
                headers=(),
                offset=0,
            )
            for at in range(0, len(said), IN_A_MESSAGE)
        ]

    @property
    def fired(self) -> int:
        """How many were sent."""
        return self.stage.sent()["triggers"]


def changes(shop: Shop, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Let prices fall, and measure."""
    draw = random.Random(SEED)
    fallen = draw.sample(range(options.products), options.changes)
    wanted, customers = {f"sku{one:06}": 0 for one in fallen}, set[int]()
    for customer in range(options.customers):
        for wish in range(1 if customer < options.hot else 0, WISHES):
            sku = sku_of(customer, wish, options.products)
            if sku in wanted:
                wanted[sku] += 1
                customers.add(customer)
    began = time.process_time()
    for at in range(0, options.products, BATCH):
        prices = {f"sku{one:06}": 10.0 for one in range(at, min(at + BATCH, options.products))}
        shop.stage.epoch(shop.say(START - HOUR, prices), START - HOUR)
    first = time.process_time() - began
    say(f"changes: {options.products:,} first prices, {first / options.products * 1e6:.1f} us each")
    before, fired = shop.taken, shop.fired
    spent, epochs, longest = 0.0, 0, 0.0
    names = list(wanted)
    for at in range(0, len(names), IN_AN_EPOCH):
        now = NOON + 1_000 * at
        messages = shop.say(now, dict.fromkeys(names[at : at + IN_AN_EPOCH], 8.0))
        while messages or not shop.stage.idle:
            took = shop.stage.epoch(messages, now if messages else None).all
            spent, longest, epochs, messages = spent + took, max(longest, took), epochs + 1, []
        spent += shop.stage.epoch((), now + IN_AN_EPOCH).all
    told = shop.taken - before
    say(f"changes: taken to {told:,} of {sum(wanted.values()):,}")
    shop.messaged = {one for one in customers if one < options.hot}
    return {
        "customers": options.customers,
        "wishes_each": WISHES,
        "products": options.products,
        "changes": len(names),
        "concerned": sum(wanted.values()),
        "taken_to": told,
        "customers_concerned": len(customers),
        "concerned_by_a_change": figures.of([float(one) for one in wanted.values()]),
        "sent": shop.fired - fired,
        "us_per_first_price": round(first / options.products * 1e6, 1),
        "changes_per_second": round(len(names) / spent, 1),
        "us_per_change": round(spent / len(names) * 1e6, 1),
        "us_per_concerned_customer": round(spent / max(1, told) * 1e6, 1),
        "epochs": epochs,
        "longest_epoch_ms": round(longest * 1e3, 1),
    }


def others(shoppers: int, epochs: int, each: int) -> list[list[Any]]:
    """Return the messages of simulated others' events, epoch by epoch."""
    with tempfile.TemporaryDirectory() as folder:
        stage = CustomerStage(Path(folder) / "rows")
        road = _Road(stage)
        found = []
        for epoch in range(epochs):
            records = [
                happened(
                    f"o{epoch:04}{one:04}",
                    36 * 60 + epoch / 1000,
                    "Product Viewed",
                    {"cookie": f"other{(epoch * each + one) % shoppers}"},
                    sku="sku000000",
                )
                for one in range(each)
            ]
            found.append(road.step(records).messages)
        stage.close()
    return found


def waiting(shop: Shop, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Let one price fall for many, while others' events come."""
    stage = shop.stage
    now = NOON + HOUR
    stage.epoch(shop.say(START - HOUR, {HOT: 10.0}), None)
    streams = {
        "without": others(options.others, options.epochs, options.others),
        "with": others(options.others, options.epochs, options.others),
    }
    taken: dict[str, list[int]] = {}
    spread, longest, quiet = 0, 0.0, []
    with tempfile.TemporaryDirectory() as folder:
        alone = CustomerStage(Path(folder) / "rows")
        taken["without"] = [_timeline(alone, messages)[0] for messages in streams["without"]]
        alone.close()
    before, fired = shop.taken, shop.fired
    taken["with"] = []
    fall = shop.say(now, {HOT: 8.0})
    for epoch, messages in enumerate(streams["with"]):
        busy = epoch == 0 or not stage.idle
        count, took = _timeline(stage, [*fall, *messages])
        fall = []
        taken["with"].append(count)
        spread += busy
        longest = max(longest, took)
        if not busy:
            quiet.append(took)
    stage.epoch((), now + 1)
    say(f"waiting: taken to {shop.taken - before:,}, in {spread} epochs")
    return {
        "concerned": options.hot,
        "taken_to": shop.taken - before,
        "without_a_message_in_three_days": options.hot - len(shop.messaged),
        "sent": shop.fired - fired,
        "customers_per_epoch": MOST,
        "epochs_until_all_were_told": spread,
        "others_events_per_epoch": options.others,
        "epochs": options.epochs,
        "others_events_in_the_epoch_they_came_in": sum(map(min, taken["with"], taken["without"])),
        "others_events": sum(taken["without"]),
        "epochs_that_others_events_waited": 0 if taken["with"] == taken["without"] else None,
        "longest_epoch_ms": round(longest * 1e3, 1),
        "other_epochs_ms": round(median(quiet) * 1e3, 1) if quiet else None,
    }


def _timeline(stage: CustomerStage, messages: list[Any]) -> tuple[int, float]:
    """Run an epoch; return how many events came on a timeline in it, and how long it took."""
    before = stage.wire.sent[stage.topics.timeline]
    took = stage.epoch(messages).all
    return stage.wire.sent[stage.topics.timeline] - before, took


def stock(folder: Path, options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Say what each shop has of each product, and measure what is kept."""
    stage = CustomerStage(folder)
    draw, store, references = random.Random(SEED), stage.task.store, stage.task.handler._references
    shops = [f"shop{one:04}" for one in range(options.shops)]
    sizes, spent = [0, 0], [0.0, 0.0]
    for turn in range(2):
        for at in range(0, options.products, BATCH):
            began = time.process_time()
            for one in range(at, min(at + BATCH, options.products)):
                if turn == 0:
                    words = [(START, {shop: draw.randrange(4) for shop in shops})]
                else:
                    turned = draw.sample(shops, len(shops) // 10)
                    words = [(START + 3_600_000 + 5_000_000 * n, {s: n % 2}) for n, s in enumerate(turned)]
                for said, quantities in words:
                    references.take(Said("stock", f"sku{one:06}", said, {"stores": quantities}))
            spent[turn] += time.process_time() - began
            changed = store.changes()
            sizes[turn] += sum(len(key) + len(row or b"") for key, row in changed)
            store.commit(changed, 1)
        say(f"stock: {sizes[turn] / 2**20:.0f} MiB of rows")
    stage.close()
    disk = sum(file.stat().st_size for file in folder.rglob("*.sst"))
    return {
        "products": options.products,
        "shops": options.shops,
        "bytes_of_a_product_said_once": round(sizes[0] / options.products),
        "bytes_of_a_product_with_a_tenth_turned": round(sizes[1] / options.products),
        "rows_mib_said_once": round(sizes[0] / 2**20, 1),
        "rows_mib_with_a_tenth_turned": round(sizes[1] / 2**20, 1),
        "disk_mib": round(disk / 2**20, 1),
        "us_per_product_said_once": round(spent[0] / options.products * 1e6, 1),
        "us_per_further_word": round(spent[1] / options.products / max(1, len(shops) // 10) * 1e6, 1),
        "rss_mib": figures.resident_mib(),
    }


def wrong(found: dict[str, Any]) -> list[str]:
    """Return what did not come out as it ought to."""
    if "changes" not in found:
        return []
    faults = [
        f"{part}: {figure} is not {other}"
        for part, figure, other in (
            ("changes", "taken_to", "concerned"),
            ("changes", "sent", "customers_concerned"),
            ("waiting", "taken_to", "concerned"),
            ("waiting", "sent", "without_a_message_in_three_days"),
        )
        if found[part][figure] != found[part][other]
    ]
    if found["waiting"]["epochs_that_others_events_waited"] != 0:
        faults.append("waiting: others' events were not taken in in the epoch in which they came")
    return faults


def table(part: str, found: dict[str, Any]) -> Table:
    """Return a part's figures as a person wants to see them."""
    shown = Table("", "", title=f"Reference data: {part}", title_justify="left", show_header=False)
    for name, figure in found.items():
        text = figures.shown(figure) if isinstance(figure, dict) else f"{figure:,}" if figure else f"{figure}"
        shown.add_row(name.replace("_", " "), text)
    return shown


def with_customers(options: argparse.Namespace, say: Callable[[str], None]) -> dict[str, Any]:
    """Return the figures of changes that concern customers."""
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        rows = model(Path(folder) / "model")
        began = time.process_time()
        shop = Shop(Path(folder) / "rows", rows, options)
        say(f"{options.customers:,} customers, {time.process_time() - began:.0f} s")
        size = shop.stage.task.store.rows.size
        found["changes"] = changes(shop, options, say)
        found["changes"]["store_mib_before"] = round(size / 2**20, 1)
        found["changes"]["rss_mib"] = figures.resident_mib()
        found["waiting"] = waiting(shop, options, say)
        shop.stage.close()
    return found


def main() -> int:
    """Measure, print, and write the results."""
    parser = command.parser(__doc__)
    parser.add_argument("--customers", type=int, default=1_000_000)
    parser.add_argument("--products", type=int, default=200_000)
    parser.add_argument("--changes", type=int, default=500)
    parser.add_argument("--hot", type=int, default=10_000, help="customers whom one change concerns")
    parser.add_argument("--others", type=int, default=100, help="events of others in each epoch")
    parser.add_argument("--epochs", type=int, default=60, help="of others' events: more than the fall takes")
    parser.add_argument("--shops", type=int, default=300)
    parser.add_argument("--only-stock", action="store_true", help="leave the others' figures as they are")
    options = parser.parse_args()
    console = command.console(120)
    gc.set_threshold(100_000, 50, 100)  # as a worker does
    on, found = {**machine("rocksdict"), "seed": SEED}, {}

    def say(line: str) -> None:
        console.print(line, style="dim")

    with tempfile.TemporaryDirectory() as folder:
        found["stock"] = stock(Path(folder) / "stock", options, say)
    if not options.only_stock:
        found |= with_customers(options, say)
    for part, each in found.items():
        console.print(table(part, each))
    faults = wrong(found)
    for fault in faults:
        console.print(fault, style="red")
    if not options.no_write:
        known = json.loads(RESULTS.read_text()) if options.only_stock and RESULTS.exists() else {}
        command.write(RESULTS, {"machine": on, **known, **found})
        console.print(f"written: {RESULTS}")
    return EXIT_WRONG if faults else 0


if __name__ == "__main__":
    sys.exit(main())
