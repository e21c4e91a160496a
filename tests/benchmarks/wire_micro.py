"""Microseconds per event of reading and writing, ours beside the libraries'.

Run it from the project's folder: PYTHONPATH=. python tests/benchmarks/wire_micro.py
"""

from __future__ import annotations

import io
import json
import sys
import timeit
from typing import TYPE_CHECKING

import avro.io
import avro.schema
import fastavro

import schemas
from stream_app.domain.event import ChannelEvent, Context
from stream_app.domain.profile import Profile
from stream_app.domain.profile.carts import Cart, Line
from stream_app.domain.profile.consent import Answer
from stream_app.domain.profile.orders import Money, Order, Orders
from stream_app.domain.profile.seen import Device, Seen
from stream_app.domain.profile.values import Latest
from stream_app.domain.profile.viewed import Viewed
from stream_app.domain.profile.whereabouts import Whereabouts
from stream_app.wire import (
    Decoder,
    Encoder,
    encode_cloudevent_binary,
    encode_cloudevent_structured,
    encode_payload,
    encode_single_object,
    open_registry,
)
from stream_app.wire.known import current, without_logical_types

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_700_000_000_000
EVENT = ChannelEvent(
    "0b9c1f34-9c4a-4f5e-8a51-0c9f1b1d2e3f",
    NOW,
    "web",
    "Product Added",
    {"cookie": "c-918273645", "email": "someone@example.org"},
    {
        "product_id": "P-1005115",
        "sku": "SKU-1005115",
        "name": "Smartphone",
        "price": 123.45,
        "quantity": 1,
        "currency": "EUR",
        "cart_id": "cart-7781",
        "url": "https://shop.example/p/1005115",
    },
    NOW + 77,
    None,
    Context("fr-FR"),
)
PROFILE = Profile(
    events=12,
    first=(NOW, "e-1"),
    last=(NOW, "e-9"),
    seen={"web": Seen(NOW, NOW, 9), "app": Seen(NOW, NOW, 3)},
    devices={"cookie:c-918273645": Device(NOW, NOW, 9)},
    active=[NOW // 900_000 - n for n in range(8, 0, -1)],
    orders=Orders(
        1,
        money={"EUR": Money(1, 12_500_000)},
        recent=[Order("o-1", NOW, "web", placed=True, amount=12_500_000, currency="EUR")],
    ),
    carts={"cart-1": Cart((NOW, "e-3"), {"S-1": Line(1, 12.5, "EUR"), "S-2": Line(2, 3.5, "EUR")})},
    viewed=[Viewed(f"SKU-{n}", NOW, f"e-{n}") for n in range(6)],
    traits={"first_name": Latest("Ana", NOW, "e-1")},
    consent={"marketing/email": Answer(granted=True, time=NOW)},
    where=Whereabouts(Latest("fr-FR", NOW, "e-1"), Latest("Europe/Paris", NOW, "e-1")),
)


def cases() -> dict[str, Callable[[], object]]:
    """Name what is measured."""
    registry = open_registry("mock://bench")
    number = registry.register("s", schemas.avro("channel_event"))
    wider = json.loads(schemas.avro("channel_event"))
    wider["fields"].append({"name": "extra", "type": "boolean"})
    other = registry.register("s", json.dumps(wider))
    decoder, encoder = Decoder(registry), Encoder()
    payload, single = encode_payload(EVENT), encode_single_object(EVENT)
    structured, binary = encode_cloudevent_structured(EVENT), encode_cloudevent_binary(EVENT)
    parsed = current("channel_event").parsed
    official = avro.schema.parse(json.dumps(without_logical_types(json.loads(schemas.avro("channel_event")))))
    fields = fastavro.schemaless_reader(io.BytesIO(payload), parsed, None)
    identifiers = ["cookie:c-918273645", "email:someone@example.org"]
    known = b"\x00" + number.to_bytes(4, "big") + payload
    foreign = b"\x00" + other.to_bytes(4, "big") + payload + b"\x01"
    return {
        "decode: single object": lambda: decoder.decode(single, [], "web", NOW),
        "decode: Confluent, current schema": lambda: decoder.decode(known, [], "web", NOW),
        "decode: Confluent, another writer": lambda: decoder.decode(foreign, [], "web", NOW),
        "decode: CloudEvents structured": lambda: decoder.decode(*structured, "web", NOW),
        "decode: CloudEvents binary": lambda: decoder.decode(*binary, "web", NOW),
        "  fastavro alone, to a dict": lambda: fastavro.schemaless_reader(io.BytesIO(payload), parsed, None),
        "  avro alone, to a dict": lambda: avro.io.DatumReader(official).read(
            avro.io.BinaryDecoder(io.BytesIO(payload))
        ),
        "encode: payload": lambda: encode_payload(EVENT),
        "encode: CloudEvents structured": lambda: encode_cloudevent_structured(EVENT),
        "  fastavro alone, from a dict": lambda: fastavro.schemaless_writer(io.BytesIO(), parsed, fields),
        "encode: timeline record": lambda: encoder.timeline("c-0123456789abcdef", 0, None, "upsert", payload),
        "encode: profile": lambda: encoder.profile("c-0123456789abcdef", 12, identifiers, PROFILE),
    }


def main() -> None:
    """Print the best of five runs of each."""
    for name, run in cases().items():
        seconds, times = min(timeit.repeat(run, number=2000, repeat=5)), 2000
        sys.stdout.write(f"{name:40} {seconds / times * 1e6:8.2f} us\n")


if __name__ == "__main__":
    main()
