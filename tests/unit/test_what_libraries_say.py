"""What libraries say on stderr beside our own sentences."""

from __future__ import annotations

import subprocess
import sys

_SAYS = """
import logging
from stream_app.engine import topics
from stream_app.logs import configure
configure("info")
logging.getLogger("kafka.net.selector").warning("it ran for 0.154s")
logging.getLogger("kafka.net.selector").error("it failed")
"""


def test_a_busy_machines_pauses_are_not_told_to_who_ran_a_command_but_failures_are():
    # In a process of its own: logging is set up once in each.
    done = subprocess.run([sys.executable, "-c", _SAYS], check=True, capture_output=True)
    (line,) = done.stderr.decode().splitlines()
    assert "it failed" in line
