"""What the customer stage goes by, the same for all its tasks in a worker; replaced as a whole, between two epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol
from weakref import WeakSet

if TYPE_CHECKING:
    from stream_app.domain.rules import Rule, RuleBook, Shadow
    from stream_app.topology import Topics
    from stream_app.wire import Encoder


class Written(NamedTuple):
    """What the files say: the live rules, and those in the shadow, if there are any."""

    book: RuleBook
    shadow: Shadow | None

    def altered(self, other: Written) -> list[Rule]:
        """Return the rules of `other` that say something else than ours of the same name and version."""
        found = self.book.altered(other.book)
        if self.shadow is not None and other.shadow is not None:
            found += self.shadow.own.altered(other.shadow.own)
        return found

    def same(self, other: Written) -> bool:
        """Tell whether nothing is decided otherwise."""
        ours, theirs = self.shadow, other.shadow
        if ours is None or theirs is None:
            return self.book.fingerprint == other.book.fingerprint and ours is theirs
        return self.book.fingerprint == other.book.fingerprint and ours.versions == theirs.versions


class Terms(NamedTuple):
    """What decisions are made by, and what is needed to send them: a topic for every rule, its schema registered."""

    written: Written
    topics: Topics
    encoder: Encoder


class Follower(Protocol):
    """A task's handler, which goes by the terms until it is given others."""

    def adopt(self, terms: Terms) -> None:
        """Go by these from now on."""


class InForce:
    """The terms of now, and whoever goes by them."""

    def __init__(self, terms: Terms) -> None:
        """Begin with these."""
        self.terms = terms
        self._followers: WeakSet[Follower] = WeakSet()

    def follow(self, follower: Follower) -> None:
        """Give a handler the terms of now, and those that come later as long as it lives."""
        self._followers.add(follower)
        follower.adopt(self.terms)

    def replace(self, terms: Terms) -> None:
        """Have everybody go by others."""
        self.terms = terms
        for follower in self._followers:
            follower.adopt(terms)
