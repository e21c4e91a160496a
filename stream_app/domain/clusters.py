"""A partition that is kept up to date while links come (design: IDENTITY; the order is `partition`'s).

Most links change nothing but the two customers that they join, whatever their place in the order. Given the
final partition, and a link L:

* L's ends are in one group already: nothing changes. L's ends are in two groups that may be joined as they
  stand: they are joined, and nothing else changes. Proof: put L last, where this is plain; then move it to its
  place, one neighbour X at a time. X and L both joining: each joins parts of what both together make, so
  neither is refused in the other order (counts only grow, and so does what is denied). X refused, L joining:
  what forbade X is still there, and L does not do what X was refused, as the same would have forbidden it. (An
  assertion too is joined at once only if limits allow it, so the proof holds for it as for any other.)
* L gets an earlier place because it was seen again, and joins its ends: nothing changes, by the same steps.

Only a link that would be refused as things stand may change more: then everything that links connect with it,
its cluster, is computed again. Clusters don't influence each other. `tests/property` holds this against a
computation from scratch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.partition import NO_SLOT, Group, Link, Pair, Refusal, partition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_app.domain.partition import LinkRules


class Clusters:
    """Identifiers, the links between them, and the groups that follow."""

    __slots__ = ("_dirty", "_foes", "_link", "_rules", "groups", "moved", "near", "refused")

    def __init__(
        self, rules: LinkRules, link: Callable[[str, str], Link], foes: Mapping[str, set[str]]
    ) -> None:
        """Begin empty. `link(stronger, weaker)` tells of a link that was shown; `foes` are denied pairs."""
        self._rules = rules
        self._link = link
        self._foes = foes
        self._dirty: set[str] = set()
        self.groups: dict[str, Group] = {}
        self.near: dict[str, set[str]] = {}
        """The other ends of each identifier's links."""
        self.refused: dict[Pair, Refusal] = {}
        """Refused links, by (stronger, weaker)."""
        self.moved: set[str] = set()
        """Identifiers whose group may have changed; whoever reads them empties it."""

    def add(self, identifier: str) -> None:
        """Have an identifier as a group of its own, if there is none of it."""
        if identifier not in self.groups:
            self.groups[identifier] = self._rules.single(identifier, self._foes.get(identifier, ()))
            self.near[identifier] = set()
            self.moved.add(identifier)

    def show(self, stronger: str, weaker: str) -> None:
        """Take in that a link is new, or was seen again."""
        near = self.near[stronger]
        known = weaker in near
        if not known:
            near.add(weaker)
            self.near[weaker].add(stronger)
        one, other = self.groups[stronger], self.groups[weaker]
        if one is other and not self._dirty:
            return
        if self._dirty or known or self._rules.refusal(one, other, asserted=False):
            self._dirty.add(stronger)
            return
        self._join(one, other)

    def hide(self, stronger: str, weaker: str) -> None:
        """Take in that a link is no more."""
        self.near[stronger].discard(weaker)
        self.near[weaker].discard(stronger)
        self.refused.pop((stronger, weaker), None)
        self._dirty.update((stronger, weaker))

    @property
    def unsettled(self) -> bool:
        """Whether anything has come since `settle` and since `moved` was read."""
        return bool(self._dirty or self.moved)

    def settle(self) -> None:
        """Compute again what must be."""
        while self._dirty:
            nodes = self.cluster(self._dirty.pop())
            self._dirty -= nodes
            priority = self._rules.policy.place
            pairs = [(a, b) for a in nodes for b in self.near[a] if priority(a) < priority(b)]
            for pair in pairs:
                self.refused.pop(pair, None)
            groups, refused = partition(self._rules, nodes, [self._link(*pair) for pair in pairs], self._foes)
            self.groups.update(groups)
            self.refused.update(refused)
            self.moved |= nodes

    def compute(self) -> None:
        """Compute everything again."""
        self._dirty.update(self.groups)
        self.settle()

    def cluster(self, identifier: str) -> set[str]:
        """Return the identifiers that links connect with one, refused links included."""
        found = {identifier}
        waiting = [identifier]
        while waiting:
            fresh = self.near[waiting.pop()] - found
            found |= fresh
            waiting.extend(fresh)
        return found

    def _join(self, one: Group, other: Group) -> None:
        """Have the smaller one absorbed; one that has no rows yet goes first."""
        if (one.slot != NO_SLOT, len(one.members)) < (other.slot != NO_SLOT, len(other.members)):
            one, other = other, one
        if other.contested and not one.contested:
            self.moved |= one.members
        one.absorb(other)
        for member in other.members:
            self.groups[member] = one
        self.moved |= other.members
