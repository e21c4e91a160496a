"""Evidence: which identifiers a component has, and what links them. Derived from its events alone.

An event's evidence is a star: a link from its strongest identifier to each other one. Everything kept (first
and last time, count, the earliest events as a sample) is the same for every order of arrival, and can be
derived again from the events: merging needs to carry events only, and taking them in twice changes nothing.
"""

from __future__ import annotations

from bisect import insort
from itertools import islice
from typing import TYPE_CHECKING, Any

from stream_app.domain.keys import link_key, link_of
from stream_app.domain.rows import LinkRow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stream_app.domain.event import Event
    from stream_app.domain.policy import IdentityPolicy
    from stream_app.domain.ports import Table
    from stream_app.domain.rows import Header

SAMPLE = 3
"""Events that a link names."""


class Evidence:
    """Members and links of the components of one partition."""

    def __init__(self, policy: IdentityPolicy, members: Table[int], links: Table[LinkRow]) -> None:
        """Serve two tables, keyed by component."""
        self._policy = policy
        self._members = members
        self._links = links

    def note(self, prefix: bytes, header: Header, event: Event) -> bool:
        """Take in an event that hasn't been taken in before; return whether the header changed."""
        identifiers = event.identifiers
        strongest = identifiers[0]
        if len(identifiers) == 1:
            return self.member(prefix, header, strongest, event.time)
        changed = False
        for other in identifiers[1:]:
            key = link_key(prefix, strongest, other)
            link = self._links.get(key)
            # A link that began before this event says that both ends are members since then, or longer.
            if link is None or event.time < link.first:
                changed |= self.member(prefix, header, strongest, event.time)
                changed |= self.member(prefix, header, other, event.time)
            self._links.put(key, _counted(link, event))
        return changed

    def member(self, prefix: bytes, header: Header, identifier: str, time: int) -> bool:
        """Have an identifier as a member since `time` (ms), or longer; return whether the header changed."""
        key = prefix + identifier.encode()
        since = self._members.get(key)
        if since is not None and since <= time:
            return False
        self._members.put(key, time)
        if since is None:
            header.size += 1
        if not header.first or self._goes_first(identifier, time, header):
            header.first, header.first_time = identifier, time
            return True
        return since is None

    def _goes_first(self, identifier: str, time: int, header: Header) -> bool:
        candidate = (self._policy.priority(identifier), time, identifier)
        return candidate < (self._policy.priority(header.first), header.first_time, header.first)

    def members(self, prefix: bytes) -> Iterator[tuple[str, int]]:
        """Yield (identifier, first event time in ms), by identifier."""
        for key, since in self._members.scan(prefix):
            yield key[len(prefix) :].decode(), since

    def links(self, prefix: bytes) -> Iterator[tuple[str, str, LinkRow]]:
        """Yield (strongest identifier, other identifier, evidence)."""
        for key, link in self._links.scan(prefix):
            yield *link_of(prefix, key), link

    def forget(self, prefix: bytes, limit: int | None = None) -> int:
        """Delete the rows of a component, at most `limit` of them; return how many there were."""
        gone = 0
        tables: tuple[Table[Any], ...] = (self._members, self._links)
        for table in tables:
            keys = [key for key, _ in islice(table.scan(prefix), None if limit is None else limit - gone)]
            for key in keys:
                table.delete(key)
            gone += len(keys)
        return gone


def _counted(link: LinkRow | None, event: Event) -> LinkRow:
    if link is None:
        return LinkRow(event.time, event.time, 1, [event.order])
    link.count += 1
    if event.time > link.last:
        link.last = event.time
    elif event.time < link.first:
        link.first = event.time
    if len(link.sample) < SAMPLE or event.order < link.sample[-1]:
        insort(link.sample, event.order)
        del link.sample[SAMPLE:]
    return link
