"""Why two identifiers are one customer's, or aren't."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stream_app.cli.identity_text import explained, explanation_object
from stream_app.domain.commands import Op, Verdict
from stream_app.domain.explain import Why, explain, obstacle_at, refused_links, seen_with
from stream_app.domain.identities import Identities, load
from stream_app.domain.partition import LinkRules
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.rows import SightingRow

if TYPE_CHECKING:
    from collections.abc import Mapping

RAW: dict[str, Any] = {
    "namespaces": [
        {"name": "user_id", "priority": 1, "kind": "person", "limit": 1},
        {"name": "email", "priority": 2, "kind": "person", "limit": 5},
        {"name": "phone", "priority": 3, "kind": "person", "limit": 5},
        {"name": "cookie", "priority": 4, "kind": "device"},
    ],
    "shared_after": 2,
}
HOUR = 3_600_000


def identities(
    *seen: str,
    verdicts: Mapping[tuple[str, str], Verdict] | None = None,
    marks: Mapping[str, Verdict] | None = None,
) -> Identities:
    """Return who is who by events, one an hour, each "identifier identifier ...", strongest first."""
    sightings: dict[tuple[str, ...], SightingRow] = {}
    for place, names in enumerate(seen):
        one = (place * HOUR, f"e{place}")
        row = sightings.setdefault(tuple(names.split()), SightingRow(one[0], one[0], 0, []))
        row.note(*one)
    rules = LinkRules(IdentityPolicy.from_mapping(RAW))
    found = load(rules, sightings, verdicts or {}, marks or {})
    found.settle()
    return found


def verdict(op: Op) -> Verdict:
    return Verdict(9 * HOUR, op, "k1", "zoe", "ticket 81")


def test_one_customer_is_explained_by_the_shortest_chain_with_its_events() -> None:
    known = identities("email:a cookie:1", "email:a phone:2", "phone:2 cookie:3", "email:a cookie:1")
    found = explain(known, "cookie:1", "cookie:3")
    assert found.same
    assert [(step.one, step.other) for step in found.chain] == [
        ("cookie:1", "email:a"),
        ("email:a", "phone:2"),
        ("phone:2", "cookie:3"),
    ]
    first = found.chain[0]
    assert (first.first, first.last, first.count, first.events) == (0, 3 * HOUR, 2, ("e0", "e3"))
    assert explained(found) == [
        "cookie:1 and cookie:3 are the same customer",
        "  cookie:1 -- email:a: 2 events, 1970-01-01T00:00:00.000Z to 1970-01-01T03:00:00.000Z (e0, e3)",
        "  email:a -- phone:2: 1 event, 1970-01-01T01:00:00.000Z (e1)",
        "  phone:2 -- cookie:3: 1 event, 1970-01-01T02:00:00.000Z (e2)",
    ]


def test_an_assertion_is_told_with_who_gave_it_and_why() -> None:
    known = identities(verdicts={("email:a", "phone:2"): verdict(Op.ASSERT)})
    found = explain(known, "phone:2", "email:a")
    assert found.same
    assert found.verdict == found.chain[0].asserted == verdict(Op.ASSERT)
    assert (found.chain[0].count, found.chain[0].first) == (0, None)
    assert 'assert by zoe at 1970-01-01T09:00:00.000Z, "ticket 81" (k1)' in explained(found)[1]


def test_a_limit_is_told_with_the_values_that_reach_it() -> None:
    known = identities("user_id:ana cookie:1", "user_id:ben cookie:1", "user_id:ana email:a")
    found = explain(known, "email:a", "user_id:ben")
    assert not found.same
    obstacles = [step.obstacle for step in found.chain if step.obstacle]
    assert [(o.why, o.identifiers, o.namespace, o.limit) for o in obstacles] == [
        (Why.LIMIT, ("user_id:ana", "user_id:ben"), "user_id", 1)
    ]
    assert [(step.one, step.other) for step in refused_links(known)] == [("user_id:ana", "cookie:1")]
    assert list(refused_links(known, ["email:a"])) == []
    assert "the limit of user_id is 1: together they would have 2: user_id:ana, user_id:ben" in str(
        explained(found)
    )


def test_a_denial_is_told_with_who_gave_it() -> None:
    known = identities("email:a phone:2", verdicts={("email:a", "phone:2"): verdict(Op.DENY)})
    found = explain(known, "email:a", "phone:2")
    assert not found.same
    (step,) = found.chain
    assert step.obstacle is not None
    assert (step.obstacle.why, step.obstacle.verdict) == (Why.DENIED, verdict(Op.DENY))
    assert found.verdict == verdict(Op.DENY)
    assert explanation_object(found)["chain"][0]["obstacle"]["verdict"]["operator"] == "zoe"


def test_a_shared_device_in_between_is_told_with_how_many_it_was_seen_with() -> None:
    known = identities("email:a cookie:k", "email:b cookie:k", "email:c phone:3 cookie:k", "phone:3 cookie:k")
    assert known.shared == {"cookie:k"}
    found = explain(known, "email:a", "email:b")
    assert not found.same
    assert [step.obstacle.why for step in found.chain if step.obstacle] == [Why.SHARED, Why.SHARED]
    assert seen_with(known, ["cookie:k", "email:a"]) == {"cookie:k": 3, "email:a": 1}
    assert "cookie:k is shared: seen with 3, 2 allowed; it links nothing" in str(explained(found))


def test_a_blocked_identifier_in_between_is_told() -> None:
    known = identities("email:a phone:2", "phone:2 cookie:3", marks={"phone:2": verdict(Op.BLOCK)})
    found = explain(known, "email:a", "cookie:3")
    assert not found.same
    assert {step.obstacle.why for step in found.chain if step.obstacle} == {Why.BLOCKED}
    blocked = obstacle_at(known, "phone:2")
    assert blocked is not None
    assert blocked.verdict == verdict(Op.BLOCK)
    assert "phone:2 is blocked: block by zoe" in str(explained(found))


def test_a_way_around_what_is_shared_is_preferred() -> None:
    known = identities(
        "email:a cookie:k", "email:b cookie:k", "email:c cookie:k", "email:a cookie:1", "email:b cookie:1"
    )
    assert [step.other for step in explain(known, "email:a", "email:b").chain] == ["cookie:1", "email:b"]


def test_what_nothing_links_is_said_so() -> None:
    known = identities("email:a cookie:1", "email:b cookie:2")
    for other in ("email:b", "email:unknown"):
        found = explain(known, "email:a", other)
        assert (found.same, found.chain, found.verdict) == (False, (), None)
        assert explained(found)[1] == "nothing links them"


def test_a_denial_counts_even_where_nothing_links() -> None:
    known = identities("email:a", "phone:2", verdicts={("email:a", "phone:2"): verdict(Op.DENY)})
    found = explain(known, "phone:2", "email:a")
    assert found.chain == ()
    assert "an operator on this pair: deny by zoe" in explained(found)[-1]
