"""The identity policy: which namespaces identify a customer, how strong each is, and what never counts.

A policy is data (`schemas/policies/identity.yaml`); this module checks it and answers questions about it.
What identifies at all is `normalise`'s to say, who is one customer is `partition`'s.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Literal, cast

import yaml
from phonenumbers import SUPPORTED_REGIONS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Kind = Literal["person", "device"]
OnConflict = Literal["newest", "oldest"]
Normalise = Literal["email", "phone", "none"]
CheckDigit = Literal["luhn", "none"]
AnonymousEvents = Literal["last_login", "device_owner"]

BUILT_IN_BLOCKED = (
    r"null|none|nil|nan|undefined|unknown|anonymous|anon|guest|test|true|false|-1|n/a",
    r"\[object object\]|\(null\)|<null>",
    r"[0\s.-]*",
)
"""Patterns that block in every namespace: whole values, after trimming and case folding."""

NO_PRIORITY = 1 << 30
"""The priority of a namespace that the policy doesn't name (any more): weaker than all others."""

MAX_CHARACTERS = 256 * 1024
"""Of a policy's file."""
_COMPLAINT = 300
"""Characters of what a library says of a file."""
_UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""What YAML's own constructors raise for a value that its tag, given or guessed, doesn't fit."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


class PolicyError(ValueError):
    """A policy that can't be used: the message begins with the path of the field, and says what to do."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """One kind of identifier.

    Attributes:
        name: the word before the colon in "namespace:value".
        priority: 1 is strongest.
        kind: what the identifier stands for.
        limit: most values that one customer may hold; None: no limit.
        on_conflict: which link wins where the limit is reached.
        normalise: how values become comparable.
        blocked: patterns that block in this namespace alone (whole value, any case).
        hashed: values are kept as keyed hashes only (see `hashing`).
        pattern: what a normalised value must match as a whole, or None.
        check_digit: the check that a normalised value must pass.
        fold_gmail_dots: e-mail: dots before `@gmail.com` don't count.
    """

    name: str
    priority: int
    kind: Kind
    limit: int | None = None
    on_conflict: OnConflict = "newest"
    normalise: Normalise = "none"
    blocked: tuple[re.Pattern[str], ...] = ()
    hashed: bool = False
    pattern: re.Pattern[str] | None = None
    check_digit: CheckDigit = "none"
    fold_gmail_dots: bool = False


@dataclass(frozen=True, slots=True)
class IdentityPolicy:
    """A checked policy. Two policies with the same `order_digest` order labels alike.

    Attributes:
        namespaces: by name, strongest first.
        blocked: patterns for all namespaces, the built-in ones included.
        default_region: ISO 3166 code for phone numbers without +, or None.
        shared_after: persons on a device beyond which it is shared, or None.
        max_devices: devices of a person beyond which it is shared, or None.
        anonymous_events: whose an event with device identifiers only is.
        component_cap: identifiers in a component beyond which unions are refused.
    """

    namespaces: Mapping[str, Namespace]
    blocked: tuple[re.Pattern[str], ...] = ()
    default_region: str | None = None
    shared_after: int | None = None
    max_devices: int | None = None
    anonymous_events: AnonymousEvents = "last_login"
    component_cap: int = 20_000

    def priority(self, identifier: str) -> int:
        """Return the priority of "namespace:value"; `NO_PRIORITY` for a namespace that isn't named."""
        namespace = self.namespaces.get(identifier.partition(":")[0])
        return NO_PRIORITY if namespace is None else namespace.priority

    def place(self, identifier: str) -> tuple[int, str]:
        """Return an identifier's place among others: the smaller, the stronger."""
        return (self.priority(identifier), identifier)

    def pair(self, one: str, other: str) -> tuple[str, str]:
        """Return two identifiers, the stronger one first."""
        return (one, other) if self.place(one) <= self.place(other) else (other, one)

    def is_person(self, identifier: str) -> bool:
        """Tell whether an identifier stands for a person; one of a namespace that isn't named stands for none."""
        namespace = self.namespaces.get(identifier.partition(":")[0])
        return namespace is not None and namespace.kind == "person"

    @property
    def hashed(self) -> frozenset[str]:
        """Return the names of the namespaces whose values are kept as keyed hashes only."""
        return frozenset(name for name, space in self.namespaces.items() if space.hashed)

    @property
    def order_digest(self) -> str:
        """Return a fingerprint of the order of labels: state written under another one must be rebuilt.

        Redirects point from larger to smaller labels; under another order they could form a circle.
        """
        order = ",".join(f"{space.name}={space.priority}" for space in self.namespaces.values())
        return blake2b(order.encode(), digest_size=8).hexdigest()

    @property
    def digest(self) -> str:
        """Return a fingerprint of all that customers depend on: under another one they are computed anew.

        Which namespaces are hashed is not in it: hashed values are other identifiers, so what is there stays as it
        is, and computing it anew would give the same customers.
        """
        spaces = [(s.name, s.priority, s.kind, s.limit, s.on_conflict) for s in self.namespaces.values()]
        text = repr((spaces, self.shared_after, self.max_devices, self.anonymous_events))
        return blake2b(text.encode(), digest_size=8).hexdigest()

    @classmethod
    def from_yaml(cls, text: str) -> IdentityPolicy:
        """Read a policy from YAML text.

        Raises:
            PolicyError: the text isn't YAML, is too long, or isn't a valid policy.
        """
        if len(text) > MAX_CHARACTERS:
            raise PolicyError(f"policy: longer than {MAX_CHARACTERS} characters; shorten `blocked`")
        try:
            raw = yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a SafeLoader
        except yaml.YAMLError as error:
            raise PolicyError(f"policy: not YAML: {_shortened(str(error))}") from error
        except RecursionError as error:
            raise PolicyError("policy: not YAML: nested too deep") from error
        except _UNREADABLE as error:  # what a date, a number or a word of a tag isn't
            raise PolicyError(
                f"policy: a value is not what it looks like: {_shortened(str(error))}"
            ) from error
        return cls.from_mapping(raw)

    @classmethod
    def from_mapping(cls, raw: object) -> IdentityPolicy:
        """Check a policy as read from YAML or JSON.

        Raises:
            PolicyError: a field is unknown, missing or wrong; the message begins with its path.
        """
        fields = _Fields(raw, "policy", _POLICY_FIELDS)
        region = fields.text("default_region")
        if region is not None and region not in SUPPORTED_REGIONS:
            raise PolicyError("policy.default_region: must be an ISO 3166 code such as FR")
        built_in = tuple(re.compile(pattern, re.IGNORECASE) for pattern in BUILT_IN_BLOCKED)
        return cls(
            namespaces=_namespaces(fields.items("namespaces")),
            blocked=built_in + fields.patterns("blocked"),
            default_region=region,
            shared_after=fields.number("shared_after"),
            max_devices=fields.number("max_devices"),
            anonymous_events=cast(
                "AnonymousEvents",
                fields.choice("anonymous_events", ("last_login", "device_owner"), "last_login"),
            ),
            component_cap=fields.number("component_cap") or 20_000,
        )


