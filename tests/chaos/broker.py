"""A broker that workers reach through a proxy, and tests directly."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from stream_app.embedded.broker import EmbeddedKafka
from stream_app.embedded.config import BROKER, LOOPBACK
from stream_app.embedded.ports import free_ports
from tests.chaos.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self


class ProxiedBroker:
    """One embedded broker with two listeners; a context manager.

    Clients of the listener PROXIED are told to come back through the proxy: a broker tells its clients its own address,
    so a proxy in front of the usual listener would be used once.

    Attributes:
        kafka: the broker.
        proxy: what lies between it and the workers.
        direct: address for tests.
        proxied: address for workers.
    """

    def __init__(self, overrides: Mapping[str, str] | None = None, jvm_options: tuple[str, ...] = ()) -> None:
        direct, controller, inner, outer = free_ports(4)
        folder = Path(tempfile.mkdtemp(prefix="raccord-chaos-"))
        self.kafka = EmbeddedKafka(
            folder,
            overrides={
                "listeners": f"BROKER://{LOOPBACK}:{direct},PROXIED://{LOOPBACK}:{inner},"
                f"CONTROLLER://{LOOPBACK}:{controller}",
                "advertised.listeners": f"BROKER://{LOOPBACK}:{direct},PROXIED://{LOOPBACK}:{outer},"
                f"CONTROLLER://{LOOPBACK}:{controller}",
                "listener.security.protocol.map": f"{BROKER['listener.security.protocol.map']},PROXIED:PLAINTEXT",
                **(overrides or {}),
            },
            jvm_options=jvm_options,
        )
        self.kafka._last_ports = (direct, controller)  # the ones that the listeners name
        self.proxy = Proxy(outer, inner)
        self.direct = f"{LOOPBACK}:{direct}"
        self.proxied = f"{LOOPBACK}:{outer}"
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(shutil.rmtree, self.kafka.folder, ignore_errors=True)
        self._stack.callback(self.kafka.stop, 5)
        try:
            self.kafka.start()
            self._stack.enter_context(self.proxy)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()
