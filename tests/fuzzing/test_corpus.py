"""The fuzz targets on what is kept, and on what is near it: without atheris, on any machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzzing.fuzz import MOST_BYTES
from tests.fuzzing.targets import TARGETS
from tests.property.examples import examples

pytestmark = pytest.mark.filterwarnings(
    "ignore:Unknown .*, using"
)  # avro, of what a fuzzer calls a logical type

CORPUS = Path(__file__).parent / "corpus"
KEPT = {
    name: [*target.seeds(), *(path.read_bytes() for path in sorted((CORPUS / name).glob("*")))]
    for name, target in TARGETS.items()
}


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_that_is_kept_holds_what_its_target_promises(name):
    for data in KEPT[name]:
        TARGETS[name].run(data)


def test_the_corpus_is_small_and_has_no_target_that_is_none():
    kept = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in kept} <= set(TARGETS)
    assert len(kept) < 300
    assert max(path.stat().st_size for path in kept) <= MOST_BYTES
    assert sum(path.stat().st_size for path in kept) < 1 << 20


@pytest.mark.parametrize("name", TARGETS)
def test_what_is_near_an_input_that_is_kept_holds_it_too(name):
    target, kept = TARGETS[name], KEPT[name]

    @examples(30)
    @given(st.sampled_from(kept), st.sampled_from(kept), st.data())
    def near(one, other, data):
        value = bytearray(one)
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(value)))
            edit = data.draw(st.sampled_from(["set", "insert", "cut", "twice", "splice"]))
            length = data.draw(st.integers(1, 16))
            if edit == "set":
                value[place : place + 1] = data.draw(st.binary(min_size=1, max_size=2))
            elif edit == "insert":
                value[place:place] = data.draw(st.binary(min_size=1, max_size=8))
            elif edit == "cut":
                del value[place : place + length]
            elif edit == "twice":
                value[place:place] = value[place : place + length]
            else:
                start = data.draw(st.integers(0, len(other)))
                value[place : place + length] = other[start : start + length]
        target.run(bytes(value[: target.longest]))

    near()
