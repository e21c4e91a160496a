"""One metrics page of several: what each page says, with the number of its process."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from prometheus_client import Metric

_SECONDS = 5.0
LABEL = "process"


class Pages(Collector):
    """Reads the pages of a worker's processes whenever its own is asked for.

    A page that does not answer is an error, and so is ours then: half the truth would look like an outage elsewhere.

    Args:
        addresses: where the pages are, by the processes' numbers.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self._open = urllib.request.build_opener(urllib.request.ProxyHandler({})).open

    def collect(self) -> Iterable[Metric]:
        """Return all that the pages say, each metric once."""
        merged: dict[str, Metric] = {}
        for number, address in enumerate(self._addresses):
            with self._open(address, timeout=_SECONDS) as page:
                families = text_string_to_metric_families(page.read().decode())
            for family in families:
                whole = merged.setdefault(family.name, family)
                samples = [
                    sample._replace(labels={**sample.labels, LABEL: str(number)}) for sample in family.samples
                ]
                whole.samples = samples if whole is family else [*whole.samples, *samples]
        return merged.values()

    def serve(self, host: str, port: int) -> int:
        """Serve the one page; return the port."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        server, _ = start_http_server(port, addr=host, registry=registry)
        return int(server.server_port)
