"""The oracle of identity against the design: the examples, a case for each sentence, and its own laws."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.policy import IdentityPolicy
from tests.property.examples import examples
from tests.property.identity_cases import problems
from tests.property.identity_oracle import Answer, answer
from tests.property.identity_strategies import arrivals, policies, timestamp

EXAMPLES = Path(__file__).parents[3] / "shared" / "cases" / "identity_examples.jsonl"
ORDERS = 12
Case = dict[str, Any]


def orders(case: Case, seed: int = 0) -> list[list[Any]]:
    """Return the order given and some others, unless the case insists on its own."""
    events = list(case["events"])
    if case.get("ordered"):
        return [events]
    if len(events) <= 4:
        return [list(order) for order in itertools.permutations(events)]
    draw = random.Random(seed)
    return [events, *(draw.sample(events, len(events)) for _ in range(ORDERS))]


def failures(case: Case) -> list[str]:
    """Return what goes wrong in the order given and, `after` aside, in others."""
    in_any_order = {name: value for name, value in case["expect"].items() if name != "after"}
    given_order, *others = orders(case)
    found = problems(case | {"events": given_order}, answer)
    for order in others:
        found += problems(case | {"events": order, "expect": in_any_order}, answer)
    return sorted(set(found))


def policy(**changes: Any) -> dict[str, Any]:
    """Make a policy; a namespace's name as keyword changes its fields, others are the policy's own."""
    spaces: dict[str, dict[str, Any]] = {
        "user_id": {"kind": "person", "limit": 1},
        "loyalty": {"kind": "person", "limit": 1},
        "email": {"kind": "person", "limit": 2},
        "phone": {"kind": "person", "limit": 5},
        "device": {"kind": "device", "limit": 20},
        "cookie": {"kind": "device", "limit": 50},
    }
    for name in spaces.keys() & changes.keys():
        spaces[name] |= changes.pop(name)
    named: list[dict[str, Any]] = [
        {"name": name, "priority": place} | fields for place, (name, fields) in enumerate(spaces.items(), 1)
    ]
    return {"namespaces": named} | changes


def event(event_id: str, minute: int, **identifiers: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "time": timestamp(minute),
        "channel": "web",
        "type": "Page Viewed",
        "identifiers": identifiers,
    }


def op(name: str, minute: int, *identifiers: str) -> dict[str, Any]:
    fields = ("a", "b") if len(identifiers) == 2 else ("id",)
    return {"op": name, "time": timestamp(minute)} | dict(zip(fields, identifiers, strict=True))


def case(
    events: list[dict[str, Any]], expect: dict[str, Any], *, ordered: bool = False, **changes: Any
) -> Case:
    return {"policy": policy(**changes), "events": events, "expect": expect, "ordered": ordered}


@pytest.fixture(scope="module")
def given_examples() -> list[Case]:
    if not EXAMPLES.is_file():
        pytest.skip(
            "no ../shared/cases/identity_examples.jsonl beside this checkout: the examples are not part of it"
        )
    return [json.loads(line) for line in EXAMPLES.read_text("utf-8").splitlines() if line]


def test_the_designs_examples_hold_in_any_order_of_arrival(given_examples: list[Case]) -> None:
    assert given_examples
    assert {case["id"]: failures(case) for case in given_examples} == {
        case["id"]: [] for case in given_examples
    }


A, B, C = "user_id:a", "user_id:b", "user_id:c"
EMAIL, COOKIE, DEVICE = "email:e@example.org", "cookie:k", "device:d"
E = "e@example.org"
TWO_ON_A_COOKIE = [event("e1", 1, user_id="a", cookie="k"), event("e2", 2, user_id="b", cookie="k")]
KIOSK = [event(f"e{number}", number, user_id=name, device="d") for number, name in enumerate("abc", 1)]
TRAVELLER = [event(f"e{number}", number, user_id="a", cookie=f"k{number}") for number in (1, 2, 3)]

SENTENCES: dict[str, Case] = {
    # Words
    "a namespace that the policy doesn't name is a property, not an identifier": case(
        [event("e1", 1, cookie="k", shoe_size="44"), event("e2", 2, user_id="a", shoe_size="44")],
        {"customers": [[COOKIE], [A]]},
    ),
    "evidence is a star around the event's strongest identifier": case(
        # e and the cookie have no link of their own, so what parts them from a parts them from each other
        [event("e1", 1, user_id="a", email=E, cookie="k"), op("deny", 2, A, EMAIL), op("deny", 2, A, COOKIE)],
        {"customers": [[A], [EMAIL], [COOKIE]]},
    ),
    "the strongest identifier is the smallest by priority, then value": case(
        [event("e1", 1, email=["y@x.org", "z@x.org"], cookie="k"), op("deny", 2, "email:z@x.org", COOKIE)],
        {"same": [("email:y@x.org", "email:z@x.org")], "different": [("email:y@x.org", COOKIE)]},
        email={"limit": 5},
    ),
    # Who is who
    "links are ordered: asserted first": case(
        [*TWO_ON_A_COOKIE, op("assert", 0, A, COOKIE)],
        {"customers": [[A, COOKIE], [B]]},
    ),
    "links are ordered by the priority of the weaker end before any time": case(
        [
            event("e1", 1, user_id="b", loyalty="l"),
            event("e2", 8, loyalty="l", cookie="k"),
            event("e3", 9, user_id="a", cookie="k"),
        ],
        {"customers": [[A, COOKIE], [B, "loyalty:l"]]},
    ),
    "links are ordered by the priority of the stronger end before any time": case(
        [
            event("e1", 1, user_id="a", phone="+33612345678"),
            event("e2", 9, email=E, phone="+33612345678"),
            event("e3", 2, user_id="b", email=E),
        ],
        {"customers": [[A, "phone:+33612345678"], [B, EMAIL]]},
    ),
    "the weaker end's priority goes before the stronger end's": case(
        [
            event("e1", 1, loyalty="l", email=E),
            event("e2", 2, user_id="a", cookie="k"),
            op("assert", 3, EMAIL, COOKIE),
            op("deny", 3, A, "loyalty:l"),
        ],
        {"customers": [["loyalty:l", EMAIL, COOKIE], [A]]},
    ),
    "newest: by last event time, latest first": case(
        [*TWO_ON_A_COOKIE, event("e3", 3, user_id="a", cookie="k")],
        {"same": [(A, COOKIE)], "different": [(A, B)]},
    ),
    "oldest: by first event time, earliest first": case(
        [*TWO_ON_A_COOKIE, event("e3", 3, user_id="a", cookie="k")],
        {"same": [(A, COOKIE)], "different": [(A, B)]},
        cookie={"on_conflict": "oldest"},
    ),
    "time counts as the weaker end's namespace says": case(
        TWO_ON_A_COOKIE,
        {"same": [(B, COOKIE)]},
        user_id={"on_conflict": "oldest"},
    ),
    "then by the identifiers themselves, ascending": case(
        [event("e1", 1, user_id="b", cookie="k"), event("e2", 1, user_id="a", cookie="k")],
        {"customers": [[A, COOKIE], [B]]},
    ),
    "then by the identifiers themselves, weaker end first": case(
        # x-b (weaker x) goes before y-a (weaker y), though a is before b
        [
            event("e1", 1, user_id="b", email="x@x.org"),
            event("e2", 1, user_id="a", email="y@x.org"),
            op("assert", 1, "email:x@x.org", "email:y@x.org"),
        ],
        {"customers": [[B, "email:x@x.org", "email:y@x.org"], [A]]},
    ),
    "denied links win over everything, directly": case(
        [event("e1", 9, user_id="a", email=E), op("deny", 1, A, EMAIL)],
        {"customers": [[A], [EMAIL]], "event_owner": {"e1": A}},
    ),
    "denied links win over everything, through a path": case(
        [op("assert", 3, A, B), op("assert", 3, B, C), op("deny", 1, A, C)],
        {"customers": [[A, B], [C]]},
    ),
    "a link that would hold more values than its limit is refused": case(
        [event(f"e{number}", number, user_id="a", email=f"{number}@x.org") for number in (1, 2, 3)],
        {"customers": [[A, "email:2@x.org", "email:3@x.org"], ["email:1@x.org"]]},
    ),
    "a namespace without a limit takes any number": case(
        [event(f"e{number}", number, user_id="a", email=f"{number}@x.org") for number in range(9)],
        {"n_customers": 1},
        email={"limit": None},
    ),
    "asserted links win over limits": case(
        [op("assert", 1, A, B), op("assert", 2, B, C)], {"customers": [[A, B, C]]}
    ),
    "what an assertion took over the limit doesn't stop a cookie from joining": case(
        [op("assert", 1, A, B), event("e1", 2, user_id="a", cookie="k")],
        {"customers": [[A, B, COOKIE]]},
    ),
    "asserted identifiers count as values of their own": case(
        [
            op("assert", 1, "email:x@x.org", "email:y@x.org"),
            event("e1", 1, phone="+33612345678", email="x@x.org"),
            event("e2", 1, phone="+33612345678", email="z@x.org"),
        ],
        {"customers": [["email:x@x.org", "email:y@x.org", "phone:+33612345678"], ["email:z@x.org"]]},
    ),
    "an operator's verdict on a pair is the latest by its own time": case(
        [op("deny", 1, A, B), op("assert", 2, B, A), op("assert", 1, B, C), op("withdraw", 2, C, B)],
        {"customers": [[A, B]]},
    ),
    "a withdrawn denial leaves the evidence alone": case(
        [event("e1", 1, user_id="a", cookie="k"), op("deny", 2, A, COOKIE), op("withdraw", 3, A, COOKIE)],
        {"customers": [[A, COOKIE]]},
    ),
    "at one instant deny counts": case(
        [
            event("e1", 1, user_id="a", cookie="k"),
            op("assert", 2, A, COOKIE),
            op("deny", 2, A, COOKIE),
            op("withdraw", 2, A, COOKIE),
        ],
        {"customers": [[A], [COOKIE]]},
    ),
    "at one instant, then withdraw": case(
        [op("assert", 2, A, COOKIE), op("withdraw", 2, A, COOKIE)], {"customers": []}
    ),
    "an asserted link's time is the verdict's": case(
        # the evidence of e2, later than both verdicts, doesn't count
        [
            op("assert", 1, B, COOKIE),
            op("assert", 2, A, COOKIE),
            op("deny", 1, A, B),
            TWO_ON_A_COOKIE[1] | {"time": timestamp(9)},
        ],
        {"customers": [[A, COOKIE], [B]]},
    ),
    "an assertion alone makes its identifiers exist, a denial doesn't": case(
        [op("assert", 1, A, COOKIE), op("deny", 1, B, EMAIL)], {"customers": [[A, COOKIE]]}
    ),
    "an assertion that a denial stops makes its identifiers exist all the same": case(
        [op("assert", 1, A, COOKIE), op("assert", 1, B, COOKIE), op("deny", 1, A, B)],
        {"customers": [[A, COOKIE], [B]]},
    ),
    "a verdict about a blocked or invalid value is void": case(
        [op("assert", 1, A, "email:null"), op("assert", 1, B, "email:nobody"), op("assert", 1, C, "shoe:44")],
        {"customers": []},
    ),
    "a verdict names identifiers as any event would": case(
        [op("assert", 1, "user_id: a ", "email:E@Example.org"), op("deny", 2, A, COOKIE)],
        {"customers": [[A, EMAIL]]},
    ),
    "an event belongs to the customer that holds its strongest identifier": case(
        [event("e1", 1, user_id="a", cookie="k"), event("e2", 2, user_id="b", cookie="k")],
        {"event_owner": {"e1": A, "e2": B}},
    ),
    "an anonymous event belongs to the most recent login at or before it": case(
        [
            *TWO_ON_A_COOKIE,
            event("e3", 1, cookie="k"),
            event("e4", 2, cookie="k"),
            event("e5", 3, cookie="k"),
        ],
        {"event_owner": {"e3": A, "e4": B, "e5": B}},
    ),
    "the most recent login on any of its devices counts": case(
        [
            event("e1", 1, user_id="a", device="d"),
            event("e2", 2, user_id="b", cookie="k"),
            event("e3", 3, device="d", cookie="k"),
        ],
        {"event_owner": {"e3": B}},
    ),
    "logins at equal times: the strongest device's": case(
        [
            event("e1", 1, user_id="b", device="d"),
            event("e2", 1, user_id="a", cookie="k"),
            event("e3", 3, device="d", cookie="k"),
        ],
        {"event_owner": {"e3": B}},
    ),
    "else to that of the earliest login after it": case(
        [
            event("e1", 0, cookie="k"),
            event("e2", 3, user_id="b", cookie="k"),
            event("e3", 1, user_id="a", cookie="k"),
        ],
        {"event_owner": {"e1": A}},
    ),
    "or to whoever holds its strongest device now": case(
        [*TWO_ON_A_COOKIE, event("e3", 1, cookie="k")],
        {"event_owner": {"e3": B}},
        anonymous_events="device_owner",
    ),
    "of two persons at one instant, the smaller identifier counts": case(
        [
            event("e1", 1, email=E, cookie="k"),
            event("e2", 1, user_id="z", cookie="k"),
            event("e3", 1, user_id="y", cookie="k"),
            event("e4", 2, cookie="k"),
            op("deny", 1, EMAIL, COOKIE),
        ],
        {"event_owner": {"e1": EMAIL, "e4": "user_id:y"}},
    ),
    "a login is any event that carries a person identifier beside the device": case(
        # the strongest identifier of e1 is the device: its person counts all the same
        [
            event("e1", 1, user_id="a", device="d"),
            event("e2", 2, user_id="b", device="d"),
            event("e3", 1, device="d"),
        ],
        {"event_owner": {"e1": B, "e2": B, "e3": A}},
        device={"priority": 1},
        user_id={"priority": 5, "on_conflict": "newest"},
    ),
    "an event with no login on any device belongs to whoever holds its strongest device": case(
        [event("e1", 1, device="d", cookie="k"), op("assert", 1, A, DEVICE)], {"event_owner": {"e1": A}}
    ),
    "a copy is dropped": case(
        [event("e1", 1, user_id="a", cookie="k"), event("e1", 1, user_id="a", cookie="k")],
        {"customers": [[A, COOKIE]]},
    ),
    "another content under the same id is a conflict, and the first one stands": case(
        [event("e1", 2, user_id="a", cookie="k"), event("e1", 1, user_id="b", email=E)],
        {"customers": [[A, COOKIE]], "event_owner": {"e1": A}, "after": {"e1": {"n_customers": 1}}},
        ordered=True,
    ),
    # Keeping it sane
    "blocked values never link": case(
        [
            event("e1", 1, cookie="k1", email=" NULL"),
            event("e2", 2, cookie="k2", email="null"),
            event("e3", 2, cookie="[object Object]"),
        ],
        {"customers": [["cookie:k1"], ["cookie:k2"]], "event_owner": {"e3": None}},
    ),
    "what fails validation is not used, the event goes on with the rest": case(
        [event("e1", 1, cookie="k", email="nobody", phone="12"), event("e2", 1, user_id="a", email="nobody")],
        {"customers": [[COOKIE], [A]]},
    ),
    "a device seen with more than shared_after persons is a customer of its own": case(
        [*KIOSK, event("e9", 9, device="d")],
        {"customers": [[A], [B], [C], [DEVICE]], "event_owner": {"e1": A, "e9": DEVICE}},
        shared_after=2,
    ),
    "a device seen with as many persons as shared_after isn't shared": case(
        KIOSK, {"customers": [[A], [B], [C, DEVICE]]}, shared_after=3
    ),
    "one person's e-mail and phone are one": case(
        [
            event("e1", 1, email=E, device="d"),
            event("e2", 2, phone="+33612345678", device="d"),
            event("e3", 3, email=E, phone="+33612345678"),
        ],
        {"customers": [[EMAIL, "phone:+33612345678", DEVICE]]},
        shared_after=1,
    ),
    "persons are customers as person identifiers alone form them": case(
        # a cookie makes them one customer, but not one person
        [
            event("e1", 1, email=E, cookie="k"),
            event("e2", 2, phone="+33612345678", cookie="k"),
            event("e3", 3, email=E, device="d"),
            event("e4", 4, phone="+33612345678", device="d"),
        ],
        {
            "n_customers": 4,
            "different": [(EMAIL, COOKIE), (EMAIL, DEVICE), (EMAIL, "phone:+33612345678")],
        },
        shared_after=1,
    ),
    "an operator's assertion makes two accounts one person": case(
        [*TWO_ON_A_COOKIE, op("assert", 3, A, B)], {"customers": [[A, B, COOKIE]]}, shared_after=1
    ),
    "an operator's denial makes two persons of one": case(
        [
            event("e1", 1, user_id="a", email=E),
            event("e2", 2, user_id="a", cookie="k"),
            event("e3", 3, email=E, cookie="k"),
            op("deny", 4, A, EMAIL),
        ],
        {"customers": [[A], [EMAIL], [COOKIE]]},
        shared_after=1,
    ),
    "a person identifier with more than max_devices devices is a customer of its own": case(
        [*TRAVELLER, event("e4", 4, user_id="a")],
        {
            "customers": [[A], ["cookie:k1"], ["cookie:k2"], ["cookie:k3"]],
            "event_owner": {"e1": "cookie:k1", "e4": A},
        },
        max_devices=2,
    ),
    "a person identifier with as many devices as max_devices isn't shared": case(
        TRAVELLER, {"n_customers": 1}, max_devices=3
    ),
    "devices count per identifier, not per customer": case(
        [
            event("e1", 1, user_id="a", email=E),
            event("e2", 2, user_id="a", cookie="k"),
            event("e3", 3, email=E, device="d"),
        ],
        {"n_customers": 1},
        max_devices=1,
    ),
    "an event that carries a normal device beside the shared one belongs by that one": case(
        [*KIOSK, event("e5", 5, user_id="a", cookie="k"), event("e9", 9, device="d", cookie="k")],
        {"event_owner": {"e9": A}, "same": [(A, COOKIE)], "different": [(DEVICE, COOKIE)]},
        shared_after=2,
    ),
    "stars form around what remains": case(
        [*TRAVELLER, event("e4", 4, user_id="a", email=E, cookie="k1")],
        {"same": [(EMAIL, "cookie:k1")], "different": [(A, EMAIL)], "event_owner": {"e4": EMAIL}},
        max_devices=2,
    ),
    "a quarantined person's logins don't count": case(
        [event("e0", 0, user_id="b", cookie="k1"), *TRAVELLER, event("e4", 4, cookie="k1")],
        {"event_owner": {"e4": B, "e1": B}},
        max_devices=2,
    ),
    "persons and devices are counted whatever else is quarantined": case(
        # the kiosk counts as a device of a, and a as a person on the kiosk, though both are shared
        [*KIOSK, *({**one, "event_id": f"t{one['event_id']}"} for one in TRAVELLER[:2])],
        {"customers": [[A], [B], [C], [DEVICE], ["cookie:k1"], ["cookie:k2"]]},
        shared_after=2,
        max_devices=2,
    ),
    "an event whose identifiers are all quarantined belongs to the strongest of them": case(
        [*KIOSK, *({**one, "event_id": f"t{one['event_id']}"} for one in TRAVELLER[:2])],
        {"event_owner": {"e1": A, "te1": "cookie:k1"}},
        shared_after=2,
        max_devices=2,
    ),
    "a quarantined identifier makes no links, asserted ones included": case(
        [*KIOSK, op("assert", 9, A, DEVICE), op("assert", 9, EMAIL, DEVICE)],
        {"customers": [[A], [B], [C], [DEVICE], [EMAIL]]},
        shared_after=2,
    ),
    "released when the evidence no longer holds": case(
        [*KIOSK, op("block", 9, C)], {"customers": [[A], [B, DEVICE]]}, shared_after=2
    ),
    "released by an operator's release, which exempts it": case(
        [*KIOSK, op("release", 0, DEVICE)], {"customers": [[A], [B], [C, DEVICE]]}, shared_after=2
    ),
    # Operators
    "block: everything is then as if no event had carried it": case(
        [event("e1", 5, user_id="a", email=E, cookie="k"), event("e2", 6, user_id="a"), op("block", 1, A)],
        {"customers": [[EMAIL, COOKIE]], "event_owner": {"e1": EMAIL, "e2": None}},
    ),
    "a verdict about an identifier that an operator blocked is void": case(
        [op("assert", 1, A, COOKIE), op("block", 2, A)], {"customers": []}
    ),
    "block and release: the latest by its own time counts": case(
        [*TWO_ON_A_COOKIE, op("block", 3, A), op("release", 4, A), op("release", 3, B), op("block", 4, B)],
        {"customers": [[A, COOKIE]]},
    ),
    "block and release at one instant: block": case(
        [*TWO_ON_A_COOKIE, op("block", 3, COOKIE), op("release", 3, COOKIE)], {"customers": [[A], [B]]}
    ),
    "erasure: its events up to then go": case(
        [event("e1", 1, user_id="a", cookie="k"), event("e2", 5, cookie="k"), op("erase", 5, A)],
        {"customers": [], "event_owner": {"e1": None, "e2": None}},
        ordered=True,
    ),
    "erasure: its identifiers are cut out of other customers' events up to then": case(
        [*TWO_ON_A_COOKIE, op("erase", 2, B)],
        {"customers": [[A]], "event_owner": {"e1": A, "e2": None}},
        ordered=True,
    ),
    "erasure: an event goes with the customer that it belongs to, whatever device it is on": case(
        [*TWO_ON_A_COOKIE, event("e3", 1, cookie="k"), op("erase", 2, A)],
        {"customers": [[B, COOKIE]], "event_owner": {"e1": None, "e2": B, "e3": None}},
        ordered=True,
    ),
    "erasure acts on the customer as the evidence up to the command's time forms it": case(
        [*TWO_ON_A_COOKIE, op("erase", 1, A)],
        {"customers": [[B, COOKIE]], "event_owner": {"e1": None, "e2": B}},
        ordered=True,
    ),
    "erasure acts on the verdicts of its time only": case(
        [
            event("e1", 1, user_id="a"),
            event("e2", 1, cookie="k"),
            op("assert", 3, A, COOKIE),
            op("erase", 2, A),
        ],
        {"customers": [[A, COOKIE]], "event_owner": {"e1": None, "e2": A}},
        ordered=True,
    ),
    "erasure acts on the blocks of its time only": case(
        # at the time of the erasure, the address wasn't blocked yet, so it is erased as well
        [
            event("e1", 1, email=E, cookie="k"),
            op("block", 9, EMAIL),
            op("erase", 5, COOKIE),
            op("release", 10, EMAIL),
            event("e2", 4, email=E),
        ],
        {"customers": [], "event_owner": {"e1": None, "e2": None}},
        ordered=True,
    ),
    "erasure: verdicts that name them go too": case(
        [op("assert", 1, A, COOKIE), op("deny", 1, A, B), op("erase", 2, A), op("assert", 3, A, B)],
        {"customers": [[A, B]]},
        ordered=True,
    ),
    "erasure: what arrives later from before then loses them": case(
        [
            event("e1", 1, user_id="a", cookie="k"),
            op("erase", 5, A),
            event("e2", 5, user_id="a", email=E),
            event("e3", 4, cookie="k"),
            op("assert", 5, A, B),
        ],
        {"customers": [[EMAIL]], "event_owner": {"e2": EMAIL, "e3": None}},
        ordered=True,
    ),
    "erasure: events from before it stay gone when an input topic is replayed": case(
        [*TWO_ON_A_COOKIE, op("erase", 2, A), *TWO_ON_A_COOKIE],
        {"customers": [[B, COOKIE]], "event_owner": {"e1": None, "e2": B}},
        ordered=True,
    ),
    "erasure: events after it start a new stranger": case(
        [event("e1", 1, user_id="a", cookie="k"), op("erase", 5, A), event("e2", 6, cookie="k")],
        {"customers": [[COOKIE]], "event_owner": {"e1": None, "e2": COOKIE}},
        ordered=True,
    ),
    "erasure: of an identifier that nobody holds yet, what arrives later loses it": case(
        [op("erase", 5, A), event("e1", 4, user_id="a", cookie="k"), event("e2", 6, user_id="a")],
        {"customers": [[COOKIE], [A]]},
        ordered=True,
    ),
}


@pytest.mark.parametrize("sentence", SENTENCES)
def test_the_oracle_knows_that(sentence: str) -> None:
    assert failures(SENTENCES[sentence]) == []


def answered(one: Case) -> Answer:
    return answer(IdentityPolicy.from_mapping(one["policy"]), one["events"])


def test_a_refused_link_is_kept_weaker_end_first() -> None:
    assert answered(SENTENCES["newest: by last event time, latest first"]).refused == {(COOKIE, B)}
    assert answered(SENTENCES["denied links win over everything, through a path"]).refused == {(C, B)}


def test_what_is_quarantined_is_told_and_its_links_are_not_among_the_refused() -> None:
    known = answered(SENTENCES["persons and devices are counted whatever else is quarantined"])
    assert known.quarantined == {A, DEVICE}
    assert known.refused == set()


@pytest.mark.parametrize(
    ("expect", "told"),
    [
        ({"customers": [[A, COOKIE]]}, ["customers: came out unexpected: ['user_id:b']"]),
        ({"customers": [[A, COOKIE], [B], [C]]}, ["customers: expected ['user_id:c']"]),
        ({"same": [[A, B]]}, ["same: user_id:a and user_id:b are not one customer"]),
        ({"same": [[C, C]]}, ["same: user_id:c and user_id:c are not one customer"]),
        ({"different": [[A, COOKIE]]}, ["different: user_id:a and cookie:k are one customer"]),
        ({"n_customers": 3}, ["n_customers: expected 3, came out 2"]),
        ({"n_customers_with": {"cookie": 2}}, ["n_customers_with: cookie: expected 2, came out 1"]),
        (
            {"event_owner": {"e1": B}},
            ["event_owner: e1: expected user_id:b, came out ['cookie:k', 'user_id:a']"],
        ),
        ({"event_owner": {"e9": B}}, ["event_owner: e9: expected user_id:b, came out nobody"]),
        ({"event_owner": {"e2": None}}, ["event_owner: e2: expected nobody, came out ['user_id:b']"]),
        ({"after": {"e1": {"n_customers": 2}}}, ["after e1: n_customers: expected 2, came out 1"]),
        (
            {"after": {"c1": {"same": [[B, COOKIE]]}}},
            ["after c1: same: user_id:b and cookie:k are not one customer"],
        ),
        ({"after": {"e9": {}}}, ["after: no event or command e9"]),
        ({"colour": "red"}, ["colour: no such expectation"]),
    ],
)
def test_an_expectation_that_does_not_hold_is_told(expect: dict[str, Any], told: list[str]) -> None:
    events = [*TWO_ON_A_COOKIE, op("assert", 3, A, COOKIE) | {"command_id": "c1"}]
    assert problems(case(events, expect), answer) == told


@examples(60)
@given(st.data())
def test_the_order_of_arrival_does_not_matter(data: st.DataObject) -> None:
    rules = data.draw(policies())
    arrived = data.draw(arrivals(rules))
    assert answer(rules, data.draw(st.permutations(arrived))) == answer(rules, arrived)


@examples(60)
@given(st.data())
def test_customers_share_nothing_and_own_every_event_that_is_left(data: st.DataObject) -> None:
    rules = data.draw(policies())
    arrived = data.draw(arrivals(rules, conflicts=True, erasures=True))
    known = answer(rules, arrived)
    held = [identifier for customer in known.customers for identifier in customer]
    assert len(held) == len(set(held))
    assert known.owner.keys() == {arrival["event_id"] for arrival in arrived if "event_id" in arrival}
    assert known.customers.issuperset(owner for owner in known.owner.values() if owner is not None)
    assert all(frozenset((identifier,)) in known.customers for identifier in known.quarantined)
    assert all(len(owner) for owner in known.customers)


@examples(60)
@given(st.data())
def test_without_commands_no_customer_holds_more_than_a_limit(data: st.DataObject) -> None:
    rules = data.draw(policies())
    known = answer(rules, data.draw(arrivals(rules, commands=False)))
    for customer in known.customers:
        for name, space in rules.namespaces.items():
            held = sum(identifier.startswith(f"{name}:") for identifier in customer)
            assert space.limit is None or held <= space.limit


@examples(60)
@given(st.data())
def test_what_is_erased_at_the_end_of_time_is_gone_and_stays_gone_when_replayed(data: st.DataObject) -> None:
    rules = data.draw(policies())
    arrived = data.draw(arrivals(rules, conflicts=True))
    before = answer(rules, arrived)
    for victim in data.draw(st.sampled_from(sorted(before.customers, key=sorted) or [frozenset()])):
        erased = [*arrived, op("erase", 100, victim)]
        after = answer(rules, erased)
        assert not any(victim in customer for customer in after.customers)
        assert answer(rules, [*erased, *arrived]).customers == after.customers
