"""`raccord rules explain | why-not`: why a trigger was sent, or why it wasn't, from topics and changelogs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from stream_app.app import load_policy, load_rules, topics_of
from stream_app.cli.identity_show import named, opened
from stream_app.cli.rules_text import decision_line, history_lines, trace_lines, trace_object
from stream_app.cli.worker import reach, read_settings
from stream_app.domain.rules.trace import trace
from stream_app.errors import Exit, UserError
from stream_app.runs.topic_reader import messages
from stream_app.runs.trigger_history import decisions_of, history_of
from stream_app.wire import OutputReader, open_registry

if TYPE_CHECKING:
    from stream_app.domain.rules import Rule, RuleBook
    from stream_app.runs.state_reader import StateReader
    from stream_app.runs.trigger_history import Record
    from stream_app.settings import Settings
    from stream_app.topology import Topics

LEAST = 8
"""Characters of a trigger id that are enough to look for it."""

Json = Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")]


def explain(
    trigger: Annotated[str, typer.Argument(metavar="TRIGGER_ID", help="An id, or how one begins.")],
    as_json: Json = False,
) -> None:
    """Show what became of a trigger, and why. It shows identifiers and addresses: it is for operators."""
    beginning = trigger.strip().lower()
    if len(beginning) < LEAST:
        msg = f"give {LEAST} characters of the trigger id at least"
        raise UserError(msg)
    settings = read_settings()
    topics = topics_of(settings)
    reach(settings, [*topics.triggers.values(), topics.decisions])
    found = history_of(beginning, settings, topics, _reader(settings))
    if not found:
        msg = f"the topics know no trigger {beginning}: it never was, or is older than they keep"
        raise UserError(msg, Exit.FAILED)
    if len(found) > 1:
        msg = f"several triggers begin so: {', '.join(sorted(found))}"
        raise UserError(msg)
    ((name, history),) = found.items()
    if as_json:
        typer.echo(json.dumps({"trigger_id": name, **history._asdict()}, ensure_ascii=False, default=str))
    else:
        typer.echo("\n".join(history_lines(name, history)))


def why_not(
    customer: Annotated[
        str, typer.Argument(metavar="CUSTOMER", help="An identifier, namespace:value, or a customer id.")
    ],
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The rule's name.")],
    as_json: Json = False,
) -> None:
    """Say what a rule decided about a customer, and what it sees in the timeline. It is for operators."""
    settings = read_settings()
    policy, book = load_policy(settings), load_rules(settings)
    wanted = _rule(book, rule)
    with opened(settings, policy) as (state, topics):
        reach(settings, [topics.decisions, topics.profiles])
        if ":" in customer:
            (name,) = named(settings, policy, {"CUSTOMER": customer})
        else:
            name = _identifier_of(customer.strip().lower(), settings, topics, state)
        holder = state.holder(name)
    if holder is None:
        msg = "the workers know no such customer: no event that stands names that identifier"
        raise UserError(msg, Exit.FAILED)
    ids = {event.event_id for event in holder.events}

    def concerns(decision: Record) -> bool:
        return decision["customer_id"] == holder.id or decision["opened_by"] in ids

    decisions = decisions_of(wanted.name, concerns, settings, topics, _reader(settings))
    seen = trace(wanted, book, holder.events, holder.references)
    if as_json:
        said = {"customer_id": holder.id, "rule": wanted.name, "version": wanted.version}
        said |= {"complete": holder.complete, "decisions": decisions, "sees": trace_object(seen)}
        typer.echo(json.dumps(said, ensure_ascii=False, default=str))
        return
    lines = [f"customer {holder.id}, rule {wanted.name} version {wanted.version}", "decided"]
    lines += [f"  {decision_line(decision)}" for decision in decisions] or ["  nothing"]
    lines += ["sees in the timeline", *(f"  {line}" for line in trace_lines(seen))]
    typer.echo("\n".join(lines))
    if not holder.complete:
        typer.echo("events are on the move: more may come; look again in a moment", err=True)


def _rule(book: RuleBook, name: str) -> Rule:
    for rule in book.rules:
        if rule.name == name:
            return rule
    msg = f"there is no rule {name}; there are: {', '.join(rule.name for rule in book.rules)}"
    raise UserError(msg)


def _identifier_of(customer: str, settings: Settings, topics: Topics, state: StateReader) -> str:
    """Return an identifier of the customer with an id, as the latest profile says.

    Raises:
        UserError: there is no such profile.
    """
    place = (topics.profiles, state.partition(customer))
    value: bytes | None = None
    for message in messages(settings.bootstrap_servers, [place]):
        if message.key() == customer.encode():
            value = message.value()
    if value is None:
        msg = (
            f"there is no customer {customer} (any more): `raccord identity show` of an identifier tells what "
            "became of whoever had it"
        )
        raise UserError(msg, Exit.FAILED)
    return str(_reader(settings).read(value)[1]["identifiers"][0])


def _reader(settings: Settings) -> OutputReader:
    return OutputReader(open_registry(settings.registry_url) if settings.registry_url else None)
