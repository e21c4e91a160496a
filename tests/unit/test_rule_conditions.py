"""Conditions: CEL with the rule language's reading of what is missing."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.domain.rules.conditions import Condition
from stream_app.domain.rules.syntax import MAX_LENGTH, CelSyntaxError

EVENT: dict[str, Any] = {
    "whole": 1,
    "broken": 1.5,
    "null": None,
    "text": "x",
    "list": [1, 2],
    "map": {"inner": 3, "null": None},
    "two words": 2,
    "products": [{"price": 10, "sku": "A"}, {"sku": "B"}, {"price": None}, {"price": "dear"}],
    "big": 2**70,
}


def holds(source: str) -> bool:
    return Condition(source, {"event", "last"}).holds({"event": EVENT, "last": None})


@pytest.mark.parametrize(
    "source",
    [
        "event.whole >= 1",
        "event.whole >= 1.0",
        "event.broken > 1",
        "event['two words'] == 2",
        "event.map.inner == 3",
        "event.list == [1, 2]",
        "event.list != [1]",
        "event.text != 'y'",
        "1 in event.list",
        "event.text in ['x', 'y']",
        "event.text.startsWith('x') && size(event.list) == 2",
        "event.whole == 1 ? event.broken > 1 : false",
        "(has(event.missing) ? event.missing : event.text) == 'x'",
        "(has(event.text) ? event.text : event.missing) in ['x']",
        "(event.whole == 1 ? 2 : event.missing) > 1",
        "has(event.missing) == has(event.map.absent)",
        "has(event.missing) != has(event.text)",
        "!((has(event.missing) ? event.text : event.missing) == 'x')",
        "event.whole * event.broken > 1.4",
        "event.whole + event.broken != 3",
        "event.whole - -1 == 2",
        "(event.whole > 0) == true",
        "{'a': event.whole}.a == 1",
        "event.missing > 1 || true",
        "event.products.exists(p, p.price > 5)",
        "event.products.exists(p, !(p.price > 5))",
        "event.products.filter(p, has(p.price)).size() == 2",
        "event.list.all(n, n > 0 && n < event.broken + 1.0)",
        "true",
    ],
)
def test_what_is_true_in_cel_is_true(source: str) -> None:
    assert holds(source)


@pytest.mark.parametrize(
    "comparison",
    [
        "event.missing == 1",
        "event.missing != 1",
        "event.missing.deeper > 1",
        "event.text.deeper > 1",
        "event.null > 1",
        "event.null != 1",
        "event.null == null",
        "event.map.null != 1",
        "event.text > 1",
        "event.text != 1",
        "event.text == 1",
        "event.list != 1",
        "event.whole == true",
        "event.whole != true",
        "event.missing in [1]",
        "event.missing == event.null",
        "event.missing + 1 != 3",
        "event.text + 1 == 2",
        "event.whole / 0 == 1",
        "event.missing.startsWith('x')",
        "event.whole",
        "event.text.startsWith(event.whole)",
        "has(event.missing)",
        "has(event.null)",
        "last.sku == 'A'",
        "last.sku != 'A'",
        "has(last.sku)",
        "event.products.all(p, p.price > 5)",
        "event.missing.exists(p, p > 1)",
        "event.big < 2",
    ],
)
def test_a_comparison_with_what_is_missing_null_or_of_another_type_is_false_and_its_negation_true(
    comparison: str,
) -> None:
    assert not holds(comparison)
    assert holds(f"!({comparison})")


def test_the_values_that_were_looked_at_are_noted_by_path() -> None:
    seen: dict[str, Any] = {}
    condition = Condition("event.whole > 0 && event.missing != 1 && event.text == 'x'", {"event"})
    assert not condition.holds({"event": EVENT}, seen)
    assert seen == {"event.whole": 1}
    assert condition.paths == {("event", "whole"), ("event", "missing"), ("event", "text")}


@pytest.mark.parametrize(
    ("source", "offset", "message"),
    [
        ("1 > foo.a", 4, "no variable `foo`"),
        ("event.list.exists(x, y > 1)", 21, "no variable `y`"),
        ("event.whole >", 13, "the end is not expected"),
        ("event.whole = 1", 12, "`=` is not expected"),
        ("event..whole", 6, "`.` is not expected"),
        ("event.text.matches('(a+)+')", 11, "no function `matches`"),
        ("now() > 1", 0, "no function `now`"),
        ("has(event)", 0, "has() takes one property"),
        ("(" * 50 + "1" + ")" * 50, 40, "nested more than 40 deep"),
        ("!" * 50 + "true", 41, "nested more than 40 deep"),
        ("1 == 'abc", 5, "is not expected here"),
        ("event.price = 3", 12, "`=` is not expected here (equality is `==`)"),
        ("event.list.exists(x)", 11, "exists() takes a name"),
        ("event.list.exists()", 11, "exists() takes a name"),
        ("event.list.all(x, true, true)", 11, "all() takes a name"),
        ("event.list.map(x, true, true, true)", 11, "map() takes a name"),
        ("event.list.filter(1, true)", 11, "filter() takes a name"),
        ("true" + "&&true" * 330, 1086, "in a row"),
        ("1" + "+1" * 900, 1502, "in a row"),
        ("event" + ".a" * 900, 1504, "in a row"),
        ("event" + "[0]" * 600, 1356, "in a row"),
        ("[1].all(a, " * 3 + "true" + ")" * 3, 26, "more than 2 of all, exists"),
        ("['a']" + ".map(x, x + x)" * 30, 384, "more than 2 of all, exists"),
        ("true " * MAX_LENGTH, MAX_LENGTH, "longer than"),
    ],
)
def test_a_broken_condition_is_refused_when_it_is_compiled_and_says_where(
    source: str, offset: int, message: str
) -> None:
    with pytest.raises(CelSyntaxError) as caught:
        Condition(source, {"event"})
    assert message in str(caught.value)
    assert caught.value.offset == offset
