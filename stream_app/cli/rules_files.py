"""The rules that `raccord rules` is about: a folder's, or those that ship."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stream_app.app import rule_files
from stream_app.domain.rules import Rule, RuleError, load_rule
from stream_app.errors import UserError

SHIPPED = "schemas/rules, as shipped"

Folder = Annotated[
    Path | None,
    typer.Option(
        "--rules",
        metavar="FOLDER",
        envvar="RACCORD_RULES",
        help="Rule files (*.yaml) other than those that ship.",
    ),
]


def texts(folder: Path | None, suffix: str = ".yaml") -> list[tuple[str, str]]:
    """Return (name, text) of the files of a folder, or of those that ship.

    Raises:
        UserError: they can't be read.
    """
    if folder is not None and not folder.is_dir():
        msg = f"{folder} is no folder: --rules (or RACCORD_RULES) names one with rule files in it"
        raise UserError(msg)
    try:
        return rule_files(folder, suffix)
    except OSError as error:
        msg = f"{error.filename} can't be read: {error.strerror}"
        raise UserError(msg) from error


def in_force(folder: Path | None) -> dict[str, Rule]:
    """Return the rules by name, of several versions the highest.

    Raises:
        UserError: a file can't be read, or is wrong.
    """
    rules: dict[str, Rule] = {}
    try:
        for source, text in texts(folder):
            rule = load_rule(text, source)
            known = rules.get(rule.name)
            if known is None or known.version < rule.version:
                rules[rule.name] = rule
    except RuleError as error:
        raise UserError(str(error)) from error
    return rules


def place(folder: Path | None) -> str:
    """Return where the rules come from, in words."""
    return SHIPPED if folder is None else str(folder)
