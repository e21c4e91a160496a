"""Which reference data a rule can't do without: of what kind, and what of the rule asks for them.

A deployment may have fewer feeds than there are. A rule that looks at what never comes is no mistake, but silent in
whole or in part, and nobody would know why: so those who start it are told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.places.weather import WEATHER
from stream_app.domain.rules.nearest import IN_STOCK, names_in

if TYPE_CHECKING:
    from stream_app.domain.rules.model import Rule

STORE, STOCK = "store", "stock"


def needs(rule: Rule) -> dict[str, str]:
    """Return the kinds of reference data that a rule needs, each with what needs it, as the rule's file calls that."""
    found: dict[str, str] = {}
    reference = rule.opens.reference
    if reference is not None:
        found[reference.kind] = f"opens.reference: {reference.kind}.{reference.field}"
    if rule.near is not None:
        found.setdefault(STORE, "near")
        if rule.uses(STOCK):
            found.setdefault(STOCK, STOCK)
    if rule.uses(WEATHER):
        found.setdefault(WEATHER, WEATHER)
    for name in sorted(names_in(rule.paths())):
        found.setdefault(STORE, f"store.{name}")
        if name == IN_STOCK:
            found.setdefault(STOCK, f"store.{name}")
    return found
