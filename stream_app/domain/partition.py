"""Who is who: the partition of identifiers into customers, a pure function of the evidence (design: IDENTITY).

Links are taken one by one in a total order, and each joins its two ends unless that would break a denial or a
limit. The order and so the result depend on the set of evidence alone.

1. Asserted links first, whatever they join; then those whose weaker end is of the stronger namespace, then
   those whose stronger end is; then by time, as the weaker end's namespace says; then by the identifiers.
2. A join is refused if the customer would hold both ends of a denied pair.
3. A join that is not asserted is refused if of some namespace both sides hold a value, and together more than
   its limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.domain.policy import IdentityPolicy

Names = tuple[str, ...]
"""Identifiers of one event, strongest first."""
Pair = tuple[str, str]
"""Two identifiers, the stronger one first."""
Place = tuple[int, int, str]
"""An identifier's place among a customer's: (priority, first event time in ms, identifier)."""

NO_SLOT = -1


class Link(NamedTuple):
    """Two identifiers that some event carried together, or that an operator asserted to be one customer's.

    Times are those of the first and last event that shows it, ms; of an asserted link both are the verdict's.
    """

    stronger: str
    weaker: str
    first: int
    last: int
    asserted: bool = False


class Refusal(NamedTuple):
    """Why a link joins nothing.

    Attributes:
        reason: "limit" or "denied".
        namespace: whose limit it is; "" for a denial.
        pair: two identifiers that can't be one customer's: a denied pair, or the smallest value of the
            namespace on either side.
    """

    reason: str
    namespace: str
    pair: Pair


class Group:
    """Identifiers that are one customer's.

    Attributes:
        members: the identifiers.
        counts: how many there are of each namespace that has a limit.
        foes: identifiers that a verdict keeps apart from a member, each with (the smallest) such member.
        contested: whether a refused link ends here.
        slot: where the customer's rows are; NO_SLOT while there are none.
        first: the member with the smallest place, which the customer id rests on.
    """

    __slots__ = ("contested", "counts", "first", "foes", "members", "slot")

    def __init__(
        self, members: set[str], counts: dict[str, int], foes: Mapping[str, str] | None = None
    ) -> None:
        """Begin with these members."""
        self.members = members
        self.counts = counts
        self.foes = foes
        self.contested = False
        self.slot = NO_SLOT
        self.first: Place | None = None

    def absorb(self, other: Group) -> None:
        """Take in another's members."""
        self.members |= other.members
        counts = self.counts
        for namespace, count in other.counts.items():
            counts[namespace] = counts.get(namespace, 0) + count
        if other.foes:
            self.foes = dict(other.foes) if not self.foes else _both(self.foes, other.foes)
        self.contested |= other.contested
        if other.first is not None and (self.first is None or other.first < self.first):
            self.first = other.first


class LinkRules:
    """How a policy orders and refuses links."""

    def __init__(self, policy: IdentityPolicy) -> None:
        """Work out what is asked most often."""
        self.policy = policy
        self._limits = {name: s.limit for name, s in policy.namespaces.items() if s.limit is not None}
        self._oldest = {name for name, space in policy.namespaces.items() if space.on_conflict == "oldest"}

    def single(self, identifier: str, denied: Iterable[str] = ()) -> Group:
        """Return the group of one identifier; `denied` are those it must not be with."""
        foes = dict.fromkeys(denied, identifier)
        namespace = identifier.partition(":")[0]
        return Group({identifier}, {namespace: 1} if namespace in self._limits else {}, foes)

    def order(self, link: Link) -> tuple[bool, int, int, int, str, str]:
        """Return a link's place in the total order."""
        priority = self.policy.priority
        weaker, stronger = link.weaker, link.stronger
        time = link.first if weaker.partition(":")[0] in self._oldest else -link.last
        return (not link.asserted, priority(weaker), priority(stronger), time, weaker, stronger)

    def refusal(self, one: Group, other: Group, *, asserted: bool) -> Refusal | None:
        """Return why two groups must not be joined by a link, or None."""
        if one.foes and other.foes:  # denials are mutual
            denied = [(foe, member) for foe, member in one.foes.items() if foe in other.members]
            if denied:
                return Refusal("denied", "", self.policy.pair(*min(denied)))
        if asserted:
            return None
        counts = other.counts
        for namespace, count in one.counts.items():
            more = counts.get(namespace)
            if more is not None and count + more > self._limits[namespace]:
                return Refusal("limit", namespace, (_value(one, namespace), _value(other, namespace)))
        return None


def _value(group: Group, namespace: str) -> str:
    prefix = namespace + ":"
    return min(member for member in group.members if member.startswith(prefix))


def _both(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    both = dict(one)
    for foe, member in other.items():
        both[foe] = min(member, both.get(foe, member))
    return both


def partition(
    rules: LinkRules, identifiers: Iterable[str], links: Iterable[Link], foes: Mapping[str, set[str]]
) -> tuple[dict[str, Group], dict[Pair, Refusal]]:
    """Return each identifier's group, and the refused links by (stronger, weaker).

    Args:
        rules: of the policy.
        identifiers: all of them, the ends of the links too.
        links: each pair at most once.
        foes: denied pairs, both ways round; they may name identifiers that there aren't.
    """
    groups = {identifier: rules.single(identifier, foes.get(identifier, ())) for identifier in identifiers}
    refused: dict[Pair, Refusal] = {}
    for link in sorted(links, key=rules.order):
        one, other = groups[link.stronger], groups[link.weaker]
        if one is other:
            continue
        refusal = rules.refusal(one, other, asserted=link.asserted)
        if refusal is not None:
            refused[link.stronger, link.weaker] = refusal
            continue
        if len(one.members) < len(other.members):
            one, other = other, one
        one.absorb(other)
        for member in other.members:
            groups[member] = one
    for stronger, weaker in refused:
        groups[stronger].contested = groups[weaker].contested = True
    return groups, refused
