"""`raccord worker`: one worker of the pipeline, until it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
import typer
from pydantic import ValidationError

from stream_app import metrics
from stream_app.app import VERSION, build
from stream_app.engine import topics as kafka_topics
from stream_app.engine.errors import FatalError
from stream_app.errors import EnvironmentMissing, UserError
from stream_app.logs import configure
from stream_app.runs.pages import Pages
from stream_app.runs.processes import Parent, Processes
from stream_app.runs.workers import WITH_PARENT, end_with_parent
from stream_app.settings import Settings, complaint
from stream_app.wire import NATIVE, RegistryUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stream_app.engine.worker import Worker

log = structlog.get_logger(__name__)


def worker() -> None:
    """Run one worker; settings come from the environment (RACCORD_...).

    It finishes its epoch and leaves the group on SIGTERM or Ctrl-C. Rules and sending policy are read again when
    their files change, and at once on SIGHUP. With RACCORD_PROCESSES it is that many processes, to use as many cores.
    """
    settings = read_settings()
    configure(settings.log_level)
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # "read the rules again": while it starts it reads them anyway
    if os.environ.get(WITH_PARENT):
        threading.Thread(target=end_with_parent, daemon=True).start()
    parent = Parent.found()
    if parent is None and settings.processes > 1:
        raise typer.Exit(_several(settings))
    if parent is None:
        pipeline, port = _set_up(settings)
        _say_where(settings, port)
    else:
        with parent.told_of_errors():
            pipeline, port = _set_up(settings)
        parent.ready(port)
    log.info("native_part", in_use=NATIVE)
    pipeline.run()


def _several(settings: Settings) -> int:
    """Run a worker of several processes; return its exit code."""
    with Processes(settings) as processes:
        pages = Pages(processes.set_up())
        with _port_of_its_own(settings):
            port = pages.serve(settings.metrics_host, settings.metrics_port)
        _say_where(settings, port)
        return processes.run()


def _set_up(settings: Settings) -> tuple[Worker, int]:
    """Serve metrics and build the pipeline; return it, and their port.

    In this order, for a port that is taken is found out without a broker.
    """
    with _port_of_its_own(settings):
        port = metrics.serve(
            settings.metrics_host, settings.metrics_port, {"version": VERSION, "worker": settings.worker}
        )
    try:
        pipeline = build(settings)
    except RegistryUnavailable as error:
        msg = f"no schema registry answers at {settings.registry_url}: check RACCORD_REGISTRY_URL"
        raise EnvironmentMissing(msg) from error
    except FatalError as error:
        raise EnvironmentMissing(str(error)) from error
    except OSError as error:
        msg = f"the worker can't be set up: {error}"
        raise EnvironmentMissing(msg) from error
    return pipeline, port


@contextmanager
def _port_of_its_own(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        msg = (
            f"port {settings.metrics_port} of {settings.metrics_host} is taken: set RACCORD_METRICS_PORT to another, "
            "or to 0 for any free one"
        )
        raise EnvironmentMissing(msg) from error


def _say_where(settings: Settings, port: int) -> None:
    typer.echo(
        f"worker {settings.worker}: metrics at http://{settings.metrics_host}:{port}/metrics", err=True
    )


def reach(settings: Settings, topics: Sequence[str]) -> None:
    """Make sure that a broker answers and has these topics, before anything waits for them.

    Raises:
        EnvironmentMissing: no broker answers.
        UserError: a topic is missing.
    """
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # what it says of a refused connection is said here
    try:
        lacking = kafka_topics.missing(settings.bootstrap_servers, topics)
    except FatalError as error:
        raise EnvironmentMissing(str(error)) from error
    if lacking:
        msg = f"topic {lacking[0]} is missing on {settings.bootstrap_servers}: run `raccord topics create`"
        raise UserError(msg)


def read_settings() -> Settings:
    """Read the settings.

    Raises:
        UserError: one of them is wrong; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise UserError(complaint(error)) from error
