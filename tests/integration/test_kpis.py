"""`raccord kpis` on a real broker: it reads what is committed, the last of each key, and says what it comes to."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import socket
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from stream_app import cli
from stream_app.agents.publish import number_fields
from stream_app.app import topics_of
from stream_app.domain.numbers import Cell
from stream_app.engine import topics as kafka_topics
from stream_app.errors import Exit
from stream_app.runs.session import _settings
from stream_app.wire import Encoder, number_key
from tests.numbers_cells import CELLS, EURO, FIRST, SECOND
from tests.pipeline_job import raccord
from tests.waiting import wait_for

pytestmark = pytest.mark.broker

PAGE = (Path(__file__).parents[2] / "docs" / "numbers.md").read_text()
ENCODER = Encoder()
CORRECTED = Cell("revenue", FIRST, ("web", "phone", "EUR"))
TAKEN_BACK = Cell("orders", FIRST, ("email", ""))
ABORTED = Cell("visits", SECOND, ("web", "phone"))


@pytest.fixture(scope="module")
def deployment(bootstrap_servers, tmp_path_factory) -> dict[str, str]:
    """A topic with figures: corrected ones, one that came to nothing, some of a transaction that was aborted."""
    folder = tmp_path_factory.mktemp("kpis")
    environment = {
        "RACCORD_BOOTSTRAP_SERVERS": bootstrap_servers,
        "RACCORD_PREFIX": f"k{folder.stat().st_ino}.",
        "RACCORD_PARTITIONS": "3",
        "COLUMNS": "80",
    }
    settings = _settings(environment)
    topic = topics_of(settings).numbers
    specs = [spec for spec in topics_of(settings).specs(settings) if spec.name == topic]
    kafka_topics.create(bootstrap_servers, specs)
    producer = Producer({"bootstrap.servers": bootstrap_servers, "transactional.id": topic, "linger.ms": 1})
    producer.init_transactions(60)

    def say(figures: dict[Cell, int], *, commit: bool = True) -> None:
        producer.begin_transaction()
        for cell, amount in figures.items():
            producer.produce(topic, ENCODER.number(number_fields(cell, amount)), number_key(cell))
        if not commit:
            producer.flush()
        (producer.commit_transaction if commit else producer.abort_transaction)()

    say({CORRECTED: 999 * EURO, TAKEN_BACK: 7})
    say({**CELLS, TAKEN_BACK: 0})
    say({ABORTED: 10**6}, commit=False)
    return environment


def told(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    """Return code, output and errors of the command within this process: starting one takes seconds."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name, value in environment.items():
            patch.setenv(name, value)
        code = cli.run(["kpis", *arguments])
    return code, out.getvalue(), err.getvalue()


def said(deployment: dict[str, str], *arguments: str) -> str:
    """Return what a process of its own says."""
    done = raccord("kpis", *arguments, environment=deployment)
    assert done.returncode == 0, done.stderr.decode()
    assert done.stderr == b""
    return done.stdout.decode()


def test_the_overview_says_what_the_figures_come_to(deployment):
    out = said(deployment)
    rows = [line.split() for line in out.splitlines()]
    assert out.startswith(f"2026-11-28 to 2026-11-29, {len(CELLS)} figures\n")
    for row in (
        "all 34 9 26.5% 7.7% 100.0%",
        "all 300.00 300.00 300.00 300.00 300.00 300.00",
        "email 0.00 0.00 200.00 100.00 120.00 80.00",
        "autumn EUR 50.00 -100% 300% 100% 140% 60%",
        "abandoned_cart 9 1 50.0% 37.5%",
        "2026-10 8 100% 75%",
        "2026-10 8 12.50 20.00",
        "all 7 71.4% 8 -12.5",
        "web store 2 66.7% 80.00",
        "web 5 10.0 h 3 0 2 0 0 0",
    ):
        assert row.split() in rows, row
    assert max(map(len, out.splitlines())) <= 80


def exact(deployment: dict[str, str], *arguments: str) -> dict[tuple[str, ...], str]:
    found: dict[tuple[str, ...], str] = {}
    code, out, err = told(deployment, "--json", *arguments)
    assert (code, err) == (Exit.OK, "")
    for line in out.splitlines():
        one: dict[str, Any] = json.loads(line)
        found[one["name"], *one["dimensions"].values()] = one["value"]
    return found


