"""Where figures of the suite are kept: one file each, with the machine and the versions they were seen with."""

from __future__ import annotations

import json
import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stream_app.embedded.jars import KAFKA_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("raccord", "faust-streaming", "aiokafka", "confluent-kafka", "kafka-python", "rocksdict")


def write(name: str, found: Mapping[str, Any]) -> Path:
    """Write results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    whole = {**found, "at": datetime.now(UTC).isoformat(timespec="seconds"), "machine": machine()}
    path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    return path


def machine() -> dict[str, Any]:
    """Return what it was seen on."""
    return {
        "processors": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        "kafka": KAFKA_VERSION,
        **{name: version(name) for name in _PACKAGES},
    }
