"""The simulation, through the real wire format and the shipped identity policy: they arrive at the truth."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import schemas
from connectors.simulators import Components, Noise, Simulation
from stream_app import wire
from stream_app.domain.normalise import Rejection, normalised
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.refusal import Reason, Refused

if TYPE_CHECKING:
    from connectors.simulators import Planned
    from stream_app.domain.event import ChannelEvent

NOISE = Noise(malformed=0.03, wrong_clocks=0.02, sloppy_spelling=0.5, too_large_bytes=2_000_000)


def encoded(record: Planned) -> tuple[bytes | None, list[tuple[str, bytes]]]:
    if record.event is None:
        return record.raw, record.headers
    if record.encoding == "cloudevents_structured":
        return wire.encode_cloudevent_structured(record.event)
    if record.encoding == "cloudevents_binary":
        return wire.encode_cloudevent_binary(record.event)
    return wire.encode_single_object(record.event), []


def usable(event: ChannelEvent, policy: IdentityPolicy) -> list[str]:
    texts = []
    for namespace, value in event.identifiers.items():
        for one in value if isinstance(value, list) else [value]:
            text = normalised(one, policy.namespaces[namespace], policy)
            if not isinstance(text, Rejection):
                texts.append(f"{namespace}:{text}")
    return texts


def test_the_decoder_and_the_policy_arrive_at_the_truth():
    policy = IdentityPolicy.from_yaml(schemas.read_text("policies/identity.yaml"))
    decoder = wire.Decoder()
    simulation = Simulation(1, shoppers=250, days=1, noise=NOISE)
    dead: Counter[str] = Counter()
    good: set[str] = set()
    components = Components()
    for record in simulation.records():
        value, headers = encoded(record)
        try:
            event = decoder.decode(value, headers, record.channel, record.at).event
            texts = usable(event, policy)
            if not texts:
                raise Refused(Reason.NO_IDENTIFIER, "")  # noqa: TRY301 - what the next stage does
        except Refused as refused:
            dead[refused.reason.value] += 1
            expected = "malformed:" + refused.reason.value
            assert record.note in {expected, "wrong_clock"}
            continue
        if record.note == "conflict":
            dead["conflict"] += 1
            continue
        good.add(event.event_id)
        components.join(texts)
    truth = simulation.truth
    assert dict(dead) == truth.dead_letters
    assert good == set(truth.shopper_of)
    assert components.sorted() == truth.components
