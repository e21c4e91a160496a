"""Environment variables that look like settings and are none: typing errors that would do nothing, quietly."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "RACCORD_"


def warn_of_unknown(environment: Mapping[str, str]) -> None:
    """Say on stderr which variables are no settings, and which ones may be meant. Values are not shown."""
    given = sorted(name for name in environment if name.upper().startswith(PREFIX))
    if not given:
        return  # the settings take a moment to load, and `kafka status` has no other use for them
    from stream_app.embedded.jars import MIRROR_VARIABLE  # noqa: PLC0415 - as above
    from stream_app.runs.processes import SOCKET  # noqa: PLC0415 - as above
    from stream_app.runs.workers import WITH_PARENT  # noqa: PLC0415 - as above
    from stream_app.settings import Settings  # noqa: PLC0415 - as above

    if SOCKET in environment:
        return  # one of a worker's processes: the worker has said it
    settings = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | {MIRROR_VARIABLE}
    for name in given:
        if name.upper() in settings or name == WITH_PARENT:
            continue
        near = difflib.get_close_matches(name.upper(), settings, 1, cutoff=0.8)
        meant = f"; is {near[0]} meant?" if near else ""
        sys.stderr.write(f"raccord: {name} is no setting, and does nothing{meant}\n")
