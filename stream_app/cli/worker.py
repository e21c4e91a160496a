"""`raccord worker`: one worker of the pipeline, until it is told to stop."""

from __future__ import annotations

import os
import threading

import typer
from pydantic import ValidationError

from stream_app import metrics
from stream_app.app import VERSION, build
from stream_app.domain.policy import PolicyError
from stream_app.domain.rules import RuleError
from stream_app.engine.errors import FatalError
from stream_app.errors import EnvironmentMissing, UserError
from stream_app.logs import configure
from stream_app.runs.workers import WITH_PARENT, end_with_parent
from stream_app.settings import Settings
from stream_app.wire import RegistryUnavailable


def worker() -> None:
    """Run one worker; settings come from the environment (RACCORD_...).

    It finishes its epoch and leaves the group on SIGTERM or Ctrl-C.
    """
    settings = read_settings()
    configure(settings.log_level)
    if os.environ.get(WITH_PARENT):
        threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        pipeline = build(settings)
    except (RuleError, PolicyError) as error:
        raise UserError(str(error)) from error
    except RegistryUnavailable as error:
        msg = f"no schema registry answers at {settings.registry_url}: check RACCORD_REGISTRY_URL"
        raise EnvironmentMissing(msg) from error
    except FatalError as error:
        raise EnvironmentMissing(str(error)) from error
    except OSError as error:
        msg = f"the worker can't be set up: {error}"
        raise EnvironmentMissing(msg) from error
    try:
        port = metrics.serve(
            settings.metrics_host, settings.metrics_port, {"version": VERSION, "worker": settings.worker}
        )
    except OSError as error:
        msg = (
            f"port {settings.metrics_port} of {settings.metrics_host} is taken: set RACCORD_METRICS_PORT to another, "
            "or to 0 for any free one"
        )
        raise EnvironmentMissing(msg) from error
    typer.echo(
        f"worker {settings.worker}: metrics at http://{settings.metrics_host}:{port}/metrics", err=True
    )
    pipeline.run()


def read_settings() -> Settings:
    """Read the settings.

    Raises:
        UserError: one of them is wrong; the message names it.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = "RACCORD_" + "_".join(str(part) for part in first["loc"]).upper()
        msg = f"setting {name.replace('RACCORD_RACCORD_', 'RACCORD_')}: {first['msg']}"
        raise UserError(msg) from error
