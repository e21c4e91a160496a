#!/usr/bin/env python3
"""Exit 0 when the worker of this container serves its metrics page, 1 with one sentence when it does not.

A worker without partitions is healthy: it stands by. Whether work gets done is for the alerts to say.
"""

from __future__ import annotations

import os
import sys
import urllib.request

SECONDS = 4.0
ANYWHERE = frozenset({"", "0.0.0.0", "::"})  # noqa: S104 - compared with, not bound to
SIGN = b"\nraccord_info{"


def problem(host: str, port: str) -> str | None:
    """Return what is wrong with the metrics page, or None."""
    page = f"http://{'127.0.0.1' if host in ANYWHERE else host}:{port}/metrics"
    try:
        with urllib.request.urlopen(page, timeout=SECONDS) as answer:
            content = answer.read()
    except (OSError, ValueError) as error:
        return f"{page} does not answer: {error}"
    return None if SIGN in content else f"{page} is not a worker's: it has no raccord_info"


def main() -> int:
    """Look at the page where this container's settings put it."""
    host, port = (
        os.environ.get("RACCORD_METRICS_HOST", "127.0.0.1"),
        os.environ.get("RACCORD_METRICS_PORT", "9464"),
    )
    found = problem(host, port)
    if found is not None:
        sys.stderr.write(f"unhealthy: {found}\n")
    return found is not None


if __name__ == "__main__":
    sys.exit(main())
