"""The contract as data: Avro schemas and their history, event types, rules, policies, JSON schemas.

Everything is a file beside this module; the functions here find and read them wherever the package is
installed (`importlib.resources`), and interpret nothing but YAML's syntax.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import msgspec
import yaml

SUBJECTS = (
    "channel_event",
    "identity_command",
    "reference_product",
    "reference_order",
    "reference_store",
    "reference_campaign",
    "reference_spend",
    "reference_stock",
    "reference_weather",
    "customer_timeline",
    "customer_profile",
    "customer_segment",
    "identity_change",
    "trigger",
    "trigger_decision",
    "shadow_decision",
    "number",
)
"""Every Avro schema's name: the file is avro/<name>.avsc, its versions avro/history/<name>/<n>.avsc."""


class EventType(msgspec.Struct, frozen=True):
    """A documented event type: the channels that send it, and its properties' meanings by name."""

    name: str
    channels: tuple[str, ...]
    properties: dict[str, str]


def read_text(path: str) -> str:
    """Read a file of this package, such as "rules/abandoned_cart.yaml".

    Raises:
        FileNotFoundError: there is no such file.
    """
    return resources.files(__name__).joinpath(path).read_text(encoding="utf-8")


def read_yaml(path: str) -> Any:
    """Read a YAML file of this package (safe loader: plain data only)."""
    return yaml.safe_load(read_text(path))


def files(folder: str, suffix: str) -> list[str]:
    """Return the paths, sorted, of the files directly in `folder` whose names end in `suffix`."""
    entries = resources.files(__name__).joinpath(folder).iterdir()
    return sorted(f"{folder}/{entry.name}" for entry in entries if entry.name.endswith(suffix))


def avro(subject: str) -> str:
    """Return the current Avro schema of a subject, as JSON text with docs and defaults."""
    return read_text(f"avro/{subject}.avsc")


def history(subject: str) -> list[str]:
    """Return every published version of a subject's schema, the first one first; the last is current."""
    paths = files(f"avro/history/{subject}", ".avsc")
    return [read_text(path) for path in sorted(paths, key=_version)]


class ReferenceFeed(msgspec.Struct, frozen=True):
    """A feed of reference data.

    Attributes:
        kind: what its items are to rules.
        named_by: the field that names one.
        subject: its Avro schema's.
        broadcast: whether every partition of the customer stage keeps its rows.
    """

    kind: str
    named_by: str
    subject: str
    broadcast: bool = True


def references() -> dict[str, ReferenceFeed]:
    """Return the feeds of reference data by name."""
    return msgspec.convert(read_yaml("references.yaml")["references"], dict[str, ReferenceFeed])


def event_types() -> dict[str, EventType]:
    """Return the documented event types by name. Types that are not here are accepted all the same."""
    document = read_yaml("event_types.yaml")
    meanings = document["properties"]
    found = {}
    for name, entry in document["events"].items():
        properties = {key: meanings[key] for key in entry.get("properties", ())}
        found[name] = EventType(name, tuple(entry["channels"]), properties)
    return found


def _version(path: str) -> int:
    return int(path.rpartition("/")[2].removesuffix(".avsc"))
