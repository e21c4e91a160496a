"""The events of the scale benchmark, and how what they cost is counted."""

from __future__ import annotations

import os
import threading
from collections import Counter
from pathlib import Path

from stream_app.runs.feed import encoded
from tests.benchmarks.scale import load, use
from tests.benchmarks.scale.bed import Page


def written(records) -> list[tuple[object, ...]]:
    return [(one.channel, one.at, one.key, *encoded(one)) for one in records]


def test_the_same_seed_gives_the_same_events_and_another_one_others():
    assert written(load.returning(1, 500, 300)) == written(load.returning(1, 500, 300))
    assert written(load.returning(1, 500, 300)) != written(load.returning(2, 500, 300))
    assert written(load.customers(50)) == written(load.customers(50))


def test_there_are_as_many_events_as_asked_for_in_order_each_with_an_id_of_its_own():
    first, second = load.returning(1, 500, 3_000), load.returning(1, 500, 3_000, load.START + 2 * load.DAY)
    for records, day in ((first, 1), (second, 2)):
        assert len(records) == 3_000
        times = [one.at for one in records]
        assert times == sorted(times)
        assert load.START + day * load.DAY <= times[0]
        assert times[-1] < load.START + (day + 1) * load.DAY
    ids = [one.event.event_id for one in (*load.customers(500), *first, *second) if one.event is not None]
    assert len(set(ids)) == len(ids) == 6_500


def test_those_who_come_back_are_customers_and_come_from_all_over():
    known = {
        one.event.identifiers["user_id"]: one.event.identifiers["cookie"] for one in load.customers(1_000)
    }
    seen, anonymous = Counter(), 0
    for one in load.returning(1, 1_000, 20_000):
        who = one.event.identifiers.get("user_id")
        if who in known:
            seen[who] += 1
        elif who is None:
            anonymous += one.event.identifiers["cookie"] not in known.values()
    assert len(seen) > 950
    assert max(seen.values()) < 100
    assert anonymous > 1_000


def test_the_mix_has_what_shoppers_do_and_logins_that_join_browsers_to_customers():
    types = Counter(one.event.type for one in load.returning(1, 1_000, 10_000))
    assert set(types) == {
        "Product Viewed", "Product Added", "Checkout Started", "Order Completed", "Signed In", "Signed Up",
    }  # fmt: skip
    assert types["Product Viewed"] > 7 * types["Order Completed"] > 0
    before, joined = set(), 0
    for one in load.returning(1, 1_000, 10_000):
        identifiers = one.event.identifiers
        if one.event.type == "Signed In":
            joined += identifiers["cookie"] in before and "user_id" in identifiers
        elif "user_id" not in identifiers:
            before.add(identifiers["cookie"])
    assert joined > 100


def test_reads_are_those_of_the_main_thread_alone():
    def read(times: int) -> None:
        with Path(__file__).open("rb") as file:
            for _ in range(times):
                os.pread(file.fileno(), 1, 0)

    here = [os.getpid()]
    cost = _reads(here, lambda: None)  # looking at /proc takes reads too
    assert _reads(here, lambda: read(500)) - cost >= 500
    has_read, may_end = threading.Event(), threading.Event()

    def elsewhere() -> None:
        read(5_000)
        has_read.set()
        may_end.wait()

    thread = threading.Thread(target=elsewhere)
    found = _reads(here, lambda: (thread.start(), has_read.wait()))
    may_end.set()
    thread.join()
    assert found < 5_000


def _reads(pids, does) -> int:
    before = use.of(pids)
    does()
    return (use.of(pids) - before).reads


def test_processor_time_is_that_of_all_threads_and_of_children():
    found = use.of(use.tree(os.getpid()))
    assert abs(sum(found.by_thread.values()) - found.cpu) < 1e-6
    assert found.by_thread["main"] > 0
    assert found.peak_memory > 10 << 20
    assert use.of([2**22 + 1]) == use.Use()


def test_a_metrics_page_is_summed_over_labels_and_says_what_was_added():
    before = Page.parse('a_total{stage="x"} 1\na_total{stage="y"} 2\n')
    after = Page.parse('a_total{stage="x"} 4\na_total{stage="y"} 2\na_total{stage="z"} 5\n')
    assert after.total("a_total") == 11
    assert (after - before).total("a_total") == 8
    assert after.total("nothing") == 0
