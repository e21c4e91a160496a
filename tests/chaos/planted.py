"""`make chaos-planted`: each bug is planted in turn, provoked and found; the table goes to results/planted_bugs.json.

    python -m tests.chaos.planted [BUG ...]

A sound worker goes through the same provocations, and nothing is found. The exit code is 1 if a bug is not found, or
something is found where there is none.
"""

from __future__ import annotations

import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

from stream_app.embedded.broker import EmbeddedKafka
from tests import domain_sabotage, engine_sabotage
from tests.chaos import domain_provocations, provocations, results

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN = 160


class Tried(NamedTuple):
    """One provocation, with a bug planted or with none."""

    bug: str | None
    provoked_by: str
    noticed: str | None
    seconds: float

    @property
    def as_it_must_be(self) -> bool:
        """Whether a bug was found, and nothing where there is none."""
        return (self.bug is None) == (self.noticed is None)


def main(wanted: Sequence[str]) -> int:
    """Try the bugs that are named, or all; return the exit code."""
    console = Console()
    bugs = [bug for bug in (*engine_sabotage.PLANTS, *domain_sabotage.PLANTS) if not wanted or bug in wanted]
    tried: list[Tried] = []
    with (
        tempfile.TemporaryDirectory(prefix="raccord-planted-") as folder,
        EmbeddedKafka(Path(folder) / "kafka") as kafka,
    ):
        for bug in [*bugs, None]:
            for what in [of(bug)] if bug is not None else dict.fromkeys(map(of, bugs)):
                console.print(f"{bug or 'nothing planted'}: {what} ...", highlight=False)
                began = time.monotonic()
                said = provoke(kafka.bootstrap_servers, Path(folder) / uuid.uuid4().hex, bug, what)
                tried.append(Tried(bug, what, said, round(time.monotonic() - began, 1)))
                console.print(f"    {said or 'nothing noticed'}"[:_SHOWN], markup=False, highlight=False)
    table = Table("planted", "provoked by", "noticed", "s")
    for one in tried:
        mark = "" if one.as_it_must_be else "[red]NOT AS IT MUST BE[/] "
        table.add_row(
            one.bug or "nothing",
            one.provoked_by,
            mark + (one.noticed or "nothing")[:_SHOWN],
            str(one.seconds),
        )
    console.print(table)
    if not wanted:
        rows = [{**one._asdict(), "as_it_must_be": one.as_it_must_be} for one in tried]
        console.print(f"written: {results.write('planted_bugs', {'tried': rows})}")
    return 0 if all(one.as_it_must_be for one in tried) else 1


def of(bug: str) -> str:
    """Return the name of what provokes a bug."""
    if bug in domain_sabotage.PLANTS:
        return STORY
    return provocations.PROVOKED_BY[bug].__name__


def provoke(bootstrap: str, folder: Path, bug: str | None, what: str) -> str | None:
    """Provoke a bug and return what was noticed, or None."""
    if what == STORY:
        return domain_provocations.noticed(bootstrap, folder, bug)
    (call,) = {call for call in provocations.PROVOKED_BY.values() if call.__name__ == what}
    with provocations.job(bootstrap, f"t{uuid.uuid4().hex[:10]}.", folder) as run:
        return provocations.noticed(run, bug, call)


STORY = "components_that_join"

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
