"""One target under atheris: `python -m tests.fuzzing.one TARGET [libFuzzer's options] FOLDER...`.

With files instead of folders it runs these once: that is how a finding is seen again.
"""

from __future__ import annotations

import os
import sys

import atheris

AGAIN = "RACCORD_FUZZ_AGAIN"


def main() -> None:
    """Instrument what is ours, and hand over to libFuzzer, which doesn't return."""
    name, *options = sys.argv[1:]
    with atheris.instrument_imports(include=["stream_app", "connectors"]):
        from tests.fuzzing.targets import TARGETS  # noqa: PLC0415 - imported under instrumentation
    # To merge, libFuzzer starts its own program again, which is python and no file: it is told of one that is.
    atheris.Setup([os.environ.get(AGAIN, sys.argv[0]), *options], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
