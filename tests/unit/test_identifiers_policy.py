"""The identity policy: what ships is valid, and every mistake is told with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stream_app.domain.labels import Labels
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
    spaces = [{"name": f"device{n}", "priority": n, "kind": "device"} for n in (2, 9, 10, 100)]
    both = policy(USER, *spaces)
    labels = Labels(both, b"a key for tests")
    by_priority = [labels.of(f"{name}:1") for name in both.namespaces]
    assert by_priority == sorted(by_priority)
    assert labels.of("gone:1") > labels.of("device100:1")
    assert both.priority("gone:1") == NO_PRIORITY
    users = [f"user_id:{number}" for number in range(20)]
    assert sorted(users, key=labels.of) != sorted(users)


def test_a_label_tells_nothing_of_its_identifier_and_depends_on_the_deployments_key() -> None:
    one, other = (Labels(policy(USER), key).of("user_id:ana") for key in (b"one key", b"another key"))
    assert one != other
    assert one == Labels(policy(USER), b"one key").of("user_id:ana")
    assert "ana" not in one
    assert len({Labels(policy(USER), b"one key").of(f"user_id:{n}") for n in range(1_000)}) == 1_000


def test_a_namespace_is_hashed_only_where_the_policy_says_so() -> None:
    cookie = {"name": "cookie", "priority": 2, "kind": "device", "hashed": True}
    assert policy(USER, cookie).hashed == {"cookie"}
    assert policy(USER, cookie | {"hashed": False}).hashed == policy(USER).hashed == frozenset()
    assert IdentityPolicy.from_yaml(SHIPPED.read_text()).hashed == frozenset()


def test_customers_are_not_computed_anew_because_values_are_hashed_from_now_on() -> None:
    assert policy(USER).digest == policy(USER | {"hashed": True}).digest


def test_the_digest_of_the_order_changes_with_priorities_and_with_nothing_else() -> None:
    cookie = {"name": "cookie", "priority": 2, "kind": "device"}
    digest = policy(USER, cookie).order_digest
    assert digest == policy(cookie | {"limit": 3}, USER, blocked=["x"]).order_digest
    assert digest != policy(USER, cookie | {"priority": 3}).order_digest


NAMESPACE = "namespaces: [{name: a, priority: 1, kind: person}]\n"
MERGES = "x0: &x0 {a: 1}\n" + "".join(
    f"x{n}: &x{n} {{<<: [{', '.join([f'*x{n - 1}'] * 9)}]}}\n" for n in range(1, 40)
)
"""Two kilobytes; written out, more than any memory holds."""


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[" * 5000, "nested too deep"),
        ("{a: " * 5000, "nested too deep"),
        (MERGES, "`<<` is not read"),
        (NAMESPACE + "shared_after: " + "9" * 5000, "a value is not what it looks like"),
        (NAMESPACE + "shared_after: 2026-99-99", "a value is not what it looks like"),
        (NAMESPACE + "shared_after: !!timestamp soon", "a value is not what it looks like"),
        (NAMESPACE + "shared_after: !!float soon", "a value is not what it looks like"),
        (NAMESPACE + "shared_after: !!int ''", "a value is not what it looks like"),
        (NAMESPACE + "shared_after: !!bool soon", "a value is not what it looks like"),
        (NAMESPACE + "blocked: ['a{99999999999}']", "blocked[0]: not a regular expression"),
        (NAMESPACE + f"blocked: ['{'(' * 3000}{')' * 3000}']", "blocked[0]: not a regular expression"),
        ("!<" + "a" * 5000 + "> x", "not YAML"),
        ("#" * (1 << 19), "longer than"),
    ],
)
def test_a_hostile_file_is_refused_as_any_other_that_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(PolicyError) as caught:
        IdentityPolicy.from_yaml(text)
    assert str(caught.value).startswith("policy")
    assert complaint in str(caught.value)
    assert len(str(caught.value)) < 500
