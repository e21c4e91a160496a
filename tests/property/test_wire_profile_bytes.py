"""A profile's own writer writes the bytes that the general one writes of the same fields."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain.event import Context, Event, Position
from stream_app.domain.profile import fold
from stream_app.domain.profile.folding import IN_TURN
from stream_app.wire import Encoder, Output, decode_output

ENCODER = Encoder()
DAY = 86_400_000
few = st.sampled_from(["a", "b", "x" * 70, "\u00e9" * 40, 7])
money = st.sampled_from([1, 2.5, "9.99", 10**11])
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("sku", "cart_id", "wishlist_id", "order_id", "case_id", "store_id", "category"), few
        ),
        **dict.fromkeys(("price", "revenue", "balance"), money),
        **dict.fromkeys(("purpose", "channel", "tier", "preferred_store", "preferred_channel"), few),
        "currency": st.sampled_from(["EUR", "USD"]),
        "consent": st.booleans(),
        "rating": st.integers(1, 5),
        "size": few,
    },
)
KINDS = sorted(
    IN_TURN
    | {"Product Viewed", "Consent Changed", "Identify", "Satisfaction Rated", "Product Reviewed"}
    | {"Loyalty Joined", "Loyalty Points Changed", "Email Delivered"}
)
CONTEXTS = st.none() | st.builds(
    Context,
    st.sampled_from([None, "fr-FR", "en-" + "x" * 80]),
    st.sampled_from([None, "Europe/Paris", "Asia/Kolkata"]),
    st.none() | st.builds(Position, st.just(48.85), st.just(2.35), st.sampled_from([None, 12.0])),
)
# Times of one to seven bytes: before 1970, at the edges of what the tables write, and beyond.
TIMES = st.integers(1_700_000_000_000, 1_700_000_000_000 + 90 * DAY) | st.sampled_from(
    [-1, 0, 63, 64, (1 << 39) - 1, 1 << 39, (1 << 41) - 1, 1 << 41, 1 << 42]
)


@st.composite
def timelines(draw: Any) -> list[Event]:
    """A customer's events, in order."""
    events = [
        Event(
            f"e-{n}",
            draw(TIMES),
            draw(st.sampled_from(["web", "app", "store"])),
            draw(st.sampled_from(KINDS)),
            draw(st.sampled_from([("cookie:c",), ("device:d", "cookie:c"), ("email:e@example.org",)])),
            draw(PROPERTIES),
            0,
            "channel.web/0/0",
            draw(CONTEXTS),
        )
        for n in range(draw(st.integers(1, 25)))
    ]
    return sorted(events, key=lambda event: event.order)


@settings(deadline=None)
@given(timelines(), st.sets(st.sampled_from(["vip", "lapsing"])))
def test_a_profile_has_the_bytes_of_the_general_writer(events, segments):
    written = ENCODER.profile("c-1", len(events), ("cookie:c", "device:d"), fold(events), segments)
    fields = decode_output(Output.PROFILE, written)
    assert ENCODER.encode(Output.PROFILE, fields) == written
    assert ENCODER.profile("c-1", len(events), ("cookie:c", "device:d"), fold(events), segments) == written