def _namespaces(raw: Sequence[object]) -> dict[str, Namespace]:
    if not raw:
        raise PolicyError("policy.namespaces: at least one namespace is needed")
    by_priority: dict[int, Namespace] = {}
    for place, item in enumerate(raw):
        path = f"policy.namespaces[{place}]"
        space = _namespace(item, path)
        if space.priority in by_priority:
            taken = by_priority[space.priority].name
            raise PolicyError(
                f"{path}.priority: {space.priority} is already that of {taken}; give each its own"
            )
        if any(space.name == other.name for other in by_priority.values()):
            raise PolicyError(f"{path}.name: {space.name} is named twice")
        by_priority[space.priority] = space
    return {by_priority[priority].name: by_priority[priority] for priority in sorted(by_priority)}


def _namespace(raw: object, path: str) -> Namespace:
    fields = _Fields(raw, path, _NAMESPACE_FIELDS)
    name = fields.text("name")
    if name is None or not _NAME.fullmatch(name):
        raise PolicyError(
            f"{path}.name: must be lower-case letters, digits and _, at most 32, from a letter on"
        )
    priority = fields.number("priority")
    if priority is None:
        raise PolicyError(f"{path}.priority: missing; 1 is strongest")
    suggested = name if name in ("email", "phone") else "none"
    pattern = fields.text("pattern")
    return Namespace(
        name=name,
        priority=priority,
        kind=cast("Kind", fields.choice("kind", ("person", "device"), None)),
        limit=fields.number("limit"),
        on_conflict=cast("OnConflict", fields.choice("on_conflict", ("newest", "oldest"), "newest")),
        normalise=cast("Normalise", fields.choice("normalise", ("email", "phone", "none"), suggested)),
        blocked=fields.patterns("blocked"),
        hashed=fields.flag("hashed"),
        pattern=None if pattern is None else _compiled(pattern, f"{path}.pattern", 0),
        check_digit=cast("CheckDigit", fields.choice("check_digit", ("luhn", "none"), "none")),
        fold_gmail_dots=fields.flag("fold_gmail_dots"),
    )


