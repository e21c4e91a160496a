"""One metrics page of several processes: all that each says, each metric declared once, and never half of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests
from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from stream_app.runs.pages import Pages

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def addresses() -> Iterator[list[str]]:
    """Pages of two processes; the second has a metric more."""
    servers, found = [], []
    for number in range(2):
        registry = CollectorRegistry()
        Counter("applied", "Events", ["channel"], registry=registry).labels("web").inc(3 + number)
        if number:
            Gauge("age", "Seconds", registry=registry).set(7)
        server, _ = start_http_server(0, addr="127.0.0.1", registry=registry)
        servers.append(server)
        found.append(f"http://127.0.0.1:{server.server_port}/metrics")
    yield found
    for server in servers:
        server.shutdown()
        server.server_close()


def test_each_metric_is_declared_once_and_has_the_samples_of_all_processes(addresses):
    port = Pages(addresses).serve("127.0.0.1", 0)
    lines = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text.splitlines()
    assert [line for line in lines if "applied_total" in line] == [
        "# HELP applied_total Events",
        "# TYPE applied_total counter",
        'applied_total{channel="web",process="0"} 3.0',
        'applied_total{channel="web",process="1"} 4.0',
    ]
    assert 'age{process="1"} 7.0' in lines


def test_a_process_that_does_not_answer_makes_the_page_an_error_and_not_half_a_page(addresses):
    port = Pages([*addresses, "http://127.0.0.1:1/metrics"]).serve("127.0.0.1", 0)
    assert requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).status_code == 500
