"""Identifiers as the simulator has them: what truly is, in normal form, before a channel spells it."""

from __future__ import annotations

from typing import NamedTuple


class Identifier(NamedTuple):
    """One identifier: `text` is "namespace:value", normalised."""

    namespace: str
    value: str
    text: str


def identifier(namespace: str, value: str) -> Identifier:
    """Make an identifier of a value that is in its normal form."""
    return Identifier(namespace, value, f"{namespace}:{value}")
