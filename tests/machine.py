"""What figures were seen on: the machine, how busy it was, and the versions of what they depend on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import confluent_kafka

from stream_app.embedded.jars import KAFKA_VERSION
from stream_app.wire.chosen import NATIVE

_PROCESSORS = Path("/proc/cpuinfo")


def machine(*packages: str) -> dict[str, Any]:
    """Describe this machine as it is now, with the versions of Raccord and of further packages.

    `load_average` is that of the last 1, 5 and 15 minutes: a run that wants to know what ran beside it asks first.
    """
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": [round(one, 1) for one in os.getloadavg()],
        "python": platform.python_version(),
        **{name: version(name) for name in ("raccord", *packages)},
        "native_part": NATIVE,
    }


def with_broker(*packages: str) -> dict[str, Any]:
    """Describe this machine where a broker shares it."""
    return {
        **machine(*packages),
        "kafka": "given" if os.environ.get("KAFKA_BOOTSTRAP_SERVERS") else KAFKA_VERSION,
        "librdkafka": confluent_kafka.libversion()[0],
        "note": "worker, broker and measuring process share these cores",
    }


def _processor() -> str:
    """Return the processor's name, as Linux has it; else the architecture."""
    if _PROCESSORS.exists():
        for line in _PROCESSORS.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.machine()
