"""`raccord rules list`: what rules there are, as their files say it."""

from __future__ import annotations

import json
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from stream_app.agents.feeds import left_out
from stream_app.cli.rules_files import Folder, in_force, place, texts
from stream_app.cli.worker import read_settings
from stream_app.domain.rules import load_rule

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from stream_app.domain.rules import Rule


WIDTH = 100
"""Of a description's lines."""


def list_rules(
    rules: Folder = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for programs.")] = False,
) -> None:
    """List the rules: what each is for, what opens it, and when it is due."""
    listed = _listed(rules, read_settings().references)
    if as_json:
        for one in listed:
            typer.echo(json.dumps(one, ensure_ascii=False))
        return
    typer.echo(f"{len(listed)} rules from {place(rules)}")
    for one in listed:
        typer.echo("\n".join(_lines(one)))


def _lines(one: dict[str, Any]) -> list[str]:
    replaced = "" if one["in_force"] else ", replaced by a higher version"
    channels = f", by {', '.join(one['channel'])}" if one["channel"] else ""
    return [
        f"{one['name']} version {one['version']}{replaced}: {one['purpose']}{channels}",
        f"  opens: {one['opens']}",
        f"  due: {one['due']}",
        *(f"  lacks {feed}, which RACCORD_REFERENCES leaves out: {by}" for feed, by in one["lacks"].items()),
        *wrap(one["description"], WIDTH, initial_indent="  ", subsequent_indent="  "),
    ]


def _listed(folder: Path | None, feeds: Collection[str]) -> list[dict[str, Any]]:
    current = in_force(folder)
    found = [(load_rule(text, source), source, text) for source, text in texts(folder)]
    return [
        _described(rule, source, text, in_force=rule.version == current[rule.name].version)
        | {"lacks": {one.feed: f"{one.needed_by} needs it" for one in left_out(rule, feeds)}}
        for rule, source, text in sorted(found, key=lambda one: (one[0].name, one[0].version))
    ]


def _described(rule: Rule, source: str, text: str, *, in_force: bool) -> dict[str, Any]:
    written = _written(yaml.compose(text, Loader=yaml.SafeLoader))
    return {
        "name": rule.name,
        "version": rule.version,
        "in_force": in_force,
        "purpose": rule.purpose,
        "channel": list(rule.channel),
        "opens": opening(written),
        "due": due(written),
        "description": " ".join(rule.description.split()),
        "file": source,
    }


def _written(node: yaml.Node | None) -> Any:
    """Return a document as it is written: to YAML, 09:00 is a number."""
    if isinstance(node, yaml.MappingNode):
        return {str(key.value): _written(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_written(item) for item in node.value]
    return "" if node is None else str(node.value).strip()


def opening(rule: dict[str, Any]) -> str:
    """Return in words what opens a rule."""
    if "near" in rule:
        return f"near: {_flow(rule['near'])}"
    opens = dict(rule["opens"])
    if "event" in opens:
        words = _event(opens)
    elif "sequence" in opens:
        words = ", then ".join(_event(step) for step in opens["sequence"])
    else:
        words = ""
    rest = {name: value for name, value in opens.items() if name not in {"event", "if", "sequence"}}
    return ", ".join(part for part in (words, _flow(rest)) if part)


def _event(pattern: dict[str, Any]) -> str:
    names = pattern["event"]
    words = names if isinstance(names, str) else " or ".join(names)
    return f"{words} if {pattern['if']}" if "if" in pattern else words


def due(rule: dict[str, Any]) -> str:
    """Return in words when a trigger of a rule is due."""
    if "due_at" in rule:
        return _flow(rule["due_at"])
    after = rule.get("after", "0s")
    words = f"after {after}" if int(after.rstrip("dhms")) else "at once"
    return f"{words}, on {_event(rule['then'])}" if "then" in rule else words


def _flow(value: Any) -> str:
    """Return a value on one line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {_flow(part)}".strip() for name, part in value.items())
    if isinstance(value, list):
        return " or ".join(map(_flow, value))
    return str(value)
