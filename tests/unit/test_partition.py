"""Which links join and which are refused, case by case; tests/property holds the whole against an oracle."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.domain.partition import Group, Link, LinkRules, Refusal, partition
from stream_app.domain.policy import IdentityPolicy


def rules(**fields: Any) -> LinkRules:
    spaces = [
        {"name": "user", "priority": 1, "kind": "person", "limit": 1},
        {"name": "mail", "priority": 2, "kind": "person", "limit": 2},
        {"name": "till", "priority": 3, "kind": "person", "on_conflict": "oldest"},
        {"name": "cookie", "priority": 4, "kind": "device"},
    ]
    return LinkRules(IdentityPolicy.from_mapping({"namespaces": [one | fields for one in spaces]}))


def customers(
    *links: Link, denied: tuple[tuple[str, str], ...] = ()
) -> tuple[set[frozenset[str]], dict[tuple[str, str], Refusal]]:
    """Return the customers and the refused links, whatever the order in which links are given."""
    names = {end for link in links for end in link[:2]}
    foes: dict[str, set[str]] = {}
    for one, other in denied:
        foes.setdefault(one, set()).add(other)
        foes.setdefault(other, set()).add(one)
    forth, back = (partition(rules(), names, given, foes) for given in (links, links[::-1]))
    assert forth[1] == back[1]
    found, other = ({frozenset(group.members) for group in one[0].values()} for one in (forth, back))
    assert found == other
    for name, group in forth[0].items():
        assert name in group.members
        refused = {end for pair in forth[1] for end in pair}
        assert group.contested == (not refused.isdisjoint(group.members))
    return found, forth[1]


def test_links_join_and_a_circle_of_them_ends_nothing():
    found, refused = customers(
        Link("user:a", "mail:a", 1, 1),
        Link("user:a", "cookie:a", 1, 1),
        Link("mail:a", "cookie:a", 1, 1),
        Link("till:z", "cookie:z", 1, 1),
    )
    assert found == {frozenset({"user:a", "mail:a", "cookie:a"}), frozenset({"till:z", "cookie:z"})}
    assert refused == {}


def test_a_small_group_joins_a_large_one_and_the_other_way_round():
    chain = [Link(f"till:{n}", f"cookie:{n}", 1, 1) for n in range(3)]
    chain += [Link(f"till:{n}", f"cookie:{n + 1}", 1, 2) for n in range(2)]
    found, _ = customers(*chain, Link("user:a", "till:2", 1, 1), Link("user:a", "mail:a", 1, 1))
    assert found == {frozenset({"user:a", "mail:a", *(end for link in chain for end in link[:2])})}


def test_of_two_users_of_a_cookie_the_one_seen_last_has_it():
    found, refused = customers(Link("user:a", "cookie:c", 5, 9), Link("user:b", "cookie:c", 1, 8))
    assert found == {frozenset({"user:a", "cookie:c"}), frozenset({"user:b"})}
    assert refused == {("user:b", "cookie:c"): Refusal("limit", "user", ("user:b", "user:a"))}


def test_of_two_users_of_a_till_the_one_seen_first_has_it():
    found, refused = customers(Link("user:a", "till:t:1", 5, 9), Link("user:b", "till:t:1", 1, 2))
    assert found == {frozenset({"user:b", "till:t:1"}), frozenset({"user:a"})}
    assert set(refused) == {("user:a", "till:t:1")}


def test_the_stronger_namespace_comes_before_time():
    found, refused = customers(
        Link("user:a", "mail:m", 1, 1), Link("mail:m", "cookie:c", 1, 9), Link("user:b", "cookie:c", 1, 5)
    )
    assert found == {frozenset({"user:a", "mail:m"}), frozenset({"user:b", "cookie:c"})}
    assert set(refused) == {("mail:m", "cookie:c")}


def test_a_limit_counts_all_that_has_been_joined():
    links = [Link(f"mail:{n}", "cookie:c", 1, 9 - n) for n in range(3)]
    found, refused = customers(*links)
    assert found == {frozenset({"mail:0", "mail:1", "cookie:c"}), frozenset({"mail:2"})}
    assert refused == {("mail:2", "cookie:c"): Refusal("limit", "mail", ("mail:2", "mail:0"))}


def test_a_limit_is_not_reached_by_one_side_alone_nor_by_namespaces_without_one():
    found, refused = customers(
        Link("mail:1", "cookie:c", 1, 3), Link("mail:2", "cookie:c", 1, 2), Link("till:1", "cookie:c", 1, 1),
        Link("till:2", "cookie:c", 1, 1), Link("till:3", "cookie:c", 1, 1),
    )  # fmt: skip
    assert (len(found), refused) == (1, {})


def test_what_was_refused_ends_nothing_and_an_empty_side_counts_nothing():
    found, refused = customers(
        Link("till:1", "cookie:c", 1, 1, asserted=True),
        Link("user:a:1", "cookie:c", 1, 9),
        Link("user:b:1", "cookie:c", 1, 8),
        Link("mail:1", "cookie:c", 1, 7),
        Link("mail:2", "cookie:c", 1, 6),
    )
    assert found == {
        frozenset({"till:1", "cookie:c", "user:a:1", "mail:1", "mail:2"}),
        frozenset({"user:b:1"}),
    }
    assert refused == {("user:b:1", "cookie:c"): Refusal("limit", "user", ("user:b:1", "user:a:1"))}


def test_an_assertion_comes_first_and_joins_beyond_a_limit():
    found, refused = customers(
        Link("user:a", "user:b", 9, 9, asserted=True),
        Link("user:a", "cookie:c", 1, 1),
        Link("user:c", "cookie:c", 1, 99),
    )
    assert found == {frozenset({"user:a", "user:b"}), frozenset({"user:c", "cookie:c"})}
    assert set(refused) == {("user:a", "cookie:c")}
    found, refused = customers(
        Link("user:c", "cookie:c", 1, 99), Link("user:a", "cookie:c", 1, 1, asserted=True)
    )
    assert found == {frozenset({"user:a", "cookie:c"}), frozenset({"user:c"})}


def test_a_denial_holds_against_an_assertion_and_is_told_the_stronger_one_first():
    found, refused = customers(
        Link("user:a", "mail:m", 1, 1, asserted=True), denied=(("mail:m", "user:a"), ("mail:m", "user:none"))
    )
    assert found == {frozenset({"user:a"}), frozenset({"mail:m"})}
    assert refused == {("user:a", "mail:m"): Refusal("denied", "", ("user:a", "mail:m"))}


@pytest.mark.parametrize("second", [(), (("till:4", "mail:1"),), (("mail:2", "till:3"),)])
def test_a_denial_goes_with_whoever_is_joined_however_many_there_are(second):
    denied = (("till:1", "till:4"), *second)
    found, refused = customers(
        Link("till:1", "cookie:1", 1, 1),
        Link("mail:1", "till:1", 1, 1),
        Link("till:4", "cookie:4", 1, 1),
        Link("mail:2", "till:4", 1, 1),
        Link("till:1", "cookie:4", 0, 0),
        denied=denied,
    )
    assert {frozenset({"mail:1", "till:1", "cookie:1"}), frozenset({"mail:2", "till:4", "cookie:4"})} == found
    ((pair, refusal),) = refused.items()
    assert pair == ("till:1", "cookie:4")
    assert refusal == Refusal(
        "denied", "", ("mail:1", "till:4") if "mail:1" in str(second) else ("till:1", "till:4")
    )


def test_what_two_groups_are_kept_from_is_kept_with_the_smallest_of_their_members():
    one = rules().single("till:2", ["cookie:x", "cookie:y"])
    one.absorb(rules().single("till:1", ["cookie:x", "cookie:z"]))
    assert one.foes == {"cookie:x": "till:1", "cookie:y": "till:2", "cookie:z": "till:1"}
    one.absorb(rules().single("till:0"))
    assert one.foes == {"cookie:x": "till:1", "cookie:y": "till:2", "cookie:z": "till:1"}
    none = rules().single("till:9")
    none.absorb(one)
    assert none.foes == one.foes
    assert none.foes is not one.foes


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("other", [False, True])
def test_whoever_is_joined_to_what_is_contested_is_contested(one, other):
    group, joining = rules().single("cookie:a"), rules().single("cookie:b")
    group.contested, joining.contested = one, other
    group.absorb(joining)
    assert group.contested == (one or other)


def test_the_first_of_a_group_is_the_smallest_place_there_is():
    def group(*first: Any) -> Group:
        made = rules().single("cookie:a")
        made.first = first or None
        return made

    places = [(1, 5, "user:a"), (1, 6, "user:a"), ()]
    for one in places:
        for other in places:
            joined = group(*one)
            joined.absorb(group(*other))
            assert joined.first == min(filter(None, (one, other)), default=None)
