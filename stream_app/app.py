"""Composition root: settings in, a worker out. The only module that knows every other."""

from __future__ import annotations

from importlib.metadata import version
from string import ascii_lowercase
from typing import TYPE_CHECKING

import structlog
from msgspec.structs import replace

import schemas
from stream_app.agents.commands import Commands
from stream_app.agents.customer import CustomerStage
from stream_app.agents.dead_letters import DeadLetters
from stream_app.agents.feeds import left_out
from stream_app.agents.in_force import InForce, Terms, Written
from stream_app.agents.ingest import Ingest
from stream_app.agents.numbers import Bill, Bills, NumbersStage, WithNumbers
from stream_app.agents.references import Broadcast, References
from stream_app.agents.reload import Reload
from stream_app.agents.resolve import Resolve
from stream_app.agents.rules import RulesRow
from stream_app.domain.folding import FoldLimits
from stream_app.domain.identifiers import Identifier
from stream_app.domain.labels import Labels
from stream_app.domain.messages import Topic
from stream_app.domain.numbers import EDITION, SPEND
from stream_app.domain.policy import IdentityPolicy, PolicyError
from stream_app.domain.rows import (
    RESOLVER_TABLES,
    ROWS_VERSION,
    SEGMENT_TABLES,
    customer_tables,
    number_tables,
)
from stream_app.domain.rules import Rule, RuleBook, RuleError, SendingPolicy, Shadow, load_rule
from stream_app.domain.rules.sending_loader import load_sending_policy
from stream_app.domain.segments import SegmentBook, load_segment
from stream_app.engine import topics as kafka_topics
from stream_app.engine.errors import FatalError
from stream_app.engine.pace import Pace
from stream_app.engine.stage import Stage
from stream_app.engine.store import TableSpec
from stream_app.engine.worker import Worker, WorkerConfig
from stream_app.errors import UserError
from stream_app.settings import DEVELOPMENT_KEY, NO_POLICY
from stream_app.topology import TAKEN, Topics
from stream_app.wire import (
    CommandDecoder,
    Decoder,
    Encoder,
    Intake,
    Limits,
    Output,
    ReferenceDecoder,
    RegistryUnavailable,
    open_registry,
    subject_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stream_app.agents.references import Taker
    from stream_app.domain import rows
    from stream_app.engine.task import Task
    from stream_app.settings import Settings
    from stream_app.wire import Registry

VERSION = version("raccord")
log = structlog.get_logger(__name__)


def load_rules(settings: Settings) -> RuleBook:
    """Read the rule files and the sending policy of a deployment.

    Raises:
        UserError: a file is wrong; the message says which, where (line and column) and what to do.
    """
    return read_rules(settings, load_policy(settings)).book


def read_rules(settings: Settings, identity: IdentityPolicy, segments: SegmentBook | None = None) -> Written:
    """Read the same, and the shadow rules if the settings name a folder of them.

    `segments` are what conditions ask for; None: those that the settings name.

    Raises:
        UserError: a file is wrong; the message says which, where (line and column) and what to do.
    """
    try:
        rules = _rules_in(settings.rules)
        beside = [] if settings.shadow_rules is None else _rules_in(settings.shadow_rules)
        policy = _sending_policy(settings, identity)
    except RuleError as error:
        raise UserError(str(error)) from error
    except UnicodeDecodeError as error:
        msg = f"a file of {settings.rules or 'the rules'} or the sending policy is no UTF-8 text: save it as such"
        raise UserError(msg) from error
    except OSError as error:
        msg = f"{error.filename} can't be read: {error.strerror}"
        raise UserError(msg) from error
    if not rules:
        msg = f"there is no rule file (*.yaml) in {settings.rules}"
        raise UserError(msg)
    book = RuleBook(rules, policy, segments=load_segments(settings) if segments is None else segments)
    return Written(book, Shadow(beside, book) if beside else None)


def _rules_in(folder: Path | None) -> list[Rule]:
    """Read the rules of a folder.

    Raises:
        RuleError: one is wrong, or has a name that it can't have.
    """
    rules = []
    for source, text in rule_files(folder):
        rules.append(load_named_rule(text, source))
    return rules


def load_named_rule(text: str, source: str) -> Rule:
    """Read a rule that a deployment can run.

    Raises:
        RuleError: it is wrong, or has a name that it can't have.
    """
    rule = load_rule(text, source)
    if rule.name in TAKEN:
        raise RuleError(source, 1, 1, f"name: triggers.{rule.name} is another topic; take another name")
    return rule


def _sending_policy(settings: Settings, identity: IdentityPolicy) -> SendingPolicy:
    path = settings.sending_policy
    if path == NO_POLICY:
        return SendingPolicy()
    shipped = "policies/sending.yaml"
    policy = load_sending_policy(
        schemas.read_text(shipped) if path is None else _text(path), str(path or shipped)
    )
    identifier, addresses = identifier_of(settings, identity), policy.addresses
    suppressed = (identifier.one(name) for name in policy.suppressed)
    return replace(
        policy,
        suppressed=frozenset(name for name in suppressed if isinstance(name, str)),
        # A hash is no address.
        addresses=addresses and {name: to for name, to in addresses.items() if name not in identity.hashed},
    )


def rule_files(folder: Path | None, suffix: str = ".yaml") -> list[tuple[str, str]]:
    """Return (name, text) of the files of a folder of rules; None: of the rules that ship."""
    if folder is None:
        return [(name, schemas.read_text(name)) for name in schemas.files("rules", suffix)]
    return [(str(path), _text(path)) for path in sorted(folder.glob(f"*{suffix}"))]


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: it is no UTF-8 text: save it as UTF-8") from error


def load_segments(settings: Settings) -> SegmentBook:
    """Read the segment files of a deployment.

    Raises:
        UserError: a file is wrong; the message says which, where (line and column) and what to do.
    """
    if settings.segments is None:
        sources = [(name, schemas.read_text(name)) for name in schemas.files("segments", ".yaml")]
    else:
        sources = rule_files(settings.segments)
    try:
        return SegmentBook([load_segment(text, source) for source, text in sources])
    except RuleError as error:
        raise UserError(str(error)) from error


def load_policy(settings: Settings) -> IdentityPolicy:
    """Read the identity policy of a deployment.

    Raises:
        UserError: the file is wrong; the message says where.
    """
    path = settings.identity_policy
    try:
        return IdentityPolicy.from_yaml(
            schemas.read_text("policies/identity.yaml") if path is None else _text(path)
        )
    except PolicyError as error:
        raise UserError(f"{path or 'policies/identity.yaml'}: {error}") from error


def identifier_of(settings: Settings, policy: IdentityPolicy) -> Identifier:
    """Return what finds identifiers in a deployment, under its key.

    Raises:
        UserError: values are to be hashed with the key that everybody knows: that would hide nothing.
    """
    key = settings.customer_key.get_secret_value()
    if policy.hashed and key == DEVELOPMENT_KEY:
        msg = (
            f"the policy has {', '.join(sorted(policy.hashed))} hashed, and the key is the one that everybody knows: "
            "set RACCORD_CUSTOMER_KEY"
        )
        raise UserError(msg)
    return Identifier(policy, key.encode())


def topics_of(settings: Settings) -> Topics:
    """Return the topics of a deployment."""
    return _topics(settings, load_rules(settings))


def build(settings: Settings) -> Worker:
    """Compose a worker.

    Raises:
        TopicsError: topics are missing or wrongly configured.
        FatalError: no broker answers.
        RegistryUnavailable: no schema registry answers.
    """
    policy = load_policy(settings)
    segments = load_segments(settings)
    written = read_rules(settings, policy, segments)
    topics = _topics(settings, written.book)
    kafka_topics.check(settings.bootstrap_servers, topics.specs(settings))
    in_force = InForce(_terms(settings, written, topics))
    stages = _stages(settings, in_force, policy, segments)
    reload = Reload(_watched(settings), RuleFiles(settings, policy, segments), in_force)

    def ready() -> None:
        _warn_of_feeds_left_out(settings, written.book)  # now that nothing else is wrong
        reload.start()

    return Worker(
        _config(settings, topics),
        [stage for stage in stages if stage.name in settings.stages],
        dispatcher=DeadLetters(topics.dead_letters, VERSION),
        observer=WithNumbers(),
        on_ready=ready,
        between_epochs=reload.take_over,
    )


class RuleFiles:
    """Where a running worker's rules come from: the files that its settings name."""

    def __init__(self, settings: Settings, identity: IdentityPolicy, segments: SegmentBook) -> None:
        """Read what these settings name; the identity policy and the segments stay those that the worker runs."""
        self._settings = settings
        self._identity = identity
        self._segments = segments

    def read(self) -> Written:
        """Read the files.

        Raises:
            UserError: one is wrong; the message says which, where and what to do.
        """
        return read_rules(self._settings, self._identity, self._segments)

    def terms(self, written: Written) -> Terms:
        """Return what is needed to go by what is written.

        Raises:
            UserError: a topic is missing or wrongly configured, or nobody answers who could tell.
        """
        settings, topics = self._settings, _topics(self._settings, written.book)
        needed = [spec for spec in topics.specs(settings) if spec.name in topics.triggers.values()]
        try:
            kafka_topics.check(settings.bootstrap_servers, needed)
            _warn_of_feeds_left_out(settings, written.book)
            return _terms(settings, written, topics)
        except FatalError as error:
            raise UserError(str(error)) from error
        except RegistryUnavailable as error:
            msg = f"no schema registry answers at {settings.registry_url}: check RACCORD_REGISTRY_URL"
            raise UserError(msg) from error


def _warn_of_feeds_left_out(settings: Settings, book: RuleBook) -> None:
    """Say which rules look at reference data that never come: no mistake, but they are silent, in whole or in part."""
    for rule in book.rules if "customer" in settings.stages else ():
        for one in left_out(rule, settings.references):
            log.warning(
                "rule_without_feed",
                rule=rule.id,
                feed=one.feed,
                needed_by=one.needed_by,
                then="it sees none of that; name the feed in RACCORD_REFERENCES, or take the rule out",
            )


def _watched(settings: Settings) -> list[Path]:
    """Return the files and folders that rules are read from, but for those that ship: they change with the program."""
    named = (settings.rules, settings.shadow_rules, settings.sending_policy)
    return [path for path in named if path is not None and path != NO_POLICY]


def in_force_of(settings: Settings) -> InForce:
    """Return what the customer stage goes by at first, and ask no broker whether there are topics for it."""
    written = read_rules(settings, load_policy(settings))
    return InForce(_terms(settings, written, _topics(settings, written.book)))


def _topics(settings: Settings, book: RuleBook) -> Topics:
    return Topics.of(settings, tuple(rule.name for rule in book.rules))


def _terms(settings: Settings, written: Written, topics: Topics) -> Terms:
    return Terms(written, topics, _encoder(_registry(settings), topics))


def _registry(settings: Settings) -> Registry | None:
    return open_registry(settings.registry_url) if settings.registry_url else None


def _stages(
    settings: Settings, in_force: InForce, policy: IdentityPolicy, segments: SegmentBook | None = None
) -> tuple[Stage, ...]:
    segments = load_segments(settings) if segments is None else segments
    registry, topics = _registry(settings), in_force.terms.topics
    limits = Limits(value_bytes=settings.max_value_bytes, max_future=settings.max_future_ms)
    decoder, commands = Decoder(registry, limits), CommandDecoder(registry, limits)
    identifier = identifier_of(settings, policy)
    dead_letters = DeadLetters(topics.dead_letters, VERSION)
    key = settings.customer_key.get_secret_value().encode()
    labels = Labels(policy, key)
    channel_of = {topic: channel for channel, topic in topics.channels.items()}
    folding = FoldLimits(events=settings.fold_events)
    form = f"{ROWS_VERSION}/{policy.order_digest}"
    routes = {Topic.LOOKUP: topics.lookup, Topic.COMPONENTS: topics.components}

    intake = Intake(decoder, identifier, labels)

    feeds = schemas.references()
    reading = {
        topic: (name, ReferenceDecoder(feeds[name], registry, limits))
        for name, topic in topics.references.items()
    }

    def takers(task: Task, feed: schemas.ReferenceFeed) -> tuple[Taker, ...]:
        if feed.kind == SPEND:
            return (Bills(task, topics.increments),)
        if not feed.broadcast:
            return ()
        return (Broadcast(task, components=topics.components, partitions=settings.partitions),)

    def ingest(task: Task) -> Ingest | Commands | References:
        if task.tp.topic in reading:
            name, rows = reading[task.tp.topic]
            return References(
                task,
                feed=name,
                decoder=rows,
                dead_letters=dead_letters,
                takers=takers(task, feeds[name]),
            )
        if task.tp.topic == topics.commands:
            return Commands(
                task,
                lookup=topics.lookup,
                decoder=commands,
                identifier=identifier,
                labels=labels,
                dead_letters=dead_letters,
            )
        return Ingest(
            task,
            channel=channel_of[task.tp.topic],
            lookup=topics.lookup,
            intake=intake,
            dead_letters=dead_letters,
        )

    def resolve(task: Task) -> Resolve:
        return Resolve(task, topics=routes)

    def numbers(task: Task) -> NumbersStage:
        return NumbersStage(task, in_force)

    def customer(task: Task) -> CustomerStage:
        return CustomerStage(
            task,
            policy=policy,
            key=key,
            labels=labels,
            in_force=in_force,
            segments=segments,
            dead_letters=dead_letters,
            folding=folding,
        )

    told = tuple(topics.inputs.values())
    return (
        Stage(
            "ingest",
            (*told, topics.commands),
            topics.changelogs["ingest"],
            ingest,
            watermarks_to=topics.lookup,
        ),
        Stage(
            "resolve",
            (topics.lookup,),
            topics.changelogs["resolve"],
            resolve,
            with_prefixes(RESOLVER_TABLES),
            upstream=told,  # without the commands: they come seldom, and would hold a replay's time back
            watermarks_to=topics.components,
            form=form,
            loops=True,
        ),
        Stage(
            "customer",
            (topics.components,),
            topics.changelogs["customer"],
            customer,
            with_prefixes((*customer_tables(RulesRow), *SEGMENT_TABLES)),
            upstream=(topics.lookup,),
            form=form,
            loops=True,
        ),
        Stage(
            "numbers",
            (topics.increments,),
            topics.changelogs["numbers"],
            numbers,
            with_prefixes(number_tables(Bill)),
            upstream=(topics.components,),
            form=str(EDITION),
        ),
    )


def _encoder(registry: Registry | None, topics: Topics) -> Encoder:
    """Return what encodes the outputs; a registry is told of every subject, those that producers need too."""
    if registry is not None:
        for topic in topics.channels.values():
            registry.register(subject_of(topic), schemas.avro("channel_event"))
        feeds = schemas.references()
        for name, topic in topics.references.items():
            registry.register(subject_of(topic), schemas.avro(feeds[name].subject))
        registry.register(subject_of(topics.commands), schemas.avro("identity_command"))
    names = {
        Output.TIMELINE: [topics.timeline],
        Output.PROFILE: [topics.profiles],
        Output.SEGMENT: [topics.segments],
        Output.IDENTITY_CHANGE: [topics.changes],
        Output.TRIGGER: list(topics.triggers.values()),
        Output.DECISION: [topics.decisions],
        Output.SHADOW: [topics.shadow],
        Output.NUMBER: [topics.numbers],
    }
    return Encoder(registry, names)


def with_prefixes(specs: Sequence[rows.TableSpec]) -> tuple[TableSpec, ...]:
    """Give each of the domain's tables its prefix: the first free letter of its name, or of the alphabet."""
    taken: dict[bytes, TableSpec] = {}
    for spec in specs:
        prefix = next(
            bytes([letter])
            for letter in (spec.name + ascii_lowercase).encode()
            if bytes([letter]) not in taken
        )
        taken[prefix] = TableSpec(spec.name, prefix, spec.encode, spec.decode, spec.read_again)
    return tuple(taken.values())


def _config(settings: Settings, topics: Topics) -> WorkerConfig:
    return WorkerConfig(
        group=f"{settings.prefix}raccord",
        worker=settings.worker,
        bootstrap_servers=settings.bootstrap_servers,
        partitions=topics.partitions(settings),
        folder=settings.data / settings.worker,
        mode=settings.time,
        tolerance_ms=settings.tolerance_ms,
        max_ahead_ms=settings.max_ahead_ms,
        session_timeout_ms=settings.session_timeout_ms,
        transaction_timeout_ms=settings.transaction_timeout_ms,
        batch=settings.batch,
        max_bytes=settings.topic_max_bytes,
        cache_bytes=settings.cache_mib * 1024 * 1024,
        cached_rows=settings.cached_rows,
        standby_replicas=settings.standby_replicas,
        member_of=settings.member_of,
        pace=Pace(interval_s=settings.epoch_ms / 1000),
    )
