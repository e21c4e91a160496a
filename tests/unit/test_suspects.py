"""What looks wrong about who is who, found a component at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.identities import Identities
from stream_app.domain.partition import LinkRules
from stream_app.domain.policy import IdentityPolicy
from stream_app.runs.suspects import Joining, Large, Quarantined, Search

if TYPE_CHECKING:
    from collections.abc import Iterable

RULES = LinkRules(
    IdentityPolicy.from_mapping(
        {
            "namespaces": [
                {"name": "user_id", "priority": 1, "kind": "person", "limit": 1},
                {"name": "cookie", "priority": 2, "kind": "device"},
            ],
            "shared_after": 3,
            "max_devices": 4,
        }
    )
)


def component(*seen: str) -> Identities:
    found = Identities(RULES)
    for place, names in enumerate(seen):
        found.see(tuple(names.split()), place, f"e{place}")
    found.settle()
    return found


def looked_at(top: int, components: Iterable[Identities]) -> Search:
    search = Search(top)
    for one in components:
        search.look(one)
    return search


def test_the_largest_components_and_who_joins_most_come_first() -> None:
    pairs = [component(f"user_id:{number} cookie:{number}") for number in range(50)]
    large = component("user_id:x cookie:a", "user_id:x cookie:b", "user_id:x cookie:b", "user_id:x cookie:c")
    found = looked_at(2, [*pairs, large, component("user_id:alone")]).found()
    assert (found.components, found.identifiers) == (52, 105)
    assert found.largest == [
        Large(4, 1, ("user_id:x", "cookie:a", "cookie:b")),
        Large(2, 1, ("user_id:0", "cookie:0")),
    ]
    assert found.joining == [
        Joining("user_id:x", 3, 3, 4, shared=False),
        Joining("cookie:0", 1, 1, 1, shared=False),
    ]
    assert (found.quarantined, found.refused) == ([], {})


def test_shared_identifiers_are_counted_with_how_many_they_were_seen_with() -> None:
    kiosk = component(*(f"user_id:{number} cookie:kiosk" for number in range(6)))
    busy = component(*(f"user_id:busy cookie:{number}" for number in range(5)))
    found = looked_at(1, [kiosk, busy]).found()
    assert found.quarantined_count == 2
    assert found.quarantined == [Quarantined("cookie:kiosk", 6, "persons", 3)]
    assert found.joining[0] == Joining("cookie:kiosk", 6, 6, 6, shared=True)
    assert looked_at(5, [busy]).found().quarantined == [Quarantined("user_id:busy", 5, "devices", 4)]


def test_refused_links_are_counted_by_reason() -> None:
    tablets = [component(f"user_id:a{n} cookie:{n}", f"user_id:b{n} cookie:{n}") for n in range(3)]
    assert looked_at(1, tablets).found().refused == {"limit of user_id": 3}
