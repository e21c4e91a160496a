"""What can be set about a simulation: how shoppers behave, and what goes wrong on the way."""

from __future__ import annotations

import msgspec


class Habits(msgspec.Struct, frozen=True, kw_only=True):
    """How shoppers behave. Shares are probabilities; rates are means per shopper and day."""

    visits: float = 1.7
    """Visits to the web shop or the app that nothing else led to."""
    sign_in: float = 0.45
    """Share of a signed-out account holder's visits in which she signs in."""
    adds: float = 0.35
    """Share of visits that put something into a basket."""
    abandonment: float = 0.65
    """Share of visits with a basket that end without an order."""
    bought_in_shop: float = 0.15
    """Share of a known shopper's abandoned baskets that are bought in a shop afterwards."""
    bought_elsewhere: float = 0.15
    """Share of a known shopper's abandoned baskets that are bought on another of her devices afterwards."""
    families: float = 0.3
    """Share of households with several shoppers (two to four)."""
    shared_tablets: float = 0.4
    """Share of families with a tablet on which everybody shops."""


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong between a channel and its topic. All shares are of events unless said; 0 switches off.

    Each kind draws its own random numbers for each event, whatever the rates: changing one rate changes
    neither the shoppers' behaviour nor where the other kinds strike.
    """

    out_of_order: float = 0.02
    """Events that are up to 30 s on their way, instead of about half a second."""
    duplicates: float = 0.01
    """Events that are sent once more, the same bytes, 1 to 10 minutes later."""
    conflicts: float = 0.0005
    """Events whose id comes again with another content, 1 to 10 minutes later: refused as a conflict."""
    late_tills: float = 0.2
    """Share of the store channel's orders that arrive 1 to 8 hours late (the till was offline)."""
    wrong_clocks: float = 0.004
    """Share of browsers and apps whose clock is in 2031: refused, time out of range."""
    stuck_tills: float = 0.03
    """Share of tills whose clock is stuck in 1999: refused, time out of range."""
    skewed_clocks: float = 0.03
    """Share of all other devices whose clock is wrong by up to 3 minutes, either way: accepted."""
    malformed: float = 0.003
    """Malformed records beside the events, as a share of the events; the reasons take turns."""
    blocked_identifiers: float = 0.01
    """Anonymous events that carry a meaningless identifier ("guest", "null") beside their good one."""
    sloppy_spelling: float = 0.1
    """Devices that write e-mail addresses, telephone and customer numbers their own way."""
    too_large: int = 2
    """At most so many of the malformed records are too large (they are big)."""
    too_large_bytes: int = 10_000_000
    """How big these are."""
    too_deep_levels: int = 3000
    """How deep the too deep ones are nested."""


QUIET = Noise(
    out_of_order=0,
    duplicates=0,
    conflicts=0,
    late_tills=0,
    wrong_clocks=0,
    stuck_tills=0,
    skewed_clocks=0,
    malformed=0,
    blocked_identifiers=0,
    sloppy_spelling=0,
    too_large=0,
)
"""Nothing goes wrong: every record is a good event, half a second after it happened."""
