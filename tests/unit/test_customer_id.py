"""Ids that are asked for often are the ids: byte for byte, whatever the key, again, and with a full memory."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain import customer_id as module
from stream_app.domain.customer_id import CustomerIds, customer_id

if TYPE_CHECKING:
    import pytest

KEYS = st.one_of(st.binary(max_size=130), st.sampled_from([63, 64, 65]).map(lambda size: b"k" * size))


@given(KEYS, st.lists(st.text(max_size=80), max_size=5))
def test_an_id_is_the_hmac_of_the_identifier_each_time_it_is_asked_for(key: bytes, names: list[str]):
    ids = CustomerIds(key)
    for name in (*names, *names):
        expected = hmac.new(key, name.encode(), "sha256").hexdigest()[:32]
        assert ids.of(name) == customer_id(name, key) == expected


def test_two_keys_give_two_ids():
    assert CustomerIds(b"one").of("cookie:c") != CustomerIds(b"two").of("cookie:c")


def test_what_is_remembered_has_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "REMEMBERED", 3)
    ids = CustomerIds(b"key")
    for number in range(10):
        assert ids.of(f"cookie:{number}") == customer_id(f"cookie:{number}", b"key")
        assert len(ids._known) <= 3