def _compiled(pattern: str, path: str, flags: int) -> re.Pattern[str]:
    try:
        return re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise PolicyError(f"{path}: not a regular expression: {_shortened(str(error))}") from error


def _shortened(text: str) -> str:
    return text if len(text) <= _COMPLAINT else f"{text[:_COMPLAINT]}..."


class _Loader(yaml.SafeLoader):
    """Reads no merge keys: `<<: [*a, *a]` over `<<: [*b, *b]` writes out twice as much with every line."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                why = "`<<` is not read: write the fields out"
                raise yaml.constructor.ConstructorError(None, None, why, key.start_mark)


_POLICY_FIELDS = frozenset(
    (
        "namespaces",
        "blocked",
        "default_region",
        "shared_after",
        "max_devices",
        "anonymous_events",
        "component_cap",
    )
)
_NAMESPACE_FIELDS = frozenset(
    (
        "name",
        "priority",
        "kind",
        "limit",
        "on_conflict",
        "normalise",
        "blocked",
        "hashed",
        "pattern",
        "check_digit",
        "fold_gmail_dots",
    )
)


class _Fields:
    """One mapping of the policy, read field by field; every complaint names the field's path."""

    def __init__(self, raw: object, path: str, known: frozenset[str]) -> None:
        if not isinstance(raw, dict):
            raise PolicyError(f"{path}: must be a mapping")
        unknown = sorted(str(name) for name in raw if name not in known)
        if unknown:
            raise PolicyError(f"{path}.{unknown[0]}: unknown field; known: {', '.join(sorted(known))}")
        self._raw: dict[str, Any] = raw
        self._path = path

    def text(self, name: str) -> str | None:
        value = self._raw.get(name)
        if value is not None and not isinstance(value, str):
            raise PolicyError(f"{self._path}.{name}: must be text")
        return value

    def number(self, name: str) -> int | None:
        value = self._raw.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value < NO_PRIORITY:
            raise PolicyError(f"{self._path}.{name}: must be a whole number of at least 1")
        return value

    def flag(self, name: str) -> bool:
        value = self._raw.get(name)
        if value is not None and not isinstance(value, bool):
            raise PolicyError(f"{self._path}.{name}: must be true or false")
        return bool(value)

    def choice(self, name: str, options: tuple[str, ...], default: str | None) -> str:
        value = self._raw.get(name)
        value = default if value is None else value
        if value not in options:
            raise PolicyError(f"{self._path}.{name}: must be one of {', '.join(options)}")
        return str(value)

    def items(self, name: str) -> Sequence[object]:
        value = self._raw.get(name)
        if value is not None and not isinstance(value, list):
            raise PolicyError(f"{self._path}.{name}: must be a list")
        return value or []

    def patterns(self, name: str) -> tuple[re.Pattern[str], ...]:
        found = []
        for place, item in enumerate(self.items(name)):
            path = f"{self._path}.{name}[{place}]"
            if not isinstance(item, str):
                raise PolicyError(f"{path}: must be text (quote it)")
            found.append(_compiled(item, path, re.IGNORECASE))
        return tuple(found)
