"""The native part is a choice: what runs is said, and the tests of the formats pass without it too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream_app.wire import NATIVE, chosen
from stream_app.wire.chosen import __file__ as choosing

ROOT = Path(choosing).parents[2]
FORMATS = (
    "tests/unit/test_wire_avro.py",
    "tests/unit/test_wire_decoding.py",
    "tests/unit/test_wire_outputs.py",
    "tests/unit/test_profile.py",
    "tests/property/test_wire_hostile.py",
    "tests/property/test_wire_round_trip.py",
)
ASKING = (
    "from stream_app.domain.profile import apply; from stream_app.engine.chosen import Layers\n"
    "from stream_app.wire import chosen\n"
    "print(chosen.NATIVE, chosen.read_event.__module__, apply.__module__, Layers.__module__)"
)


def run(arguments: list[str], native: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "RACCORD_NATIVE": native},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("off", ["0", "false", "OFF"])
def test_the_native_part_can_be_turned_off(off):
    modules = "stream_app.wire.avro_reader stream_app.domain.profile.folding stream_app.engine.layers"
    assert run(["-c", ASKING], off) == f"False {modules}\n"


@pytest.mark.skipif(not NATIVE, reason="the native part isn't built, or turned off")
def test_the_native_part_runs_where_it_is_built_and_not_turned_off():
    modules = (
        "stream_app.wire.native_reader stream_app.domain.profile.native_fold stream_app.engine.native_layers"
    )
    assert run(["-c", ASKING], "1") == f"True {modules}\n"
    names = ("read_event", "encode_payload", "encode_profile", "structured_event", "binary_event")
    names += ("check_event", "parse_timestamp", "Intake", "forward")
    chosen_ones = {getattr(chosen, name).__module__ for name in names}
    assert chosen_ones == {
        f"stream_app.wire.native_{name}" for name in ("reader", "writer", "json", "intake", "forward")
    }


@pytest.mark.skipif(not NATIVE, reason="the tests run without it anyway")
def test_the_formats_tests_pass_without_the_native_part():
    run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *FORMATS], "0")
