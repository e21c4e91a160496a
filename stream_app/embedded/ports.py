"""Free ports on loopback."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from stream_app.embedded.config import LOOPBACK
from stream_app.errors import EnvironmentMissing


def is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of loopback now."""
    with socket.socket() as probe:
        # As Java does it: a port whose last connections are in TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Tell whether something accepts connections on this port of loopback."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Return different ports that are free now."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]


def choose(wanted: int | None, previous: tuple[int, int] | None) -> tuple[int, int]:
    """Return the ports of broker and controller.

    Args:
        wanted: the broker's port, when somebody asked for one.
        previous: the ports of the last start; taken again if they are free, so that clients find their way
            back.

    Raises:
        EnvironmentMissing: the wanted port is taken.
    """
    if wanted is not None and not is_free(wanted):
        raise EnvironmentMissing(
            f"Port {wanted} is taken by another program: choose another one, or none, and a free one is used."
        )
    port, controller = free_ports(2)
    if previous is not None and is_free(previous[0]):
        port = previous[0]
    if previous is not None and is_free(previous[1]):
        controller = previous[1]
    if wanted is not None:
        port = wanted
    if controller == port:
        controller = free_ports(1)[0]
    return port, controller
