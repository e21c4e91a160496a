"""Which products a condition asks a store for, and how `stock[...]` reads where a truth value is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.domain.rules import shelf
from stream_app.domain.rules.conditions import Condition

VARIABLES: dict[str, Any] = {
    "opened": {"sku": "O", "number": 7},
    "customer": {"recently_viewed": ["V", "W", 3], "wishlist": ["Z"]},
    "cart": {"products": [{"item": "C"}, {"item": "D"}, {}]},
}


@pytest.mark.parametrize(
    ("source", "products"),
    [
        ("stock['A'] > 0", {"A"}),
        ("stock.A > 0 || has(stock.B)", {"A", "B"}),
        ("'A' in stock && !('B' in stock)", {"A", "B"}),
        ("stock[opened.sku] > 0", {"O"}),
        ("opened.sku in stock", {"O"}),
        ("opened.number in stock", set()),
        ("customer.recently_viewed.exists(s, s in stock)", {"V", "W"}),
        ("customer.recently_viewed.filter(s, s != 'V').exists(s, stock[s] > 0)", {"V", "W"}),
        ("cart.products.exists(p, stock[p.item] > 0)", {"C", "D"}),
        (
            "cart.products.exists(p, customer.wishlist.exists(w, w in stock && p.item in stock))",
            {"C", "D", "Z"},
        ),
        ("size(stock) > 0", set()),
        ("stock.exists(s, s == 'A')", set()),
        ("opened.unheard_of in stock", set()),
    ],
)
def test_a_store_is_asked_for_what_a_condition_names(source, products):
    assert shelf.named(shelf.asked(source), VARIABLES) == products


@pytest.mark.parametrize(
    ("source", "stock", "verdict"),
    [
        ("stock['A']", {"A": 1}, True),
        ("stock['A']", {}, False),
        ("!stock['A']", {}, True),
        ("stock.A && size(stock) == 1", {"A": 1}, True),
        ("stock['A'] ? size(stock) > 1 : true", {"A": 1}, False),
        ("['B', 'A'].exists(s, stock[s])", {"A": 1}, True),
        ("['B', 'A'].all(s, stock[s])", {"A": 1}, False),
        ("size(['B', 'A'].filter(s, stock[s])) == 1", {"A": 1, "B": 1}, False),
        ("stock['A'] == 1 && 0 < stock.A && stock['A'] >= 1", {"A": 1}, True),
    ],
)
def test_a_product_by_itself_is_whether_the_store_had_it(source, stock, verdict):
    assert Condition(source, {"stock"}).holds({"stock": stock}) is verdict
