"""Ends the broker when the process that owns it is gone, however it went: Ctrl-C, an error, kill -9.

Run as a program with two process ids, owner and broker. It uses nothing but the standard library, and stays
until one of the two has ended. The broker is in a session of its own, so that a Ctrl-C reaches the workers
first and they can finish their epoch while there is still a broker to finish it with.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

GRACE_SECONDS = 10.0
POLL_SECONDS = 0.3


def alive(pid: int) -> bool:
    """Tell whether a process with this id exists."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def wait_for_either(owner: int, broker: int) -> None:
    """Return when one of the two processes has ended."""
    if hasattr(os, "pidfd_open"):
        try:
            watched = [os.pidfd_open(owner), os.pidfd_open(broker)]
        except ProcessLookupError:
            return
        except OSError:
            pass  # a kernel before 5.3, or a sandbox that forbids it
        else:
            select.select(watched, [], [])
            return
    while alive(owner) and alive(broker):
        time.sleep(POLL_SECONDS)


def end(pid: int, grace_seconds: float = GRACE_SECONDS) -> None:
    """Ask a process to stop, and kill it when it has not within `grace_seconds`."""
    try:
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            os.kill(pid, 0)
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    owner_pid, broker_pid = int(sys.argv[1]), int(sys.argv[2])
    wait_for_either(owner_pid, broker_pid)
    end(broker_pid)
