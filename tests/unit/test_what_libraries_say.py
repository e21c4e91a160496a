"""What libraries say on stderr beside our own sentences."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from stream_app.errors import Exit

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


def test_a_broker_that_does_not_answer_is_told_by_the_worker_in_one_sentence():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and nobody listens
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        done = subprocess.run(
            [sys.executable, "-m", "stream_app", "worker"],
            check=False,
            capture_output=True,
            env={**os.environ, "RACCORD_BOOTSTRAP_SERVERS": address, "RACCORD_METRICS_PORT": "0"},
        )
    assert done.returncode == Exit.ENVIRONMENT
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith(f"raccord: no Kafka broker answers at {address}")
