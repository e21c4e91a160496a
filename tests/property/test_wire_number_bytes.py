"""Figures have a writer of their own: it writes the bytes that the general one does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream_app.agents.publish import number_fields
from stream_app.domain.numbers import NUMBERS, Cell
from stream_app.wire import Encoder, Output, cell_of_key, cell_of_record, decode_output, number_key

ENCODER = Encoder()
texts = st.text(max_size=80)
cells = st.sampled_from(NUMBERS).flatmap(
    lambda number: st.builds(
        Cell, st.just(number.name), st.integers(0, 90_000), st.tuples(*(texts for _ in number.dimensions))
    )
)


@given(cells, st.integers(-(2**70), 2**70))
def test_a_figure_has_the_bytes_of_the_general_writer_and_is_read_back(cell, amount):
    fields = number_fields(cell, amount)
    value = ENCODER.number(fields)
    assert value == ENCODER.encode(Output.NUMBER, fields)
    assert cell_of_record(decode_output(Output.NUMBER, value)) == cell_of_key(number_key(cell)) == cell
