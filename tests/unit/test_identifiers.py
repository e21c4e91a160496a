"""From raw values to identifiers: normalising, blocked values, order, and what is said about the rest."""

from __future__ import annotations

from typing import Any

import pytest

from stream_app.domain.event import ChannelEvent, Context
from stream_app.domain.identifiers import MAX_IDENTIFIERS, REMEMBERED, Identifier, to_event
from stream_app.domain.normalise import Rejection
from stream_app.domain.policy import IdentityPolicy
from stream_app.domain.refusal import Reason, Refused


def policy(**more: Any) -> IdentityPolicy:
    spaces: list[dict[str, Any]] = [
        {"name": "user_id", "priority": 1, "kind": "person"},
        {"name": "email", "priority": 3, "kind": "person"},
        {"name": "phone", "priority": 4, "kind": "person", "blocked": [r"\+33199.*"]},
        {"name": "mail2", "priority": 5, "kind": "person", "normalise": "email", "fold_gmail_dots": True},
        {"name": "card", "priority": 7, "kind": "person", "pattern": "[0-9]{8}", "check_digit": "luhn"},
        {"name": "cookie", "priority": 6, "kind": "device"},
    ]
    return IdentityPolicy.from_mapping({"namespaces": spaces, **more})


def channel_event(**identifiers: Any) -> ChannelEvent:
    return ChannelEvent("e1", 5, "web", "Page Viewed", identifiers, {"a": 1}, context=Context(locale="fr"))


def identify(using: IdentityPolicy | None = None, **identifiers: Any) -> tuple[str, ...]:
    return Identifier(using or policy()).identify(channel_event(**identifiers))[0]


def rejections(using: IdentityPolicy | None = None, **identifiers: Any) -> list[Rejection]:
    return [why for _, why in Identifier(using or policy()).identify(channel_event(**identifiers))[1]]


def test_identifiers_come_strongest_first_by_priority_then_value_without_repeats() -> None:
    found = identify(cookie=["b", "a", " b"], email="Z@example.org", user_id="ana")
    assert found == ("user_id:ana", "email:z@example.org", "cookie:a", "cookie:b")


def test_a_namespace_that_the_policy_does_not_name_is_a_property() -> None:
    finder = Identifier(policy())
    assert finder.identify(channel_event(session="s1", cookie="c1")) == (("cookie:c1",), ())


def test_null_is_absent() -> None:
    assert Identifier(policy()).identify(channel_event(cookie=None, user_id=[None, "u"])) == (
        ("user_id:u",),
        (),
    )


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (" Ana@Example.ORG ", "ana@example.org"),
        ("a.n.a@gmail.com", "a.n.a@gmail.com"),
        ("two@signs@example.org", None),
        ("@example.org", None),
        ("ana@ ", None),
        ("ana", None),
    ],
)
def test_emails_need_one_at_sign_with_something_on_both_sides(raw: str, value: str | None) -> None:
    assert identify(email=raw) == ((f"email:{value}",) if value else ())


def test_gmail_dots_are_folded_only_where_that_is_switched_on() -> None:
    assert identify(mail2="A.na@Gmail.com") == ("mail2:ana@gmail.com",)
    assert identify(mail2="A.na@GoogleMail.com") == ("mail2:ana@googlemail.com",)
    assert identify(mail2=". A.na .@Gmail.com") == ("mail2:ana@gmail.com",), "the same when it is read again"
    assert rejections(mail2=". .@gmail.com") == [Rejection.INVALID]


@pytest.mark.parametrize(
    ("region", "raw", "value"),
    [
        (None, "+33 6 12 34 56 78", "+33612345678"),
        (None, "06 12 34 56 78", None),
        ("FR", "06 12 34 56 78", "+33612345678"),
        ("FR", "(+33) 0612345678", "+33612345678"),
        ("FR", "0612", None),
        ("FR", "call me", None),
        ("FR", 612345678, "+33612345678"),
    ],
)
def test_phones_become_e164_where_their_length_is_possible(
    region: str | None, raw: Any, value: str | None
) -> None:
    using = policy(default_region=region)
    assert identify(using, phone=raw) == ((f"phone:{value}",) if value else ())


