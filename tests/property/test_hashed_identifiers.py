"""Hashing takes the values away and nothing else: who is equal stays equal, who is refused stays refused."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.event import ChannelEvent
from stream_app.domain.identifiers import MAX_IDENTIFIERS, Identifier
from stream_app.domain.policy import IdentityPolicy
from stream_app.wire import encode_payload, read_payload
from tests.property.examples import examples

KEY = b"the key of this deployment"
HASHED = ("email", "phone", "card")
FORM = re.compile(r"hmac-[0-9a-f]{8}-[0-9a-f]{32}")


def policy(*hashed: str) -> IdentityPolicy:
    names = ("email", "cookie", "phone", "card")
    spaces = [
        {"name": name, "priority": place, "kind": "person", "hashed": name in hashed}
        for place, name in enumerate(names, 1)
    ]
    return IdentityPolicy.from_mapping({"namespaces": spaces, "default_region": "FR"})


HASHING = Identifier(policy(*HASHED), KEY)
PLAIN = Identifier(policy(), KEY)

namespaces = st.sampled_from(HASHED)
spaces_around = st.sampled_from(("", " ", "\t", "\n  "))
locals_ = st.text("abcdefgh.+", min_size=1, max_size=6)
emails = st.builds("{}@{}.example".format, locals_, st.text("abc", min_size=1, max_size=3))
phones = st.builds("06{:08}".format, st.integers(0, 10**8 - 1))
raws = emails | phones | st.sampled_from(("null", "0", "", "guest", "two@at@signs")) | st.text(max_size=8)
values = raws | st.integers(-(2**63), 2**63 - 1) | st.none() | st.lists(raws, max_size=6)
events = st.dictionaries(st.sampled_from((*HASHED, "cookie", "session")), values).map(
    lambda identifiers: ChannelEvent("e", 1_700_000_000_000, "web", "x", identifiers, {"email": "kept"})
)


def one(using: Identifier, namespace: str, raw: Any) -> Any:
    return using.one(f"{namespace}:{raw}")


@given(emails, spaces_around, spaces_around, st.data())
def test_every_spelling_of_an_address_has_the_hash_of_all_others(
    email: str, before: str, after: str, data: st.DataObject
) -> None:
    shouted = data.draw(st.lists(st.booleans(), min_size=len(email), max_size=len(email)))
    spelled = "".join(sign.upper() if up else sign for sign, up in zip(email, shouted, strict=True))
    found = one(Identifier(policy(*HASHED), KEY), "email", f"{before}{spelled}{after}")
    assert found == one(HASHING, "email", email)


@given(namespaces, raws, raws)
def test_two_values_have_one_hash_exactly_if_they_are_one_identifier(namespace: str, a: str, b: str) -> None:
    plain, hashed = ((one(using, namespace, a) == one(using, namespace, b)) for using in (PLAIN, HASHING))
    assert plain == hashed


@given(namespaces, raws)
def test_a_hash_is_of_its_form_and_its_own_hash(namespace: str, raw: str) -> None:
    found, plain = one(HASHING, namespace, raw), one(PLAIN, namespace, raw)
    name, _, value = str(found).partition(":")
    if plain is None or not str(plain).startswith(f"{namespace}:"):
        assert found is plain
    else:
        assert name == namespace
        assert FORM.fullmatch(value)
        assert one(HASHING, namespace, value) == found
        assert one(Identifier(policy(*HASHED), KEY + b"!"), namespace, raw) != found


@examples(300)
@given(events)
def test_what_is_passed_on_says_the_same_and_holds_no_value(event: ChannelEvent) -> None:
    found, rejected = HASHING.identify(event)
    plain, rejected_plain = PLAIN.identify(event)
    assert (len(found), rejected) == (len(plain), rejected_plain)
    assert len(found) < MAX_IDENTIFIERS
    passed_on = read_payload(encode_payload(HASHING.concealed(event)))
    assert HASHING.identify(passed_on)[0] == found
    assert not any(name in HASHED for name, _ in HASHING.identify(passed_on)[1])
    for name, raw in passed_on.identifiers.items():
        if name not in HASHED:
            assert raw == event.identifiers[name]
        else:
            kept = raw if isinstance(raw, list) else [raw]
            assert all(value is None or FORM.fullmatch(value) for value in kept)
    for name in ("event_id", "time", "channel", "type", "properties"):
        assert getattr(passed_on, name) == getattr(event, name)
