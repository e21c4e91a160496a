"""Which feeds of reference data rules need, and a deployment leaves out (`RACCORD_REFERENCES`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import schemas
from stream_app.domain.rules.needs import needs

if TYPE_CHECKING:
    from collections.abc import Collection

    from stream_app.domain.rules import Rule


class LeftOut(NamedTuple):
    """A feed, by the name of its topic, and what of a rule needs it."""

    feed: str
    needed_by: str


def left_out(rule: Rule, feeds: Collection[str]) -> list[LeftOut]:
    """Return what a rule needs that is not among a deployment's feeds."""
    wanted = needs(rule)
    return [
        LeftOut(f"reference.{name}", wanted[feed.kind])
        for name, feed in schemas.references().items()
        if feed.kind in wanted and name not in feeds
    ]
