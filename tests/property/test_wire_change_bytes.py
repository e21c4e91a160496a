"""Changes of customers have a writer of their own: it writes the bytes that the general one does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.agents.publish import change_fields
from stream_app.domain.effects import Cause, Change, IdentityChange
from stream_app.wire import Encoder, Output

ENCODER = Encoder()
texts = st.text(max_size=80)
optional = st.none() | texts
several = st.lists(texts, max_size=4).map(tuple)
changes = st.builds(
    IdentityChange,
    st.sampled_from(list(Change)),
    several,
    several,
    st.builds(Cause, st.integers(-(2**63), 2**63 - 1), several, optional, optional, optional, optional),
)


@given(changes)
def test_a_change_has_the_bytes_of_the_general_writer(change):
    fields = change_fields(change)
    assert ENCODER.identity_change(fields) == ENCODER.encode(Output.IDENTITY_CHANGE, fields)


def test_what_has_a_default_may_be_missing_and_what_does_not_fit_is_an_error():
    fields = change_fields(IdentityChange(Change.MERGED, ("c-1",), ("c-2",), Cause(5, ("a:1",), "e-1")))
    short = {**fields, "cause": {"event_id": "e-1", "evidence": fields["cause"]["evidence"]}}
    assert ENCODER.identity_change(short) == ENCODER.identity_change(fields)
    for misfit in ({"time": "now"}, {"from": [7]}, {"cause": None}):
        with pytest.raises((ValueError, TypeError)):
            ENCODER.identity_change({**fields, **misfit})
