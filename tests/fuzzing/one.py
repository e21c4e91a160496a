"""One target under atheris: `python -m tests.fuzzing.one TARGET [libFuzzer's options] FOLDER...`.

With files instead of folders it runs these once: that is how a finding is seen again.
"""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    """Instrument what is ours, and hand over to libFuzzer, which doesn't return."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["stream_app", "connectors"]):
        from tests.fuzzing.targets import TARGETS  # noqa: PLC0415 - imported under instrumentation
    atheris.Setup([sys.argv[0], *options], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
