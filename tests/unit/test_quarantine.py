"""Who is shared, step by step (order-free: tests/property/test_identities_incremental.py)."""

from __future__ import annotations

from typing import Any

from stream_app.domain.commands import Op, Verdict
from stream_app.domain.identities import Identities
from stream_app.domain.partition import LinkRules
from stream_app.domain.policy import IdentityPolicy

RAW: dict[str, Any] = {
    "namespaces": [
        {"name": "user_id", "priority": 1, "kind": "person", "limit": 5},
        {"name": "email", "priority": 2, "kind": "person", "limit": 9},
        {"name": "cookie", "priority": 3, "kind": "device"},
    ],
    "shared_after": 1,
}
KIOSK = "cookie:k"


class Watched:
    """A component's identities; each call is one event more, and returns who was found shared, or no longer."""

    def __init__(self, *, users: int = 5) -> None:
        first, *others = RAW["namespaces"]
        policy = IdentityPolicy.from_mapping(RAW | {"namespaces": [first | {"limit": users}, *others]})
        self.found = Identities(LinkRules(policy))
        self.events = 0

    def __call__(self, *names: str) -> set[str]:
        self.events += 1
        self.found.see(names, self.events, f"e{self.events}")
        return self.found.settle().toggled

    def say(self, op: Op, one: str, other: str) -> None:
        self.found.verdicts[one, other] = Verdict(self.events, op, "command", "operator", "reason")


def test_a_device_that_is_far_over_its_limit_is_released_when_its_persons_turn_out_to_be_few() -> None:
    see = Watched()
    see("email:a", KIOSK)
    assert see("email:b", KIOSK) == {KIOSK}
    see("email:c", KIOSK)
    see("email:d", KIOSK)
    assert see.found.quarantine.seen_with(KIOSK) == 4
    released = [see("user_id:1", f"email:{name}") for name in "abcd"]
    assert released == [set(), set(), set(), {KIOSK}]
    assert not see.found.shared


def test_a_device_that_was_released_is_found_shared_again_by_a_person_who_was_known() -> None:
    see = Watched()
    for name in "ab":
        see(f"email:{name}", KIOSK)
    for name in "ab":
        toggled = see("user_id:1", f"email:{name}")
    assert toggled == {KIOSK}
    see("email:e")
    assert see("email:e", KIOSK) == {KIOSK}
    see("email:f", KIOSK)
    see("user_id:1", "email:e")
    assert see("user_id:1", "email:f") == {KIOSK}


def test_seeing_again_who_is_one_person_decides_a_dispute_about_a_devices_persons() -> None:
    see = Watched(users=1)
    see("user_id:1", "email:m")
    see("user_id:2", "email:m")
    see("user_id:1", KIOSK)
    assert see("email:m", KIOSK) == {KIOSK}
    assert see("user_id:1", "email:m") == {KIOSK}
    assert not see.found.shared
    see.say(Op.DENY, "user_id:1", "email:m")
    assert see.found.judge(("user_id:1", "email:m"), None)
    assert see.found.settle().toggled == {KIOSK}


def test_persons_whom_an_operator_says_to_be_one_count_once() -> None:
    see = Watched()
    see("email:a", KIOSK)
    see.say(Op.ASSERT, "email:a", "email:b")
    see.found.compute()
    see.found.settle()
    assert see("email:b", KIOSK) == set()
    assert see("email:c", KIOSK) == {KIOSK}
    assert see.found.quarantine.seen_with(KIOSK) == 2


def test_a_released_device_is_nobodys_concern_however_many_use_it() -> None:
    see = Watched()
    see.found.marks[KIOSK] = Verdict(0, Op.RELEASE, "command", "operator", "reason")
    assert [see(f"email:{name}", KIOSK) for name in "abc"] == [set()] * 3
