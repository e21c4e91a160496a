"""What operators' commands do in a component (design: IDENTITY, "Operators").

Verdicts, blocks and releases are evidence: they are kept, the latest by its own time stands, and who is who is
computed anew. An erasure is not: it takes evidence away (see `erasing`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.commands import Op, verdict_of
from stream_app.domain.effects import Change, IdentityChange, cause_of

if TYPE_CHECKING:
    from stream_app.domain.commands import Command
    from stream_app.domain.customer import At, Customers

_CHANGES = {
    Op.ASSERT: Change.ASSERTED,
    Op.DENY: Change.DENIED,
    Op.WITHDRAW: Change.WITHDRAWN,
    Op.BLOCK: Change.BLOCKED,
    Op.RELEASE: Change.RELEASED,
}


class Operators:
    """Follows commands, but for erasures, at the components of one partition."""

    def __init__(self, customers: Customers) -> None:
        """Work on the rows of `customers`."""
        self._customers = customers

    def follow(self, at: At, command: Command, stamp: int) -> None:
        """Do what a command asks for."""
        customers, names = self._customers, command.identifiers
        home = customers.home(at)
        cause = cause_of(command, names)
        ids = customers.ids(at, home, names)
        customers.effects.identity(IdentityChange(_CHANGES[command.op], ids, ids, cause))
        identities = home.identities
        before = identities.verdicts.get((names[0], names[-1]))
        if customers.verdicts.note(at, home, names, verdict_of(command)):
            judged = identities.judge(names, before)
            if not judged:
                identities.compute()
            customers.changed(at, home, cause, stamp, thorough=not judged)
