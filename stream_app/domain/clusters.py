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

Only a link that would be refused as things stand may change more. Then the groups that it concerns are computed
again together with those that refused links tie them to (`_recompute`); whatever comes out as it was before is
where the change ends, so that its price is that of a few customers, however long the chain that they stand in.
Proof: by induction over the order. Every link between what is computed again, S, and its neighbours, N, was
refused; if all of them are again, N has gone through the same states as before, and so has all behind N, for
which nothing else has changed. If one of them is not, the groups at its ends become part of S; if that
is not enough either, S is all that links connect. `tests/property` holds all this against a computation from scratch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.partition import NO_SLOT, Group, Link, Pair, Refusal, partition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from stream_app.domain.partition import LinkRules

    LinkOf = Callable[[str, str], Link]
    """link(stronger, weaker) tells of a link that was shown."""


class Clusters:
    """Identifiers, the links between them, and the groups that follow."""

    __slots__ = ("_dirty", "_foes", "_rules", "fresh", "groups", "moved", "near", "refused")

    def __init__(self, rules: LinkRules, foes: Mapping[str, set[str]]) -> None:
        """Begin empty; `foes` are denied pairs."""
        self._rules = rules
        self._foes = foes
        self._dirty: set[str] = set()
        self.groups: dict[str, Group] = {}
        self.near: dict[str, set[str]] = {}
        """The other ends of each identifier's links."""
        self.refused: dict[Pair, Refusal] = {}
        """Refused links, by (stronger, weaker)."""
        self.fresh: list[Refusal] = []
        """Why links are refused that were not before; whoever reads them empties it."""
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
            self._dirty.update((stronger, weaker))
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

    def settle(self, link: LinkOf) -> None:
        """Compute again what must be. `link` isn't kept: its owner has us, and only the collector frees a circle."""
        if not self._dirty:
            return
        groups = {self.groups[name] for name in self._dirty}
        self._dirty.clear()
        groups = self._recompute(groups, link)
        if groups:
            groups = self._recompute(groups, link)
        if groups:  # it spreads: a step at a time would be quadratic
            names = (next(iter(group.members)) for group in groups)
            found: set[str] = set()
            for name in names:
                if name not in found:
                    found |= self.cluster(name)
            self._recompute({self.groups[name] for name in found}, link)

    def _recompute(self, changed: set[Group], link: LinkOf) -> set[Group]:
        """Compute groups anew; if that changes others too nothing is done, and all that must be is returned."""
        inner = {name for group in changed for name in group.members}
        near = {self.groups[other] for name in inner for other in self.near[name]} - changed
        nodes = inner.union(*(group.members for group in near))
        place = self._rules.policy.place
        pairs = [(a, b) for a in nodes for b in self.near[a] if b in nodes and place(a) < place(b)]
        groups, refused = partition(self._rules, nodes, [link(*pair) for pair in pairs], self._foes)
        others = {group for group in near if groups[next(iter(group.members))].members != group.members}
        if others:
            return changed | others
        self.fresh += [refusal for pair, refusal in refused.items() if pair not in self.refused]
        for pair in pairs:
            self.refused.pop(pair, None)
        self.refused.update(refused)
        self.groups.update((name, groups[name]) for name in inner)
        self.moved |= inner
        return set()

    def judge(self, names: Iterable[str]) -> None:
        """Take in that what denies identifiers each other has changed."""
        self._dirty.update(name for name in names if name in self.groups)

    def compute(self, link: LinkOf) -> None:
        """Settle what has been shown from scratch: at once, as what must be computed again may be most of it."""
        if self._dirty:
            self._dirty.update(self.groups)
        self.settle(link)

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
