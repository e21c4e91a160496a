"""The identity policy: what ships is valid, and every mistake is told with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_app.domain.policy import NO_PRIORITY, IdentityPolicy, PolicyError

SHIPPED = Path(__file__).parents[2] / "schemas" / "policies" / "identity.yaml"
USER: dict[str, Any] = {"name": "user_id", "priority": 1, "kind": "person"}


def policy(*namespaces: dict[str, Any], **more: Any) -> IdentityPolicy:
    return IdentityPolicy.from_mapping({"namespaces": list(namespaces), **more})


def test_the_policy_that_ships_is_valid_and_orders_the_namespaces() -> None:
    shipped = IdentityPolicy.from_yaml(SHIPPED.read_text())
    assert list(shipped.namespaces)[:6] == ["user_id", "loyalty", "email", "phone", "device", "cookie"]
    assert shipped.namespaces["email"].normalise == "email"
    assert shipped.namespaces["phone"].normalise == "phone"


def test_a_namespace_takes_the_normaliser_that_its_exact_name_suggests() -> None:
    spaces = policy(
        {"name": "email", "priority": 1, "kind": "person", "normalise": "none"},
        {"name": "phone", "priority": 2, "kind": "person"},
        {"name": "email2", "priority": 3, "kind": "person"},
    ).namespaces
    assert [space.normalise for space in spaces.values()] == ["none", "phone", "none"]


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        ([], "policy:"),
        ({}, "policy.namespaces:"),
        ({"namespaces": {}}, "policy.namespaces:"),
        ({"namespaces": [USER], "shared": 3}, "policy.shared:"),
        ({"namespaces": [USER], "shared_after": 0}, "policy.shared_after:"),
        ({"namespaces": [USER], "default_region": "XX"}, "policy.default_region:"),
        ({"namespaces": [USER], "default_region": 3}, "policy.default_region:"),
        ({"namespaces": [USER], "anonymous_events": "x"}, "policy.anonymous_events:"),
        ({"namespaces": [USER], "blocked": ["ok", "("]}, "policy.blocked[1]:"),
        ({"namespaces": [USER], "blocked": [0]}, "policy.blocked[0]:"),
        ({"namespaces": ["user_id"]}, "policy.namespaces[0]:"),
        ({"namespaces": [USER, USER | {"name": "b"}]}, "policy.namespaces[1].priority:"),
        ({"namespaces": [USER, USER | {"priority": 2}]}, "policy.namespaces[1].name:"),
        ({"namespaces": [USER | {"name": "a:b"}]}, "policy.namespaces[0].name:"),
        ({"namespaces": [{"name": "a", "kind": "person"}]}, "policy.namespaces[0].priority:"),
        ({"namespaces": [USER | {"priority": True}]}, "policy.namespaces[0].priority:"),
        ({"namespaces": [{"name": "a", "priority": 1}]}, "policy.namespaces[0].kind:"),
        ({"namespaces": [USER | {"kind": "robot"}]}, "policy.namespaces[0].kind:"),
        ({"namespaces": [USER | {"limit": "5"}]}, "policy.namespaces[0].limit:"),
        ({"namespaces": [USER | {"on_conflict": "best"}]}, "policy.namespaces[0].on_conflict:"),
        ({"namespaces": [USER | {"normalise": "name"}]}, "policy.namespaces[0].normalise:"),
        ({"namespaces": [USER | {"hashed": "yes"}]}, "policy.namespaces[0].hashed:"),
        ({"namespaces": [USER | {"pattern": "["}]}, "policy.namespaces[0].pattern:"),
    ],
)
def test_a_mistake_is_told_with_the_path_of_its_field(raw: object, place: str) -> None:
    with pytest.raises(PolicyError) as error:
        IdentityPolicy.from_mapping(raw)
    assert str(error.value).startswith(place)


def test_text_that_is_not_yaml_is_a_policy_error() -> None:
    with pytest.raises(PolicyError, match="not YAML"):
        IdentityPolicy.from_yaml("namespaces: [")


def test_labels_are_ordered_by_priority_then_by_a_hash_not_by_value() -> None:
    both = policy(USER, {"name": "cookie", "priority": 2, "kind": "device"})
    assert both.ordered("cookie:a", "user_id:z") == ("user_id:z", "cookie:a")
    users = [f"user_id:{number}" for number in range(20)]
    assert sorted(users, key=both.rank) != sorted(users)
    assert both.rank("user_id:1") == both.rank("user_id:1")
    assert both.priority("gone:1") == NO_PRIORITY


def test_the_digest_of_the_order_changes_with_priorities_and_with_nothing_else() -> None:
    cookie = {"name": "cookie", "priority": 2, "kind": "device"}
    digest = policy(USER, cookie).order_digest
    assert digest == policy(cookie | {"limit": 3}, USER, blocked=["x"]).order_digest
    assert digest != policy(USER, cookie | {"priority": 3}).order_digest