def test_json_is_exact_to_the_last_millionth(deployment):
    assert exact(deployment, "conversion", "revenue", "--by", "channel") == {
        ("conversion", "app"): "1/20",
        ("conversion", "store"): "3/4",
        ("conversion", "web"): "1/2",
        ("revenue", "app", "JPY"): "5000000000",
        ("revenue", "store", "EUR"): "120000000",
        ("revenue", "web", "EUR"): "200000000",
    }
    assert exact(deployment, "visits", "nps", "--by", "day", "--since", "2026-11-29") == {
        ("visits", "2026-11-29"): "30",
        ("nps", "2026-11-29"): "-25/2",
    }
    assert exact(deployment, "conversion", "revenue", "--by", "") == {
        ("conversion",): "9/34",
        ("revenue", "EUR"): "320000000",
        ("revenue", "JPY"): "5000000000",
    }
    lines = [json.loads(line) for line in said(deployment, "--json").splitlines()]
    everything = {(one["name"], *one["dimensions"].values()): one["value"] for one in lines}
    assert everything["lifetime_value", "2026-10", "1", "EUR"] == "20000000"
    assert ("orders", "email", "") not in everything


def test_the_example_of_the_page_is_what_is_printed(deployment):
    (example,) = re.findall(r"```json\n(.*)\n```", PAGE)
    assert example in told(deployment, "roi", "--by", "campaign", "--json")[1].splitlines()


def test_charts_are_text_in_80_columns(deployment):
    out = said(deployment, "--chart")
    charts = dict(chart.split("\n", 1) for chart in out.split("\n\n")[1:])
    assert re.search(
        r"^store +█+ +300\.00 *$", charts["attributed revenue, last touch, EUR by channel"], re.MULTILINE
    )
    assert re.search(
        r"^abandoned_cart +█{31,} 37\.5% *$", charts["trigger purchase rate by rule"], re.MULTILINE
    )
    assert re.search(
        r"^store / web +█+ +1 *$", charts["assisted orders by assisting channel and channel"], re.MULTILINE
    )
    assert "2026-10 100%█  75%█" in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", re.findall(r"^raccord (kpis.*)$", PAGE, re.MULTILINE))
def test_every_command_of_the_page_runs(deployment, command: str):
    code, out, err = told(deployment, *shlex.split(command)[1:])
    assert (code, err) == (Exit.OK, "")
    assert len(out.splitlines()) > 1


def test_a_topic_that_is_not_there_yet_and_a_broker_that_is_away_are_told_in_a_line(deployment):
    code, out, err = told({**deployment, "RACCORD_PREFIX": "nowhere."})
    assert (code, out) == (Exit.USAGE, "")
    assert re.fullmatch(
        r"raccord: topic nowhere\.numbers is missing on \S+: run `raccord topics create`\n", err
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        code, out, err = told({**deployment, "RACCORD_BOOTSTRAP_SERVERS": address})
    assert (code, out) == (Exit.ENVIRONMENT, "")
    assert re.fullmatch(rf"raccord: no Kafka broker answers at {address}.*\n", err)


def test_what_is_watched_is_shown_again_as_it_is_then(deployment, tmp_path):
    out, settings = tmp_path / "out", _settings(deployment)
    topic = topics_of(settings).numbers
    cell = Cell("triggers_sent", SECOND, ("watched", "push"))
    with out.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "stream_app", "kpis", "triggers_sent", "--watch", "1"],
            env={**os.environ, **deployment},
            stdout=file,
        )
    try:
        assert wait_for(lambda: "win_back" in out.read_text())
        assert "watched" not in out.read_text()
        producer = Producer({"bootstrap.servers": settings.bootstrap_servers})
        producer.produce(topic, ENCODER.number(number_fields(cell, 1234)), number_key(cell))
        producer.flush()
        assert wait_for(lambda: re.search(r"watched +push +1,234", out.read_text()) is not None)
        producer.produce(topic, None, number_key(cell))
        producer.flush()
    finally:
        process.kill()
        process.wait()


def test_what_is_no_figure_is_left_out_and_told(deployment, bootstrap_servers):
    environment = {**deployment, "RACCORD_PREFIX": f"{deployment['RACCORD_PREFIX']}x."}
    settings = _settings(environment)
    topic = topics_of(settings).numbers
    kafka_topics.create(
        bootstrap_servers, [one for one in topics_of(settings).specs(settings) if one.name == topic]
    )
    assert told(environment) == (Exit.OK, "no numbers in this time, or none yet\n", "")
    producer = Producer({"bootstrap.servers": bootstrap_servers})
    for key, value in ((b"a", b"rubbish"), (b"b", b"")):
        producer.produce(topic, value, key)
    cell = Cell("visits", FIRST, ("web", "phone"))
    producer.produce(topic, ENCODER.number({**number_fields(cell, 1), "number": "mood"}), b"c")
    producer.produce(topic, ENCODER.number(number_fields(cell, 3)), number_key(cell))
    producer.produce(topic, None, b"a")
    producer.flush()
    code, out, err = told(environment, "visits", "--json")
    assert (code, json.loads(out)["value"]) == (Exit.OK, "3")
    assert err == f"raccord: 2 figures of {topic} are none that this version knows: left out\n"