@pytest.mark.parametrize(
    ("raw", "text"), [(42, "42"), (42.0, "42"), (1e22, "1" + "0" * 22), (0.5, "0.5"), (1e-7, "0.0000001")]
)
def test_numbers_become_their_decimal_text(raw: float, text: str) -> None:
    assert identify(cookie=raw) == (f"cookie:{text}",)


@pytest.mark.parametrize("raw", [float("inf"), {}, {"a": 1}, ["x", ["y"]], b"bytes", 10**40, "bad \ud800"])
def test_what_is_no_text_and_no_number_is_reported_and_the_rest_goes_on(raw: Any) -> None:
    found, rejected = Identifier(policy()).identify(channel_event(cookie=raw, user_id="ana"))
    assert found[0] == "user_id:ana"
    assert rejected == (("cookie", Rejection.INVALID),)


@pytest.mark.parametrize(
    "raw",
    [
        "null",
        "NONE",
        " NaN ",
        "undefined",
        "anonymous",
        "Guest",
        "test",
        "0",
        0,
        -1,
        "-1",
        True,
        "[object Object]",
        "00000000-0000-0000-0000-000000000000",
        "---",
        "",
        "  ",
    ],
)
def test_placeholders_are_blocked_everywhere_in_any_case(raw: Any) -> None:
    assert identify(user_id=raw) == ()
    assert rejections(user_id=raw) == [Rejection.BLOCKED]


def test_a_value_that_only_contains_a_blocked_word_identifies() -> None:
    assert identify(user_id="guest-42", cookie="nullable") == ("user_id:guest-42", "cookie:nullable")


def test_patterns_of_the_policy_match_the_whole_value_before_and_after_normalising() -> None:
    using = policy(blocked=["N/A", "^x+$", r"\+336.*"])
    assert rejections(using, cookie="n/a", user_id="XXX") == [Rejection.BLOCKED] * 2
    assert identify(using, cookie="n/a?") == ("cookie:n/a?",)
    assert rejections(using, phone="+33 6 12 34 56 78") == [Rejection.BLOCKED]


def test_a_namespace_may_block_values_of_its_own() -> None:
    assert rejections(phone="+33 1 99 34 56 78") == [Rejection.BLOCKED]
    assert identify(cookie="+33199345678") == ("cookie:+33199345678",)


def test_a_pattern_and_a_check_digit_are_checked_where_configured() -> None:
    assert identify(card="12345674") == ("card:12345674",)
    assert rejections(card=["12345678", "1234567", "x2345674"]) == [Rejection.INVALID] * 3


def test_a_check_digit_checks_digits_whatever_stands_between_them_and_never_one_alone() -> None:
    spaces = [{"name": "card", "priority": 1, "kind": "person", "check_digit": "luhn"}]
    using = IdentityPolicy.from_mapping({"namespaces": spaces})
    assert identify(using, card="X 1234-5674") == ("card:X 1234-5674",)
    assert identify(using, card="18") == ("card:18",)
    assert rejections(using, card=["x0", "19", "X"]) == [Rejection.INVALID] * 3


def test_numbers_and_truth_values_are_text_and_what_is_no_number_of_a_producer_is_none() -> None:
    using = IdentityPolicy.from_mapping({"namespaces": [{"name": "till", "priority": 1, "kind": "person"}]})
    assert identify(using, till=2**64 - 1) == ("till:18446744073709551615",)
    assert identify(using, till=-(2**63)) == ("till:-9223372036854775808",)
    assert rejections(using, till=[2**64, -(2**64)]) == [Rejection.INVALID] * 2
    assert rejections(using, till=[True, False]) == [Rejection.BLOCKED] * 2, "true and false, and not 1 and 0"
    assert rejections(using, till=["\ud800", "a\udfff"]) == [Rejection.INVALID] * 2


def test_a_value_beyond_the_bound_is_left_out() -> None:
    assert identify(cookie="x" * 512) == ("cookie:" + "x" * 512,)
    assert rejections(cookie=["x" * 513, "é" * 257]) == [Rejection.TOO_LONG] * 2
    assert rejections(email="İ" * 200 + "@example.org") == [Rejection.TOO_LONG], "it is longer in lower case"
    longest = "İ" * 100 + "x" * 200 + "@example.org"
    assert identify(email=longest) == ("email:" + longest.lower(),)
    assert rejections(email="x" + longest) == [Rejection.TOO_LONG]


