"""The profile is the same for every order of arrival, however full its bounded parts are."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain import cart, profile
from stream_app.domain.event import Context, Event
from stream_app.domain.profile import Profile, apply, fold
from stream_app.domain.rows import CustomerRow, customer_tables
from tests.property.identity_offline import TYPES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FEW = st.sampled_from(("a", "b", "c", "d", None))
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "sku": FEW,
        "cart_id": FEW,
        "quantity": st.sampled_from((1, 2, 0.5)),
        "price": st.sampled_from((1, 2.5)),
        "revenue": st.sampled_from((0.1, 0.2, 0.7)),
        "currency": st.sampled_from(("EUR", "USD", "GBP", "bad")),
        "consent": st.booleans(),
        "purpose": FEW,
        "channel": FEW,
        "size": st.integers(0, 3),
    },
)
EVENTS = st.lists(
    st.tuples(st.integers(-3, 12), st.sampled_from(TYPES), PROPERTIES, st.sampled_from(("fr", "en", None))),
    max_size=25,
)


def made(number: int, time: int, kind: str, properties: dict[str, Any], locale: str | None) -> Event:
    context = Context(locale=locale)
    return Event(f"e{number}", time, "web", kind, ("cookie:1",), properties, 0, "t/0/0", context)


def arriving(events: Sequence[Event]) -> Profile:
    """Take events in as they come; where the profile asks for it, fold what has come in its true order."""
    found, come = Profile(), []
    for event in events:
        come.append(event)
        if not apply(found, event):
            found = fold(sorted(come, key=lambda event: event.order))
    return found


@pytest.fixture(autouse=True, scope="module")
def narrow_bounds() -> Iterator[None]:
    """Make the bounds so narrow that a few events pass them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, bound in (("MAX_VIEWED", 2), ("MAX_TRAITS", 2), ("MAX_ANSWERS", 3), ("MAX_CURRENCIES", 2)):
            patch.setattr(profile, name, bound)
        patch.setattr(cart, "MAX_CARTS", 2)
        patch.setattr(cart, "MAX_LINES", 2)
        yield


@settings(max_examples=300, deadline=None)
@given(rows=EVENTS, seed=st.integers(0, 2**16))
def test_any_order_of_arrival_gives_the_fold_of_the_timeline(rows: list[Any], seed: int) -> None:
    events = [made(number, *row) for number, row in enumerate(rows)]
    expected = fold(sorted(events, key=lambda event: event.order))
    random.Random(seed).shuffle(events)
    assert arriving(events) == expected


@settings(max_examples=100, deadline=None)
@given(rows=EVENTS, seed=st.integers(0, 2**16))
def test_equal_profiles_are_written_as_equal_bytes(rows: list[Any], seed: int) -> None:
    events = [made(number, *row) for number, row in enumerate(rows)]
    spec = next(spec for spec in customer_tables() if spec.name == "customers")
    one = spec.encode(CustomerRow("c", fold(sorted(events, key=lambda event: event.order))))
    random.Random(seed).shuffle(events)
    assert spec.encode(CustomerRow("c", arriving(events))) == one
    assert spec.encode(spec.decode(one)) == one


def test_a_basket_event_that_is_not_folded_again_would_be_noticed() -> None:
    removed, added = (
        made(1, 5, "Product Removed", {"sku": "a"}, None),
        made(2, 1, "Product Added", {"sku": "a"}, None),
    )
    planted = fold([removed])
    cart.step(planted.carts, added)
    assert planted.carts != fold([added, removed]).carts
    assert arriving([removed, added]) == fold([added, removed])
