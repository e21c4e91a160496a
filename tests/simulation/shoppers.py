"""Small worlds of shoppers for the road: events that make customers merge, timers fire, and messages be taken back.

A few persons with devices, some of which they share; baskets that are left, bought or emptied; sign-ins that show who
somebody was all along; operators who say who is whom; copies; events that come late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stream_app.domain.commands import Op
from stream_app.domain.event import ChannelEvent
from stream_app.wire import IdentityCommand

if TYPE_CHECKING:
    import random

START = 1_740_960_000_000
MINUTE = 60_000
CHANNELS = ("web", "store")


class Said(NamedTuple):
    """What comes in, at which minute, and where; `what` is an event or an operator's command."""

    minute: int
    channel: str
    what: ChannelEvent | IdentityCommand


def life(rnd: random.Random) -> list[Said]:
    """Return what comes in, in the order of arrival."""
    persons = [_names(number) for number in range(rnd.randrange(2, 5))]
    devices = [("cookie", f"c{number}") for number in range(rnd.randrange(1, 4))]
    said = [_event(rnd, number, persons, devices) for number in range(rnd.randrange(8, 22))]
    if rnd.random() < 0.4:
        said += [_command(rnd, number, persons) for number in range(rnd.randrange(1, 4))]
    copies = [one for one in said if isinstance(one.what, ChannelEvent) and rnd.random() < 0.05]
    said += [one._replace(minute=one.minute + rnd.randrange(60)) for one in copies]
    return sorted(said, key=lambda one: one.minute)


def _names(number: int) -> list[tuple[str, str]]:
    return [("user_id", f"u{number}"), ("loyalty", f"L-{number}"), ("email", f"p{number}@shop.example")]


def _event(
    rnd: random.Random, number: int, persons: list[list[tuple[str, str]]], devices: list[tuple[str, str]]
) -> Said:
    minute = rnd.randrange(600)
    person = rnd.choice(persons)
    kind = rnd.choice(
        ("Product Added", "Product Added", "Product Viewed", "Order Completed", "Signed In", "Cart Emptied")
    )
    channel = "store" if kind == "Order Completed" and rnd.random() < 0.5 else "web"
    some = rnd.sample(person, rnd.choice((0, 1, 1, 2)))
    if kind == "Signed In":
        some = rnd.sample(person, 2)
    if channel == "web":
        some.append(rnd.choice(devices))
    identifiers: dict[str, Any] = dict(some or [rnd.choice(person)])
    properties: dict[str, Any] = {"cart_id": f"k{rnd.randrange(3)}", "sku": rnd.choice("AB")}
    if kind == "Product Added":
        properties |= {"price": rnd.choice((10.0, 40.0)), "quantity": 1, "currency": "EUR"}
    if kind == "Order Completed":
        properties |= {"order_id": f"o{number}", "revenue": 40.0, "currency": "EUR"}
    event = ChannelEvent(f"e{number}", START + minute * MINUTE, channel, kind, identifiers, properties)
    late = rnd.choice((0, 0, 0, 5, 90))
    return Said(minute + late, channel, event)


def _command(rnd: random.Random, number: int, persons: list[list[tuple[str, str]]]) -> Said:
    minute = rnd.randrange(600)
    one, other = (rnd.choice(names) for names in rnd.sample(persons, 2))
    if rnd.random() < 0.4:
        one, other = rnd.sample(rnd.choice(persons), 2)
    op = rnd.choice((Op.ASSERT, Op.ASSERT, Op.DENY, Op.WITHDRAW))
    a, b = (f"{namespace}:{value}" for namespace, value in (one, other))
    command = IdentityCommand(f"said-{number}", op, a, b, START + minute * MINUTE, "zoe", "because")
    return Said(minute + rnd.choice((0, 10)), "", command)