def test_of_too_many_identifiers_the_strongest_are_used() -> None:
    found, rejected = Identifier(policy()).identify(
        channel_event(cookie=[f"c{n:03}" for n in range(MAX_IDENTIFIERS + 2)], user_id="ana")
    )
    assert len(found) == MAX_IDENTIFIERS
    assert found[0] == "user_id:ana"
    assert rejected == (("cookie", Rejection.TOO_MANY),) * 3


def test_as_many_identifiers_as_are_allowed_are_used_and_other_complaints_stay() -> None:
    full = [f"c:{n:03}" for n in range(MAX_IDENTIFIERS)]
    assert Identifier(policy()).identify(channel_event(cookie=full)) == (
        tuple(f"cookie:{one}" for one in full),
        (),
    )
    rejected = Identifier(policy()).identify(channel_event(email="z", cookie=[*full, "d:e"]))[1]
    assert rejected == (("email", Rejection.INVALID), ("cookie", Rejection.TOO_MANY)), "no value is told"


def test_the_memory_of_values_is_bounded_and_forgetting_changes_nothing() -> None:
    finder = Identifier(policy())
    for number in range(REMEMBERED + 10):
        finder.identify(channel_event(cookie=f"c{number}"))
        assert len(finder._spaces["cookie"]._memory) <= REMEMBERED
    assert finder.identify(channel_event(cookie="c1"))[0] == ("cookie:c1",)


def test_the_event_of_the_domain_takes_over_everything_else() -> None:
    event = to_event(channel_event(cookie="c"), ("cookie:c",), 9, "channel.web/0/3")
    assert (event.event_id, event.time, event.identifiers) == ("e1", 5, ("cookie:c",))
    assert (event.received, event.source, event.context) == (9, "channel.web/0/3", Context(locale="fr"))


def test_an_event_that_names_nobody_is_refused_without_saying_its_values() -> None:
    with pytest.raises(Refused) as refused:
        to_event(channel_event(email="not an address"), (), 9, "channel.web/0/3")
    assert refused.value.reason is Reason.NO_IDENTIFIER
    assert refused.value.detail == "none of the 1 namespaces in it gives a usable identifier"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (" email: Z@Example.org ", "email:z@example.org"),
        ("cookie:a:b", "cookie:a:b"),
        ("email:z", Rejection.INVALID),
        ("cookie:undefined", Rejection.BLOCKED),
        ("cookie:" + "x" * 513, Rejection.TOO_LONG),
        ("session:s1", None),
        ("Cookie:c1", None),
        ("cookie", None),
        ("", None),
    ],
)
def test_what_a_person_writes_is_normalised_as_events_are(text: str, found: str | Rejection | None) -> None:
    assert Identifier(policy()).one(text) == found


def test_what_an_operator_names_comes_strongest_first() -> None:
    named = Identifier(policy()).named({"a": "cookie:c1", "b": "user_id:z"})
    assert named == ("user_id:z", "cookie:c1")
    assert Identifier(policy()).named({"a": "cookie:b", "b": "cookie:a"}) == ("cookie:a", "cookie:b")


@pytest.mark.parametrize(
    ("written", "reason", "detail"),
    [
        ({"a": "cookie:c1", "b": "cookie: c1 "}, Reason.INVALID_FIELD, "a and b are the same identifier"),
        ({"a": "cookie:c1", "b": "email:z"}, Reason.NO_IDENTIFIER, "b is no valid value of namespace email"),
        ({"ID": "phone:+33199001234"}, Reason.NO_IDENTIFIER, "ID is a value that the policy blocks"),
        (
            {"ID": "z@example.org"},
            Reason.NO_IDENTIFIER,
            "of the policy: user_id, email, phone, mail2, cookie, card",
        ),
        (
            {"a": " phone: +33199:4711"},
            Reason.NO_IDENTIFIER,
            "a value that the policy blocks, in namespace phone",
        ),
    ],
)
def test_what_an_operator_names_wrongly_is_refused_without_its_value(
    written: dict[str, str], reason: Reason, detail: str
) -> None:
    with pytest.raises(Refused) as caught:
        Identifier(policy()).named(written)
    assert caught.value.reason is reason
    assert detail in caught.value.detail
    assert "4711" not in caught.value.detail
    assert "33199" not in caught.value.detail
    assert "z@example.org" not in caught.value.detail
