"""A channel's event, or an operator's command -> whom it speaks of: "namespace:value" texts, strongest first.

Hot: each (namespace, raw value) is normalised once and remembered, within bounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from stream_app.domain.event import Event
from stream_app.domain.hashing import Hashes
from stream_app.domain.normalise import Rejection, hashed, normalised
from stream_app.domain.policy import PolicyError
from stream_app.domain.refusal import Reason, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.domain.event import ChannelEvent
    from stream_app.domain.policy import IdentityPolicy, Namespace

MAX_IDENTIFIERS = 32
"""Most identifiers of one event that are used: the strongest; the rest is reported."""

REMEMBERED = 1 << 16
"""Values remembered per namespace; then the memory is emptied and fills anew."""

_COMPLAINTS = {
    Rejection.BLOCKED: "is a value that the policy blocks, in namespace",
    Rejection.INVALID: "is no valid value of namespace",
    Rejection.TOO_LONG: "is too long for a value of namespace",
    Rejection.OTHER_KEY: "is a hash that was made with another key than this deployment's, in namespace",
}

Rejections = tuple[tuple[str, Rejection], ...]


class Identifier:
    """Finds the identifiers of events under one policy.

    Attributes:
        hashed: the namespaces whose raw values must not be passed on: see `concealed`.
    """

    def __init__(self, policy: IdentityPolicy, key: bytes | None = None) -> None:
        """Prepare an empty memory for each namespace.

        Args:
            policy: which namespaces there are.
            key: the deployment's secret; needed where the policy has values hashed.

        Raises:
            PolicyError: it is needed, and is not there.
        """
        self._policy = policy
        self.hashed = policy.hashed
        if self.hashed and not key:
            name = min(self.hashed)
            raise PolicyError(f"policy.namespaces.{name}.hashed: hashing needs the deployment's key; give it")
        hashes = Hashes(key) if key and self.hashed else None
        self._spaces: dict[str, _Space] = {
            name: _Space(namespace, policy, hashes if namespace.hashed else None)
            for name, namespace in policy.namespaces.items()
        }

    def identify(self, event: ChannelEvent) -> tuple[tuple[str, ...], Rejections]:
        """Return the event's identifiers, and what was left out: (namespace, why), never the value.

        Identifiers are strongest first (by priority, then value), without repeats. Namespaces that the
        policy doesn't name are properties: neither used nor reported.
        """
        found: list[tuple[int, str]] = []
        rejected: list[tuple[str, Rejection]] = []
        spaces = self._spaces
        for name, raw in event.identifiers.items():
            space = spaces.get(name)
            if space is None or raw is None:
                continue
            for value in raw if type(raw) is list else (raw,):
                result = space.get(value)
                if type(result) is tuple:
                    found.append(result)
                elif isinstance(result, Rejection):
                    rejected.append((name, result))
        if len(found) > 1:
            found = sorted(set(found))
            if len(found) > MAX_IDENTIFIERS:
                rejected += [
                    (text.partition(":")[0], Rejection.TOO_MANY) for _, text in found[MAX_IDENTIFIERS:]
                ]
                del found[MAX_IDENTIFIERS:]
        return tuple([text for _, text in found]), tuple(rejected)

    def concealed(self, event: ChannelEvent) -> ChannelEvent:
        """Return the event as it may be passed on: hashes stand for the values of hashed namespaces.

        What has no hash, because it doesn't identify, is left out. All else stays as it was sent.
        """
        identifiers: dict[str, Any] = {}
        for name, raw in event.identifiers.items():
            if name not in self.hashed or raw is None:
                identifiers[name] = raw
                continue
            found = map(self._spaces[name].get, raw if isinstance(raw, list) else (raw,))
            prefix = len(name) + 1
            values = [*dict.fromkeys(one[1][prefix:] for one in found if isinstance(one, tuple))]
            if values:
                identifiers[name] = values if isinstance(raw, list) else values[0]
        return msgspec.structs.replace(event, identifiers=identifiers)

    def concealed_text(self, text: str) -> str:
        """Return the "namespace:value" that a person wrote as it may be passed on.

        That is the hashed identifier where the namespace is hashed, and else what was written. It must be valid:
        see `named`.
        """
        name = text.strip().partition(":")[0]
        return str(self.one(text)) if name in self.hashed else text

    def one(self, text: str) -> str | Rejection | None:
        """Return the identifier that a person wrote as "namespace:value", or why it is none.

        None: there is no namespace in it, or one that the policy doesn't name.
        """
        name, colon, value = text.strip().partition(":")
        space = self._spaces.get(name) if colon else None
        found = None if space is None else space.get(value)
        return found[1] if isinstance(found, tuple) else found

    def named(self, written: Mapping[str, str]) -> tuple[str, ...]:
        """Return what an operator names, strongest first.

        Args:
            written: what it is called when it must be complained of (a field, an argument) -> "namespace:value".

        Raises:
            Refused: NO_IDENTIFIER for what is none; INVALID_FIELD for one that is named twice. The detail has no
                value in it.
        """
        found = [self._usable(call, text) for call, text in written.items()]
        if len(set(found)) < len(found):
            raise Refused(Reason.INVALID_FIELD, f"{' and '.join(written)} are the same identifier")
        return tuple(sorted(found, key=self._policy.place))

    def _usable(self, call: str, text: str) -> str:
        found = self.one(text)
        if found is None:
            known = ", ".join(self._spaces)
            like = "email:name@example.org" if "email" in self._spaces else f"{next(iter(self._spaces))}:4711"
            why = f"is not namespace:value, like {like}, with a namespace of the policy: {known}"
        elif not isinstance(found, Rejection):
            return found
        else:
            why = f"{_COMPLAINTS[found]} {text.strip().partition(':')[0]}"
        raise Refused(Reason.NO_IDENTIFIER, f"{call} {why}")


class _Space:
    """One namespace: the values seen of late and what became of them."""

    __slots__ = ("_hashes", "_memory", "_namespace", "_policy", "_prefix")

    def __init__(self, namespace: Namespace, policy: IdentityPolicy, hashes: Hashes | None) -> None:
        self._namespace = namespace
        self._policy = policy
        self._hashes = hashes
        self._prefix = namespace.name + ":"
        self._memory: dict[str, tuple[int, str] | Rejection] = {}

    def get(self, raw: Any) -> tuple[int, str] | Rejection | None:
        """Return (priority, identifier), the reason against, or None for an absent value."""
        if type(raw) is not str:
            return None if raw is None else self._normalised(raw)
        result = self._memory.get(raw)
        if result is None:
            result = self._normalised(raw)
            if len(self._memory) >= REMEMBERED:
                self._memory.clear()
            if len(raw) <= 1024:  # noqa: PLR2004 - a memory of megabyte values would not be bounded
                self._memory[raw] = result
        return result

    def _normalised(self, raw: object) -> tuple[int, str] | Rejection:
        if self._hashes is None:
            value = normalised(raw, self._namespace, self._policy)
        else:
            value = hashed(raw, self._namespace, self._policy, self._hashes)
        if isinstance(value, Rejection):
            return value
        return (self._namespace.priority, self._prefix + value)


def to_event(event: ChannelEvent, identifiers: tuple[str, ...], received: int, source: str) -> Event:
    """Return the event that the domain works with.

    Args:
        event: the event as its channel sent it.
        identifiers: as `Identifier.identify` gave them.
        received: the broker's time of arrival, ms.
        source: "topic/partition/offset".

    Raises:
        Refused: no identifier remains.
    """
    if not identifiers:
        named = len(event.identifiers)
        raise Refused(Reason.NO_IDENTIFIER, f"none of the {named} namespaces in it gives a usable identifier")
    return Event(
        event.event_id,
        event.time,
        event.channel,
        event.type,
        identifiers,
        event.properties,
        received,
        source,
        event.context,
    )
