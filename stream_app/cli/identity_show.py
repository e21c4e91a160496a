"""`raccord identity explain | show`: what the workers know of identifiers, read from their changelogs."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress

from stream_app.app import identifier_of, load_policy, topics_of
from stream_app.cli.identity_customer import customer_lines, customer_object
from stream_app.cli.identity_text import explained, explanation_object
from stream_app.cli.worker import reach, read_settings
from stream_app.domain.explain import explain as explanation_of
from stream_app.domain.refusal import Refused
from stream_app.errors import Exit, UserError
from stream_app.runs.history import changes_of
from stream_app.runs.state_reader import StateReader
from stream_app.wire import OutputReader, open_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.domain.identities import Identities
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.engine import changelog
    from stream_app.runs.state_reader import Component, Report
    from stream_app.settings import Settings
    from stream_app.topology import Topics

A = Annotated[str, typer.Argument(metavar="A", help="An identifier: namespace:value.")]
B = Annotated[str, typer.Argument(metavar="B", help="Another one.")]
One = Annotated[str, typer.Argument(metavar="ID", help="An identifier: namespace:value.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]


def explain(a: A, b: B, as_json: Json = False) -> None:
    """Say why two identifiers are one customer's, or why they aren't. It shows identifiers: it is for operators."""
    settings = read_settings()
    policy = load_policy(settings)
    first, second = named(settings, policy, {"A": a, "B": b})
    with opened(settings, policy) as (reader, _):
        component = _known(reader, first)
        other = component if second in component.identities.naming else _known(reader, second)
        found = explanation_of(component.identities, first, second)
        ids = (
            reader.customer_id(component.identities, first),
            reader.customer_id(other.identities, second),
        )
    complete = component.complete and other.complete
    if as_json:
        shown = {"customers": ids, "complete": complete, **explanation_object(found)}
        typer.echo(json.dumps(shown, ensure_ascii=False))
        return
    typer.echo("\n".join(explained(found)))
    typer.echo(f"customer {ids[0]}" if found.same else f"customers {ids[0] or 'none'} and {ids[1] or 'none'}")
    _warn(complete=complete)


def show(identifier: One, as_json: Json = False) -> None:
    """Show the customer that holds an identifier, and the evidence. It shows identifiers: it is for operators."""
    settings = read_settings()
    policy = load_policy(settings)
    (name,) = named(settings, policy, {"ID": identifier})
    with opened(settings, policy) as (reader, topics):
        component = _known(reader, name)
        shown = customer_object(component, name, reader.customer_id(component.identities, name))
    customers = [shown["customer_id"]] if shown["customer_id"] else []
    registry = open_registry(settings.registry_url) if settings.registry_url else None
    shown["history"] = changes_of(
        customers, settings.bootstrap_servers, topics.changes, settings.partitions, OutputReader(registry)
    )
    if as_json:
        typer.echo(json.dumps(shown, ensure_ascii=False, default=str))
        return
    typer.echo("\n".join(customer_lines(component.identities, name, shown)))
    _warn(complete=component.complete)


@contextmanager
def opened(settings: Settings, policy: IdentityPolicy) -> Iterator[tuple[StateReader, Topics]]:
    """Open a deployment's state, with bars on stderr for what takes long.

    Raises:
        EnvironmentMissing: no broker answers.
        UserError: a topic is missing.
    """
    topics = topics_of(settings)
    reach(settings, [topics.changelogs["resolve"], topics.changelogs["customer"], topics.changes])
    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as bars,
        StateReader(settings, policy, topics, _reporting(bars)) as reader,
    ):
        yield reader, topics


def _reporting(bars: Progress) -> Report:
    tasks: dict[tuple[str, int], Any] = {}

    def report(topic: str, partition: int, progress: changelog.Progress) -> None:
        where = (topic, partition)
        if where not in tasks:
            tasks[where] = bars.add_task(f"{topic}/{partition}", total=progress.total)
        bars.update(tasks[where], completed=progress.done, total=progress.total)

    return report


def named(settings: Settings, policy: IdentityPolicy, written: dict[str, str]) -> tuple[str, ...]:
    """Return identifiers as events carry them, in the order in which they were written.

    Raises:
        UserError: one of them is none.
    """
    identifier = identifier_of(settings, policy)
    try:
        identifier.named(written)
    except Refused as refusal:
        raise UserError(refusal.detail) from refusal
    except ValueError:
        raise UserError("what you wrote holds bytes that are no text") from None
    return tuple(str(identifier.one(text)) for text in written.values())


def _known(reader: StateReader, name: str) -> Component:
    """Return the component of an identifier.

    Raises:
        UserError: there is none.
    """
    component = reader.component(name)
    if component is not None:
        known = component.identities
        if name in known.naming or name in known.all.groups or any(name in names for names in _said(known)):
            return component
    msg = (
        f"the workers know no identifier {name}: no event that stands names it "
        "(RACCORD_CUSTOMER_KEY, RACCORD_PREFIX and RACCORD_PARTITIONS must be as the workers have them)"
    )
    raise UserError(msg, Exit.FAILED)


def _said(identities: Identities) -> Iterator[tuple[str, ...]]:
    """Yield whom operators have spoken of."""
    yield from identities.verdicts
    yield from ((name,) for name in identities.marks)


def _warn(*, complete: bool) -> None:
    if not complete:
        typer.echo("a merge is under way: more evidence is on its way; look again in a moment", err=True)
