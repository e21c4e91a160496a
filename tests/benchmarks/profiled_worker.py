"""A worker under cProfile: `python -m tests.benchmarks.profiled_worker STATISTICS`."""

from __future__ import annotations

import cProfile
import sys

from stream_app.cli.worker import worker


def main() -> None:
    """Run a worker until it is stopped, then write the statistics of its main thread."""
    profile = cProfile.Profile()
    profile.enable()
    try:
        worker()
    finally:
        profile.disable()
        profile.dump_stats(sys.argv[1])


if __name__ == "__main__":
    main()
