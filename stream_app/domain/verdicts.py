"""What operators have said of a component's identifiers: kept, and brought into its evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.keys import names_key

if TYPE_CHECKING:
    from stream_app.domain.commands import Verdict
    from stream_app.domain.customer import At, Customers
    from stream_app.domain.evidence import Home
    from stream_app.domain.partition import Names


class Verdicts:
    """Keeps the verdicts of one partition's components."""

    def __init__(self, customers: Customers) -> None:
        """Work on the rows of `customers`."""
        self._customers = customers

    def note(self, at: At, home: Home, names: Names, verdict: Verdict) -> bool:
        """Keep a verdict; return whether it stands. If so, `compute` and `changed` must follow.

        One about a pair that names who was erased since is not kept.
        """
        customers = self._customers
        if len(names) > 1 and any(
            verdict.time <= customers.erasures.until(at.prefix, name) for name in names
        ):
            return False
        key = names_key(at.prefix, names)
        before = customers.tables.verdicts.get(key) or []
        verdicts = [one for one in before if one.command_id != verdict.command_id]
        place = next((n for n, one in enumerate(verdicts) if not verdict.beats(one)), len(verdicts))
        verdicts.insert(place, verdict)
        customers.tables.verdicts.put(key, verdicts)
        if not at.header.judged:
            at.header.judged = True
            customers.put_header(at)
        if before and before[-1] == verdicts[-1]:
            return False
        if len(names) == 1:
            home.identities.marks[names[0]] = verdicts[-1]
        else:
            home.identities.verdicts[names[0], names[1]] = verdicts[-1]
        return True

    def forget(self, at: At, home: Home) -> None:
        """Drop the verdicts about pairs that name who was erased since; `compute` must follow."""
        customers = self._customers
        for pair in list(home.identities.verdicts):
            until = max(customers.erasures.until(at.prefix, name) for name in pair)
            key = names_key(at.prefix, pair)
            left = [verdict for verdict in customers.tables.verdicts.get(key) or [] if verdict.time > until]
            if left:
                customers.tables.verdicts.put(key, left)
            else:
                customers.tables.verdicts.delete(key)
                del home.identities.verdicts[pair]
