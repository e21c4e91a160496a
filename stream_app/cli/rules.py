"""`raccord rules`: what rules there are, whether they are right, why triggers were sent or not, what a shadow would do.

Each subcommand is a function of a module beside this one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from stream_app.cli import rules_check, rules_explain, rules_list, rules_shadow, rules_validate

if TYPE_CHECKING:
    from collections.abc import Callable

SUBCOMMANDS: dict[str, Callable[..., None]] = {
    "list": rules_list.list_rules,
    "check": rules_check.check,
    "validate": rules_validate.validate,
    "shadow": rules_shadow.shadow,
    "explain": rules_explain.explain,
    "why-not": rules_explain.why_not,
}
"""Name of the subcommand -> its function, in the order of the help. A line is all it takes to add one."""

app = typer.Typer()
for _name, _function in SUBCOMMANDS.items():
    app.command(_name)(_function)
