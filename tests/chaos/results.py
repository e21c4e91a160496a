"""Where figures of the suite are kept: one file each, with the machine and the versions they were seen with."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.machine import with_broker

if TYPE_CHECKING:
    from collections.abc import Mapping

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("faust-streaming", "aiokafka", "confluent-kafka", "kafka-python", "rocksdict")


def write(name: str, found: Mapping[str, Any]) -> Path:
    """Write results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    whole = {
        **found,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": with_broker(*_PACKAGES),
    }
    path.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")
    return path
