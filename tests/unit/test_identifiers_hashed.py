"""Identifiers as keyed hashes: what they look like, what they are made of, and who notices another key."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any

import pytest

import schemas
from connectors.simulators import Simulation
from stream_app.app import identifier_of
from stream_app.domain.customer_id import customer_id
from stream_app.domain.event import ChannelEvent, Context
from stream_app.domain.hashing import Hashes, is_hash
from stream_app.domain.identifiers import Identifier
from stream_app.domain.normalise import Rejection
from stream_app.domain.policy import IdentityPolicy, PolicyError
from stream_app.domain.refusal import Reason, Refused
from stream_app.errors import UserError
from stream_app.runs.comparison import expected, good_events
from stream_app.runs.identity_cases import read_cases, run_case
from stream_app.settings import Settings

KEY = b"the key of this deployment"
HASHES = Hashes(KEY)
ANA = HASHES.of("email", "ana@example.org")


def policy(*, hashed: bool = True, **more: Any) -> IdentityPolicy:
    spaces: list[dict[str, Any]] = [
        {"name": "user_id", "priority": 1, "kind": "person"},
        {
            "name": "email",
            "priority": 3,
            "kind": "person",
            "hashed": hashed,
            "blocked": [".*@shop[.]example"],
        },
        {"name": "phone", "priority": 4, "kind": "person", "hashed": hashed},
        {"name": "card", "priority": 7, "kind": "person", "pattern": "[0-9]{8}", "hashed": hashed},
        {"name": "cookie", "priority": 6, "kind": "device"},
    ]
    return IdentityPolicy.from_mapping({"namespaces": spaces, "default_region": "FR", **more})


def shipped(*hashed: str) -> IdentityPolicy:
    raw = schemas.read_yaml("policies/identity.yaml")
    return IdentityPolicy.from_mapping(
        raw | {"namespaces": [space | {"hashed": space["name"] in hashed} for space in raw["namespaces"]]}
    )


def finder(key: bytes = KEY) -> Identifier:
    return Identifier(policy(), key)


def channel_event(**identifiers: Any) -> ChannelEvent:
    return ChannelEvent("e1", 5, "web", "x", identifiers, {"a": 1}, 3, 4, Context(locale="fr"))


def identify(**identifiers: Any) -> tuple[tuple[str, ...], tuple[tuple[str, Rejection], ...]]:
    return finder().identify(channel_event(**identifiers))


def test_a_hash_stays_what_it_is_from_version_to_version_because_stored_rows_carry_it() -> None:
    assert ANA == "hmac-dfa8764e-8f28d4a52bf90a136fc987aa32af471a"


def test_a_hash_is_an_hmac_of_namespace_and_value_under_a_key_of_its_own() -> None:
    derived = hmac.new(KEY, b"raccord identifier hash", "sha256").digest()
    digest = hmac.new(derived, b"email:ana@example.org", "sha256").hexdigest()
    assert f"hmac-{sha256(derived).hexdigest()[:8]}-{digest[:32]}" == ANA


def test_a_hash_says_nothing_that_the_customer_id_says() -> None:
    assert customer_id("email:ana@example.org", KEY) not in ANA


def test_one_value_in_two_namespaces_has_two_hashes() -> None:
    assert HASHES.of("email", "x") != HASHES.of("phone", "x")
    assert HASHES.of("a", "b:c") != HASHES.of("b", "c")


def test_another_key_has_another_id() -> None:
    other = Hashes(KEY + b"!")
    assert other.key_id != HASHES.key_id
    assert is_hash(other.of("email", "x"))
    assert not HASHES.made(other.of("email", "x"))


@pytest.mark.parametrize("text", [ANA.upper(), ANA + "0", ANA[:-1], " " + ANA, ANA[:13], "hmac-", ""])
def test_what_is_nearly_a_hash_is_none(text: str) -> None:
    assert not is_hash(text)


def test_hashed_values_identify_without_being_there() -> None:
    found, rejected = identify(email=" Ana@Example.org", phone=["06 39 98 12 34"], cookie="c1", user_id=7)
    phone = HASHES.of("phone", "+33639981234")
    assert found == ("user_id:7", f"email:{ANA}", f"phone:{phone}", "cookie:c1")
    assert rejected == ()


def test_every_spelling_of_a_value_has_one_hash() -> None:
    assert identify(email=["ANA@example.org", "ana@EXAMPLE.org "])[0] == (f"email:{ANA}",)
    spellings = ["+33 6 39 98 12 34", "0639981234", "(+33) 0639981234"]
    assert len(identify(phone=spellings)[0]) == len(identify(phone=639981234)[0]) == 1


@pytest.mark.parametrize(
    ("name", "raw", "why"),
    [
        ("email", "ana", Rejection.INVALID),
        ("email", "null", Rejection.BLOCKED),
        ("email", "Till@Shop.example", Rejection.BLOCKED),
        ("phone", "0612", Rejection.INVALID),
        ("card", "1234", Rejection.INVALID),
        ("card", 0, Rejection.BLOCKED),
        ("email", "a" * 501 + "@example.org", Rejection.TOO_LONG),
    ],
)
def test_the_value_is_judged_and_not_its_hash(name: str, raw: Any, why: Rejection) -> None:
    assert identify(**{name: raw}) == ((), ((name, why),))


@pytest.mark.parametrize("name", ["email", "phone", "card"])
def test_a_hash_of_this_deployment_stays_as_it_is(name: str) -> None:
    text = HASHES.of(name, "x")
    assert identify(**{name: f" {text} "}) == ((f"{name}:{text}",), ())


@pytest.mark.parametrize("name", ["email", "phone", "card"])
def test_a_hash_of_another_key_is_noticed_and_does_not_identify(name: str) -> None:
    other = Hashes(b"the key of last year").of(name, "x")
    assert identify(**{name: other}) == ((), ((name, Rejection.OTHER_KEY),))
    with pytest.raises(Refused) as refused:
        finder().named({"ID": f"{name}:{other}"})
    assert refused.value.reason is Reason.NO_IDENTIFIER
    assert f"made with another key than this deployment's, in namespace {name}" in refused.value.detail


def test_where_nothing_is_hashed_a_hash_is_a_value_like_any_other() -> None:
    assert identify(cookie=[ANA, "hmac-00000000-" + 32 * "0"])[0] == (
        "cookie:hmac-00000000-" + 32 * "0",
        f"cookie:{ANA}",
    )


@pytest.mark.parametrize("key", [None, b""])
def test_without_a_key_nothing_is_hashed_and_that_is_said(key: bytes | None) -> None:
    with pytest.raises(PolicyError, match=r"policy\.namespaces\.card\.hashed: .*key"):
        Identifier(policy(), key)
    assert Identifier(policy(hashed=False), key).hashed == frozenset()


def test_the_key_that_everybody_knows_hides_nothing_so_it_is_refused() -> None:
    with pytest.raises(UserError, match=r"card, email, phone hashed.*set RACCORD_CUSTOMER_KEY"):
        identifier_of(Settings(), policy())
    assert identifier_of(Settings(), policy(hashed=False)).one("cookie:c") == "cookie:c"
    settings = Settings(customer_key=KEY.decode())
    assert identifier_of(settings, policy()).one("email:ana@example.org") == f"email:{ANA}"


def test_a_concealed_event_has_hashes_in_place_of_values_and_all_else_as_it_was() -> None:
    event = channel_event(session="Ana", cookie=[" C", "d"], email="ANA@example.org", user_id=7, phone=None)
    found = finder().concealed(event)
    assert found == channel_event(session="Ana", cookie=[" C", "d"], email=ANA, user_id=7, phone=None)
    assert event.identifiers["email"] == "ANA@example.org"


def test_what_does_not_identify_is_not_in_a_concealed_event() -> None:
    event = channel_event(
        email=["ana", "ana@example.org", "null", "Ana@example.org", ANA], phone=["0612"], card=123, cookie="c"
    )
    assert finder().concealed(event).identifiers == {"email": [ANA], "cookie": "c"}


def test_what_an_operator_writes_is_passed_on_hashed_where_the_namespace_is() -> None:
    concealed = finder().concealed_text
    assert concealed(" email: Ana@example.org") == concealed(f"email:{ANA}") == f"email:{ANA}"
    assert concealed(" cookie: C") == " cookie: C"
    assert "a:b" not in concealed("email:a:b@example.org"), "the first colon ends the namespace"


def test_cases_with_hashed_namespaces_name_values_or_hashes() -> None:
    line = """{"id": "h", "policy": {"namespaces": [
        {"name": "email", "priority": 1, "kind": "person", "hashed": true},
        {"name": "cookie", "priority": 2, "kind": "device"}]},
      "events": [
        {"event_id": "e1", "time": 1, "identifiers": {"email": "Ana@example.org", "cookie": "c1"}},
        {"event_id": "e2", "time": 2, "identifiers": {"email": "ana@EXAMPLE.org", "cookie": "c2"}},
        {"op": "block", "id": "email:bo@example.org", "time": 3}],
      "expect": {"same": [["cookie:c1", "cookie:c2"]],
        "customers": [["email:ana@example.org", "cookie:c1", "cookie:c2"]],
        "event_owner": {"e1": "email:ANA@example.org"}}}"""
    (case,) = read_cases([line.replace("\n", " ")])
    assert run_case(case, 10, 0).failures == []


def test_who_is_who_is_the_same_over_hashes() -> None:
    records = list(Simulation(1, shoppers=40, days=1).records())
    found = []
    for using in (shipped("email", "phone", "device"), shipped()):
        groups: dict[str, set[str]] = {}
        for event_id, group in expected(using, good_events(records, using, KEY)).items():
            groups.setdefault(group, set()).add(event_id)
        found.append(sorted(map(sorted, groups.values())))
    assert found[0] == found[1]
