"""Entries into segments have a writer of their own: it writes the bytes that the general one does."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_app.agents.publish import segment_fields
from stream_app.domain.segments import Action, Crossing
from stream_app.wire import Encoder, Output
from stream_app.wire.outputs import fitted

ENCODER = Encoder()
texts = st.text(max_size=80)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts
values: st.SearchStrategy[Any] = (
    scalars | st.lists(scalars, max_size=3) | st.dictionaries(texts, scalars, max_size=3)
)
crossings = st.builds(
    Crossing,
    texts,
    st.integers(1, 2**40),
    st.sampled_from(list(Action)),
    st.integers(-(2**63), 2**63 - 1),
    st.dictionaries(texts, scalars, max_size=4) | st.dictionaries(texts, values, max_size=4),
)


@given(texts, crossings)
def test_a_crossing_has_the_bytes_of_the_general_writer(customer_id, crossing):
    fields = segment_fields(customer_id, crossing)
    fit = {name: fitted(value, levels=2) for name, value in crossing.values.items()}
    assert ENCODER.segment(fields) == ENCODER.encode(Output.SEGMENT, {**fields, "values": fit})
