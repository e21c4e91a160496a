"""CPU time per event of the numbers' fold, without stores: `python -m tests.benchmarks.numbers_micro`.

Two numbers may follow: how many shoppers, how many days. Simulated shoppers, told apart by the truth, each folded in
order beside the profile; and the fold alone of events that add nothing (one more page of a visit). Printed besides: how
much is told, and what is kept. Process time.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from statistics import median

import msgspec

from connectors.simulators import Noise, Simulation
from stream_app.domain.event import Event
from stream_app.domain.numbers import Numbers, changed, pack, step
from stream_app.domain.profile import Profile, apply
from stream_app.domain.profile.orders import ORDER_EVENTS

PAGES = 200_000
encode = msgspec.msgpack.Encoder().encode


def lives(shoppers: int, days: int) -> list[list[Event]]:
    """Return each shopper's events, in order."""
    simulation = Simulation(1, shoppers=shoppers, days=days, noise=Noise(too_large=0))
    found: dict[str, dict[str, Event]] = defaultdict(dict)
    records = list(simulation.records())
    names = simulation.truth.shopper_of
    for record in records:
        said = record.event
        if said is not None and said.event_id in names:
            event = Event(
                said.event_id, said.time, said.channel, said.type, ("cookie:1",), said.properties, 0, "t/0/0"
            )
            found[names[event.event_id]][event.event_id] = event
    return [sorted(events.values(), key=lambda event: event.order) for events in found.values()]


def one_more_page() -> float:
    """Return what an event that adds nothing costs, us."""
    state, profile = Numbers(), Profile()
    events = [
        Event(f"e{n}", n * 1000, "web", "Product Viewed", ("cookie:1",), {"sku": "a"}, 0, "t/0/0")
        for n in range(PAGES)
    ]
    step(state, events[0], profile)
    began = time.process_time()
    for event in events[1:]:
        step(state, event, profile)
    return (time.process_time() - began) / (PAGES - 1) * 1e6


def main() -> None:
    shoppers = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    days = int(sys.argv[2]) if len(sys.argv) > 2 else 9
    everybody = lives(shoppers, days)
    spent: Counter[str] = Counter()
    count: Counter[str] = Counter()
    cells, told, rows = 0, 0, 0
    kept: dict[str, list[int]] = defaultdict(list)
    written: Counter[str] = Counter()
    for events in everybody:
        state, profile = Numbers(), Profile()
        for event in events:
            apply(profile, event)
            began = time.process_time()
            increments = step(state, event, profile)
            took = time.process_time() - began
            kind = event.type if event.type in ORDER_EVENTS else "other" if increments else "nothing"
            spent[kind] += took
            count[kind] += 1
            journey, bookings = changed(event, increments)
            written["journey"] += journey
            written["bookings"] += bookings
            if increments:
                rows += 1
                cells += len(increments)
                told += len(pack(increments))
        for part, value in (
            ("ongoing", state.ongoing),
            ("journey", state.journey),
            ("bookings", state.bookings),
        ):
            kept[part].append(len(encode(value)))
    n = sum(count.values())
    clock = median(_empty() for _ in range(5))
    print(f"{n} events of {len(everybody)} shoppers in {days} days")
    for kind in sorted(count):
        each = spent[kind] / count[kind] * 1e6 - clock
        print(f"{kind:18} {count[kind] / n:7.2%} of events, {each:8.2f} us each")
    print(f"{'all':18} {sum(spent.values()) / n * 1e6 - clock:18.2f} us per event")
    print(f"{'one more page':18} {one_more_page():18.2f} us")
    print(
        f"told: {rows / n:.3f} rows, {cells / n:.2f} cells, {told / n:.1f} bytes per event; "
        f"{told / rows:.0f} bytes a row"
    )
    written["ongoing"] = n
    for part, sizes in kept.items():
        most, often = max(sizes), written[part] / n
        print(f"kept: {part:8} {median(sizes):5.0f} bytes (median), {most} at most; by {often:.2%} of events")


def _empty(times: int = 20_000) -> float:
    """Return what looking at the clock itself costs, us."""
    spent = 0.0
    for _ in range(times):
        began = time.process_time()
        spent += time.process_time() - began
    return spent / times * 1e6


if __name__ == "__main__":
    main()
