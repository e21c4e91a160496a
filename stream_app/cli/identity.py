"""`raccord identity`: who is who, as an operator says it and as the workers see it.

Each subcommand is a function of a module beside this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stream_app.cli import identity_check, identity_commands, identity_show, identity_suspects

if TYPE_CHECKING:
    from collections.abc import Callable

SUBCOMMANDS: dict[str, Callable[..., None]] = {
    "assert": identity_commands.assert_pair,
    "deny": identity_commands.deny,
    "withdraw": identity_commands.withdraw,
    "block": identity_commands.block,
    "release": identity_commands.release,
    "erase": identity_commands.erase,
    "explain": identity_show.explain,
    "show": identity_show.show,
    "suspects": identity_suspects.suspects,
    "check": identity_check.check,
}
"""Name of the subcommand -> its function, in the order of the help. A line is all it takes to add one."""

app = typer.Typer()
for _name, _function in SUBCOMMANDS.items():
    app.command(_name)(_function)
