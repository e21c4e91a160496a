"""Which products a condition asks a store for, and how `stock[...]` reads where a truth value is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.domain.rules import shelf
from stream_app.domain.rules.conditions import Condition
from stream_app.domain.rules.syntax import CelSyntaxError

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
        ("(has(opened.sku) ? opened.sku : opened.unheard_of) in stock", {"O"}),
        ("(has(opened.unheard_of) ? opened.unheard_of : 'E') in stock", {"E"}),
        ("['A', opened.sku].exists(s, s in stock)", {"A", "O"}),
        ("['A', 'B'].filter(s, stock[s]) == ['A']", {"A", "B"}),
        ("'it\\'s' in stock || r'raw' in stock && stock['B\\u00e9']", {"it's", "raw", "B\u00e9"}),
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
        ("stock['A'] == true && stock['A'] != false && true == stock.A", {"A": 1}, True),
        ("stock['A'] == true", {}, False),
        ("stock['A'] != true && stock['A'] == false", {}, True),
        ("stock['A'] == 0 && stock['A'] <= 0 && stock['A'] < 1 && stock['A'] != 1", {}, True),
        ("stock['A'] == 0 || stock['A'] < 1", {"A": 1}, False),
        ("stock['A'] > 0.0", {"A": 1}, True),
        ("stock['A'] == 1 && 0 < stock.A && stock['A'] >= 1", {"A": 1}, True),
    ],
)
def test_a_product_by_itself_is_whether_the_store_had_it(source, stock, verdict):
    assert Condition(source, {"stock"}).holds({"stock": stock}) is verdict


@pytest.mark.parametrize(
    ("source", "offset", "message"),
    [
        ("stock['A'] >= 3", 0, "how many a store has isn't known"),
        ("has(opened.a) && 2 < stock.A", 21, "compare with 0"),
        ("stock['A'] >= 0", 0, "says the same of what the store has"),
        ("stock['A'] > true", 0, "a truth value is equal to another or not"),
        ("stock['A'] > opened.n", 0, "ask only whether the store has it"),
        ("stock['A'] + 1 > 1", 0, "ask only whether"),
        ("stock['A'] >= 5u", 0, "ask only whether"),
        ("opened.lines.exists(stock, stock.price > 0)", 20, "take another name"),
    ],
)
def test_what_no_store_can_answer_is_refused(source, offset, message):
    with pytest.raises(CelSyntaxError, match=message) as caught:
        Condition(source, {"stock", "opened"})
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    "source",
    [
        "stock['A' + 'B']",
        "stock[opened.list[0]]",
        "string(opened.number) in stock",
        "17 in stock",
        "opened.list.map(s, s + 'x').exists(s, s in stock)",
        "opened.lines.exists(one, one.parts.exists(part, part in stock))",
    ],
)
def test_a_product_that_cannot_be_looked_up_is_refused(source):
    with pytest.raises(CelSyntaxError, match="can't tell which product is meant"):
        shelf.asked(source)
