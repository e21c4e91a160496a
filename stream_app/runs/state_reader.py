"""What the workers know of one identifier's component, read from their changelogs.

Nothing is asked of the workers, and nothing is kept: the partition that holds an identifier's row is read from its
beginning, then the one that holds its component (and again wherever a redirect leads). What is read is what is
committed when the reading begins.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NamedTuple, Self

from kafka.partitioner.default import murmur2

from stream_app.app import with_prefixes
from stream_app.domain.customer import At
from stream_app.domain.customer_id import customer_id
from stream_app.domain.erasures import Erasures
from stream_app.domain.evidence import Evidence
from stream_app.domain.keys import label_key, slot_key
from stream_app.domain.labels import Labels
from stream_app.domain.partition import LinkRules
from stream_app.domain.ports import ComponentTables
from stream_app.domain.reference import References
from stream_app.domain.rows import RESOLVER_TABLES, customer_tables
from stream_app.domain.rule_fold import NoRules
from stream_app.domain.timeline import Timelines
from stream_app.engine.changelog import Restorer
from stream_app.engine.errors import EngineError
from stream_app.engine.store import MemoryRows, Store
from stream_app.errors import EnvironmentMissing

if TYPE_CHECKING:
    from collections.abc import Callable

    from stream_app.domain.event import Event
    from stream_app.domain.identities import Identities
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.rows import Header
    from stream_app.engine.changelog import Progress
    from stream_app.engine.store import Rows
    from stream_app.settings import Settings
    from stream_app.topology import Topics

    Report = Callable[[str, int, Progress], None]
    """Told of a long reading: topic, partition, how far."""

EVIDENCE = ("components", "sightings", "verdicts")
"""The tables that say who is who; all others follow from them, or hold events."""


class Component(NamedTuple):
    """What is known of one component.

    Attributes:
        label: its label.
        identities: who is who in it, settled.
        complete: whether no merge into it is under way: if one is, more evidence is on its way.
    """

    label: str
    identities: Identities
    complete: bool


class Holder(NamedTuple):
    """The customer that holds an identifier.

    Attributes:
        id: the customer id.
        events: the timeline, in order.
        complete: whether nothing is under way that may bring more events or take some.
        references: the reference data of her partition.
    """

    id: str
    events: list[Event]
    complete: bool
    references: References


class StateReader:
    """Reads the state of a deployment; a context manager."""

    def __init__(self, settings: Settings, policy: IdentityPolicy, topics: Topics, report: Report) -> None:
        """Connect. `settings` must be the workers': partitions, prefix, key, policy."""
        self._settings = settings
        self._policy = policy
        self._topics = topics
        self._report = report
        self._key = settings.customer_key.get_secret_value().encode()
        self._labels = Labels(policy, self._key)
        self._restorer = Restorer(
            {"bootstrap.servers": settings.bootstrap_servers, "log_level": 2},
            settings.transaction_timeout_ms / 1000 + 10,
        )
        self._resolver = {spec.name: spec for spec in with_prefixes(RESOLVER_TABLES)}
        self._customer = {spec.name: spec for spec in with_prefixes(customer_tables())}

    def __enter__(self) -> Self:
        """Return this reader."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Disconnect."""
        self._restorer.close()

    def component(self, identifier: str) -> Component | None:
        """Return the component that holds an identifier; None: the workers know no such identifier.

        Raises:
            EnvironmentMissing: the broker does not answer.
        """
        found = self._tables_of(identifier, self.evidence_only)
        if found is None:
            return None
        at, tables = found
        identities = self.evidence(tables).read(at.prefix, at.header)
        identities.settle()
        return Component(at.label, identities, complete=not at.header.incoming)

    def holder(self, identifier: str) -> Holder | None:
        """Return the customer that holds an identifier; None: no event that stands names it.

        Raises:
            EnvironmentMissing: the broker does not answer.
        """
        found = self._tables_of(identifier, lambda _: True)
        if found is None:
            return None
        at, tables = found
        identities = self.evidence(tables).read(at.prefix, at.header)
        identities.settle()
        group = identities.all.groups.get(identifier)
        name = self.customer_id(identities, identifier)
        if group is None or name is None:
            return None
        timelines = Timelines(tables.events, tables.timeline, NoRules().removed)
        events = list(timelines.history(slot_key(at.prefix, group.slot)))
        complete = not (at.header.incoming or at.header.repairing)
        return Holder(name, events, complete, References(tables))

    def customer_id(self, identities: Identities, identifier: str) -> str | None:
        """Return the id of the customer that holds an identifier, or None."""
        group = identities.all.groups.get(identifier)
        return None if group is None or group.first is None else customer_id(group.first[2], self._key)

    def evidence_only(self, key: bytes) -> bool:
        """Tell whether a changelog's key is of a row that says who is who."""
        return any(key.startswith(self._customer[name].prefix) for name in EVIDENCE)

    def tables(self, rows: Rows | MemoryRows) -> ComponentTables:
        """Return the customer stage's tables over rows that were read."""
        return ComponentTables(**Store(self._customer.values(), rows, cached=0).tables)

    def evidence(self, tables: ComponentTables) -> Evidence:
        """Return what computes who is who from tables."""
        erasures = Erasures(tables, self._labels)
        return Evidence(LinkRules(self._policy), tables, erasures, self._policy.digest)

    def read(
        self, topic: str, partition: int, rows: Rows | MemoryRows, wanted: Callable[[bytes], bool]
    ) -> None:
        """Read the wanted rows of a changelog's partition, up to its end as of now.

        Raises:
            EnvironmentMissing: the broker does not answer.
        """
        try:
            self._restorer.restore(
                topic,
                partition,
                rows,
                cancelled=threading.Event(),
                wanted=wanted,
                progress=lambda progress: self._report(topic, partition, progress),
            )
        except EngineError as error:
            raise EnvironmentMissing(str(error)) from error

    def partition(self, label: str) -> int:
        """Return the partition that a producer gives to a record with this key."""
        return int(murmur2(label.encode()) & 0x7FFFFFFF) % self._settings.partitions

    def _tables_of(
        self, identifier: str, wanted: Callable[[bytes], bool]
    ) -> tuple[At, ComponentTables] | None:
        """Return the component that holds an identifier, with those of its rows whose keys are wanted."""
        own = self._labels.of(identifier)
        spec = self._resolver["identifiers"]
        rows = MemoryRows()
        whole = spec.prefix + own.encode()
        self.read(self._topics.changelogs["resolve"], self.partition(own), rows, lambda key: key == whole)
        row = Store([spec], rows).table(spec.name).get(own.encode())
        label: str = "" if row is None else row.label
        while label:
            prefix = label_key(label)
            tables = self._rows(label, prefix, wanted)
            header: Header | None = tables.components.get(prefix)
            if header is None:
                return None
            if not header.redirect:
                return At(label, prefix, header), tables
            label = header.redirect
        return None

    def _rows(self, label: str, prefix: bytes, wanted: Callable[[bytes], bool]) -> ComponentTables:
        """Read those rows of a component whose keys are wanted, and the reference data beside it if all are."""
        rows, beside = MemoryRows(), self._customer["references"].prefix
        self.read(
            self._topics.changelogs["customer"],
            self.partition(label),
            rows,
            lambda key: (key.startswith(prefix, 1) or key.startswith(beside)) and wanted(key),
        )
        return self.tables(rows)
