"""What can be set about a simulation: how shoppers behave, who is taken for whom, what goes wrong on the way."""

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
    agrees: float = 0.6
    """Share of account holders who agreed to advertising when they opened the account; the others said no."""
    lets_follow: float = 0.4
    """Share of shoppers who, if they have an account, agreed to be told by where they are; the others said no."""
    chose_shop: float = 0.5
    """Share of account holders who chose the shop near them as theirs when they opened the account."""
    families: float = 0.3
    """Share of households with several shoppers (two to four)."""
    newcomers: float = 0.05
    """Share of account holders who open their account when they first want to sign in."""
    birthdays: float = 0.6
    """Share of shoppers who give their date of birth where a form asks for it."""
    preferences: float = 0.3
    """Share of shoppers who say on which channel they want to hear from the shop."""
    abroad: float = 0.05
    """Share of shoppers who live in another time zone, across the border."""
    wishes: float = 0.015
    """Share of the products looked at that go on the wish list."""
    goes_to_look: float = 0.05
    """Share of the products looked at in the app that she goes to see in her shop within a day, if it is open."""
    scans: float = 0.5
    """Share of visits to a shop, noticed by the app, in which she scans one or two products."""
    card_first: float = 0.3
    """Share of purchases at a till in which she shows her card before the goods are scanned."""
    click_and_collect: float = 0.15
    """Share of known shoppers' online orders that are collected in the shop."""
    returns: float = 0.05
    """Share of known shoppers' orders that are brought back within six days."""
    complaints: float = 0.01
    """Share of known shoppers' orders that she complains about, beside those who call."""
    unsubscribes: float = 0.003
    """Share of newsletters after which she wants no more."""
    pushes: float = 0.25
    """Share of days on which her app is sent a push message."""
    promotions: float = 0.25
    """Share of the lists of products and screens of the app that show a promotion."""
    recommends: float = 0.5
    """Share of those who rate how they were served who also say whether they would recommend the shop."""
    shows_position: float = 0.6
    """Share of shoppers who let the app know where they are; who would agree to be told by it is the first to."""
    walks: float = 0.08
    """Share of their days on which these walk past their shop; who has filled a basket does so more often."""
    tier_changes: int = 30
    """Days between changes of a member's loyalty tier."""


class IdentityNoise(msgspec.Struct, frozen=True, kw_only=True):
    """What makes several people look like one, or one like several. All are shares; 0 switches off.

    Each kind draws from random streams of its own: changing one rate leaves everything alone that it doesn't
    touch. The truth about who did what is kept whatever the rates.
    """

    shared_tablets: float = 0.1
    """Share of families with a tablet on which everybody shops, signed in or not (about half of the visits).
    That makes 2 % of web and app events; for comparison, tablets are 2 to 5 % of web traffic (StatCounter), and
    60 % of those who use one share it (GlobalWebIndex 2017)."""
    kiosks: float = 0.1
    """Share of trips to a shop in which she uses the shop's tablet, as hundreds of others do. Most people sign
    in on it, or scan their card; the others leave anonymous events on the same cookie."""
    email_typos: float = 0.03
    """Share of the e-mail addresses typed in by hand (guest checkout, forms, chat, a receipt at the till) that
    are mistyped. Services that verify e-mail addresses put it at 1 to 8 %."""
    typo_hits: float = 0.05
    """Share of these typos that are another shopper's address; the others are nobody's."""
    recycled_phones: float = 0.02
    """Share of the telephone numbers that pass from one shopper to another in the course of the simulation. In
    the United States 35 million a year are given up for others, 5 to 10 % of those in use (FCC 18-177); few of
    the new owners are customers of the same shop."""

    def times(self, factor: float) -> IdentityNoise:
        """Return the same with everything happening `factor` times as often, but no share above 1.

        `typo_hits` stays: it says where typos lead, and there are `factor` times as many of these already.
        """
        often = {
            name: min(1.0, factor * getattr(self, name))
            for name in ("shared_tablets", "kiosks", "email_typos", "recycled_phones")
        }
        return msgspec.structs.replace(self, **often)


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
