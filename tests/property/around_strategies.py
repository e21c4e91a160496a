"""Small worlds for rules that see shops nearby, what they have, and prices by region.

A world as in `rule_strategies`: three shops, two products, two regions, and a few minutes in which people walk, say
where they buy, agree and disagree, while shops move, shelves get empty and prices change here and there.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tests.property.rule_strategies import IDENTIFIERS, MINUTE, UNTIL, is_change, timestamp

if TYPE_CHECKING:
    from tests.property.rule_strategies import Raw, World

SKUS = ("k", "l")
SHOPS = ("s1", "s2", "s3")
PLACES = (48.85, 48.9, 49.0, 49.5)
"""Degrees of latitude of shops and people: some of them are more than 50 km apart."""
REGIONS = ("DE", "FR")
NAMED = ("store.nearest.id", "store.nearest.distance_m", "store.nearest_in_stock.id")
NEARBY = (
    *("has(store.nearest)", "has(store.nearest_in_stock)", "!has(store.nearest_in_stock)"),
    *("store.nearest.distance_m < 6000.0", "store.nearest.id == 's1'", "store.nearest_in_stock.id != 's1'"),
    *("store.nearest_in_stock.id == store.nearest.id", "has(store.nearest.distance_m)"),
)
PRICED = ("cart.value >= 20.0", "cart.value < 20.0", "cart.value > 0.0")
FALLS = ("new.price < old.price", "new.price >= 20.0", "old.price <= 10.0", "cart.value >= 20.0")
PRICE = st.sampled_from((10.0, 20.0, 30.0))
HAS = st.dictionaries(st.sampled_from(SHOPS), st.sampled_from((0, 3)), min_size=1)


def products() -> st.SearchStrategy[Raw]:
    """Draw what is said of a product's prices."""
    prices = st.dictionaries(st.sampled_from(REGIONS), PRICE)
    return st.fixed_dictionaries({}, optional={"price": PRICE, "prices": prices})


def shops() -> st.SearchStrategy[Raw]:
    """Draw a shop's row."""
    return st.fixed_dictionaries(
        {"latitude": st.sampled_from(PLACES), "longitude": st.just(2.35)},
        optional={"country": st.sampled_from(REGIONS)},
    )


@st.composite
def rules(draw: st.DrawFn, *, plain: bool, about: str) -> Raw:
    """Draw a rule about shops nearby or prices."""
    rule: Raw = {"name": "r", "channel": draw(st.sampled_from((["email"], ["email", "push"])))}
    rule["payload"] = [*NAMED] if about == "shops" else ["cart"]
    opens: Raw = {"event": "A"}
    conditions = NEARBY if about == "shops" else PRICED
    if about == "prices" and (plain or draw(st.booleans())):
        opens = {"reference": "product.price", "event_before": ["A", "Product Added"], "match": "sku"}
        if draw(st.integers(0, 3)):
            opens["if"] = draw(st.sampled_from(FALLS[:3] if plain else FALLS))
        rule["key"] = draw(st.sampled_from(("sku", "other")))
    rule |= {"opens": opens, "after": draw(st.sampled_from(("0s", "1m", "3m"))), "instances": "per_event"}
    if plain:
        return rule | {"grace": "99d", "retract_within": "99d"}
    if draw(st.booleans()):
        rule["if"] = draw(st.sampled_from(conditions))
    return rule


@st.composite
def events(draw: st.DrawFn, number: int, *, plain: bool, regions: bool) -> Raw:
    """Draw an event; what it says of places, shops and regions has little to do with its type."""
    kind = draw(
        st.sampled_from(("A", "A", "A", "B", "Product Added", "Identify", *(["Consent Changed"][plain:])))
    )
    properties: Raw = {}
    if kind == "Consent Changed":
        properties = {
            "consent": draw(st.booleans()),
            "purpose": draw(st.sampled_from(("location", "marketing"))),
        }
        properties |= draw(st.sampled_from(({}, {}, {"channel": "email"})))
    elif kind == "Identify":
        properties = draw(st.sampled_from(({"preferred_store": "s2"}, {"preferred_store": None}, {"n": 1})))
    said: dict[str, st.SearchStrategy[Any]] = {"where": st.sampled_from(PLACES)}
    if regions:
        said |= {"region": st.sampled_from(REGIONS), "country": st.sampled_from(REGIONS)}
    if kind in {"A", "B"}:
        said["store_id"] = st.sampled_from(SHOPS)
    more = draw(st.fixed_dictionaries({}, optional=said))
    if "where" in more:
        properties |= {"latitude": more.pop("where"), "longitude": 2.35}
    if kind == "Product Added" or (kind == "A" and draw(st.booleans())):
        properties["sku"] = draw(st.sampled_from(SKUS))
    return {
        "event_id": f"e{number}",
        "time": timestamp(draw(MINUTE)),
        "channel": "web",
        "type": kind,
        "identifiers": IDENTIFIERS,
        "properties": properties | more,
    }


@st.composite
def changes(draw: st.DrawFn, *, plain: bool) -> Raw:
    """Draw a word about a product; but for `plain` worlds, or about a shop or its shelves."""
    kind = draw(st.sampled_from(("product", "product", "store", "stock")[: 2 if plain else 4]))
    if kind == "product":
        said = {"product": draw(st.sampled_from(SKUS))} | draw(products())
    elif kind == "store":
        row = draw(st.one_of(shops(), shops(), st.just({"gone": True})))
        said = {"store": draw(st.sampled_from(SHOPS))} | row
    else:
        said = {"stock": draw(st.sampled_from(SKUS)), "stores": draw(HAS)}
    return {"time": timestamp(draw(MINUTE)), "reference_change": said}


@st.composite
def worlds_around(draw: st.DrawFn, *, late: bool = False, about: str | None = None) -> World:
    """Draw a world: in the order of time, or, when `late`, in any, without what depends on when it is found out."""
    if about is None:
        about = "prices" if late else draw(st.sampled_from(("shops", "prices")))
    numbers = draw(st.permutations(range(draw(st.integers(2, 9)))))
    regions = draw(st.booleans())
    happened = [draw(events(number, plain=late, regions=regions)) for number in numbers]
    for change in draw(st.lists(changes(plain=late), max_size=5)):
        happened.insert(draw(st.integers(0, len(happened))), change)
    if not late:
        happened.sort(
            key=lambda one: (datetime.fromisoformat(one["time"]), is_change(one), one.get("event_id", ""))
        )
    consent = st.sampled_from(
        (True, {"marketing": True, "location": False}, {"marketing": True, "location": True})
    )
    return {
        "rules": [draw(rules(plain=late, about=about))],
        "policy": {} if late else {"consent_default": draw(consent)},
        "reference": {
            "products": [{"sku": sku} | draw(products()) for sku in SKUS],
            "stores": [{"id": shop} | draw(shops()) for shop in draw(st.sampled_from((SHOPS, SHOPS[:2])))],
            "stock": [{"sku": sku, "stores": draw(HAS)} for sku in SKUS],
        },
        "events": happened,
        "until": UNTIL,
    }
