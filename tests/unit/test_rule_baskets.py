"""The fold of baskets: price x quantity added less removed, emptied by an order."""

from __future__ import annotations

from typing import Any

from stream_app.domain.rules.baskets import MAX_CARTS, MAX_LINES, MAX_PRICES, Baskets


def fold(*events: tuple[str, dict[str, Any]]) -> Baskets:
    baskets = Baskets()
    for event_type, properties in events:
        baskets.apply(event_type, properties)
    return baskets


def add(**properties: Any) -> tuple[str, dict[str, Any]]:
    return "Product Added", properties


def remove(**properties: Any) -> tuple[str, dict[str, Any]]:
    return "Product Removed", properties


def test_a_basket_is_what_was_added_less_what_was_removed() -> None:
    baskets = fold(
        add(cart_id="k", sku="A", price=40.0, quantity=2, currency="EUR"),
        add(cart_id="k", sku="B", price=5),
        remove(cart_id="k", sku="A", price=40.0),
    )
    assert baskets.view("k") == {
        "value": 45.0,
        "items": 2,
        "currency": "EUR",
        "products": [
            {"item": "A", "quantity": 1, "amount": 40.0},
            {"item": "B", "quantity": 1, "amount": 5.0},
        ],
    }


def test_what_moves_from_the_wish_list_into_a_basket_is_in_it() -> None:
    moved = ("Wishlist Product Added to Cart", {"cart_id": "k", "sku": "A", "price": 40.0})
    assert fold(moved, remove(cart_id="k", sku="B")).view("k")["value"] == 40


def test_what_is_removed_from_a_basket_that_is_not_there_makes_no_room_for_it() -> None:
    full = [add(cart_id=f"k{n}", sku="A", price=1) for n in range(MAX_CARTS)]
    baskets = fold(*full, remove(cart_id="gone", sku="B", price=3), add(cart_id="k1", sku="B"))
    assert len(baskets.carts) == MAX_CARTS
    assert baskets.view("k1")["value"] == 4


def test_an_order_empties_its_basket_and_one_without_basket_empties_all() -> None:
    both = (add(cart_id="k", sku="A", price=40), add(cart_id="l", sku="B", price=5))
    assert fold(*both, ("Order Completed", {"cart_id": "k"})).view("")["value"] == 5
    assert fold(*both, ("Cart Emptied", {"cart_id": "l"})).view("")["value"] == 40
    assert fold(*both, ("Order Completed", {"order_id": "o"})).view("")["value"] == 0
    assert fold(*both, ("Order Completed", {"cart_id": None})).carts == {}


def test_without_a_cart_id_all_baskets_count() -> None:
    baskets = fold(add(cart_id="k", sku="A", price=40), add(sku="B", price=5))
    assert (baskets.view("")["value"], baskets.view("k")["value"], baskets.view("other")["value"]) == (
        45,
        40,
        0,
    )


def test_a_missing_price_is_the_products_last_known_even_when_it_is_learnt_later() -> None:
    assert (
        fold(("Product Viewed", {"sku": "A", "price": 7}), add(sku="A", quantity=3)).view("")["value"] == 21
    )
    assert (
        fold(add(sku="A", quantity=3), ("Product Viewed", {"sku": "A", "price": 7})).view("")["value"] == 21
    )
    assert fold(add(sku="A", quantity=3)).view("")["value"] == 0
    assert fold(add(sku="A", price=7), remove(sku="A")).carts == {}


def test_no_more_can_be_removed_than_there_is() -> None:
    baskets = fold(add(sku="A", price=7), remove(sku="A", price=9, quantity=5), remove(sku="B", price=9))
    assert baskets.view("")["value"] == 0
    assert fold(add(sku="A", price=7, quantity=2), remove(sku="A", price=9)).view("")["value"] == 5


def test_products_may_come_as_a_list_and_be_named_by_product_id() -> None:
    products = [{"product_id": 12, "price": 3, "quantity": 2}, {"product_id": "13", "price": 4}, "nonsense"]
    baskets = fold(add(cart_id="k", products=products), remove(cart_id="k", product_id="12", price=3))
    assert [line["item"] for line in baskets.view("k")["products"]] == ["12", "13"]
    assert baskets.view("k")["value"] == 7


def test_what_is_no_number_is_as_if_absent() -> None:
    for price in ("12", True, None, float("nan"), float("inf"), -1, [1]):
        assert fold(add(sku="A", price=price)).view("")["value"] == 0
    assert fold(add(sku="A", price=5, quantity="two")).view("")["value"] == 5


def test_sums_of_cents_compare_as_people_expect() -> None:
    baskets = fold(*(add(sku=str(n), price=0.1) for n in range(3)), remove(sku="0", price=0.1))
    assert baskets.view("")["value"] == 0.2


def test_memory_is_bounded() -> None:
    many = fold(*(add(cart_id=f"k{n}", sku="A", price=1) for n in range(MAX_CARTS + 5)))
    assert list(many.carts) == [f"k{n}" for n in range(5, MAX_CARTS + 5)]
    wide = fold(*(add(sku=f"s{n}", price=1) for n in range(MAX_LINES + 50)))
    assert wide.view("")["value"] == MAX_LINES + 50
    assert len(wide.carts[""].lines) == MAX_LINES + 1
    assert (
        len(fold(*(("Product Viewed", {"sku": str(n), "price": 1}) for n in range(999))).prices) == MAX_PRICES
    )
    wide.apply("Product Removed", {"sku": "s240", "price": 1})
    assert wide.view("")["value"] == MAX_LINES + 49
