"""The sending policy's answers: consent, caps, and what is remembered. Quiet hours have property tests."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from stream_app.domain.rules.model import FOREVER
from stream_app.domain.rules.sending import Cap, QuietHours, SendingPolicy

HOUR = 3_600_000
DAY = 24 * HOUR
NIGHT = QuietHours(21 * HOUR, 8 * HOUR)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


def test_without_quiet_hours_now_is_always_right() -> None:
    assert SendingPolicy().quiet_until(at("2026-01-01T03:00"), "Europe/Paris") == at("2026-01-01T03:00")
    assert SendingPolicy().longest_hold == 0


@pytest.mark.parametrize(
    ("now", "zone", "until"),
    [
        ("2026-01-15T19:59:59", "Europe/Paris", "2026-01-15T19:59:59"),
        ("2026-01-15T20:00", "Europe/Paris", "2026-01-16T07:00"),
        ("2026-01-16T06:59:59", "Europe/Paris", "2026-01-16T07:00"),
        ("2026-01-16T07:00", "Europe/Paris", "2026-01-16T07:00"),
        ("2026-01-15T20:00", "America/New_York", "2026-01-15T20:00"),
        ("2026-01-15T20:00", "Mars/Olympus", "2026-01-15T20:00"),
        ("2026-01-15T21:00", "Mars/Olympus", "2026-01-16T08:00"),
        ("2026-03-28T23:00", "Europe/Paris", "2026-03-29T06:00"),  # an hour is skipped
        ("2026-10-24T23:00", "Europe/Paris", "2026-10-25T07:00"),  # an hour comes twice
    ],
)
def test_a_night_is_quiet_by_the_customers_clock_from_its_first_moment_until_it_is_over(
    now: str, zone: str, until: str
) -> None:
    assert SendingPolicy(quiet_hours=NIGHT).quiet_until(at(now), zone) == at(until)


def test_quiet_days_and_nights_that_touch_are_one_hold() -> None:
    policy = SendingPolicy(quiet_hours=QuietHours(21 * HOUR, 8 * HOUR, frozenset({5, 6})))
    assert policy.quiet_until(at("2026-01-16T21:30"), "UTC") == at("2026-01-19T08:00")  # Friday to Monday
    assert policy.quiet_until(at("2026-01-17T12:00"), "UTC") == at("2026-01-19T08:00")
    assert policy.quiet_hours is not None
    assert policy.quiet_hours.longest_run == 59 * HOUR


def test_hours_that_come_twice_are_quiet_twice() -> None:
    policy = SendingPolicy(quiet_hours=QuietHours(0, 2 * HOUR + HOUR // 2))
    first, second = at("2026-10-25T00:30"), at("2026-10-25T01:30")  # both are 2:30 in Paris
    assert policy.quiet_until(first, "Europe/Paris") == first
    assert policy.quiet_until(at("2026-10-25T01:00"), "Europe/Paris") == second


def test_a_window_that_a_change_of_clocks_skips_opens_the_next_time() -> None:
    policy = SendingPolicy(quiet_hours=QuietHours(3 * HOUR, 2 * HOUR))
    assert policy.quiet_until(at("2026-03-28T12:00"), "Europe/Paris") == at("2026-03-30T00:00")


@pytest.mark.parametrize(
    ("start", "end", "days"),
    [(0, DAY, ()), (0, 0, range(7)), (12 * HOUR, 12 * HOUR, range(7)), (0, 23 * HOUR, range(7))],
)
def test_hours_that_leave_no_time_to_send_in_are_refused(start: int, end: int, days: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="nothing could ever be sent"):
        QuietHours(start, end, frozenset(days))


def test_an_answer_counts_before_the_default() -> None:
    for default in (True, False, {"marketing": True}, {"*": False}):
        policy = SendingPolicy(consent_default=default)
        assert policy.consents("marketing", answer=True)
        assert not policy.consents("marketing", answer=False)


def test_without_an_answer_the_default_of_the_purpose_counts_then_that_of_all_then_yes() -> None:
    def consents(default: bool | dict[str, bool]) -> tuple[bool, bool]:
        policy = SendingPolicy(consent_default=default)
        return policy.consents("marketing", None), policy.consents("service", None)

    assert consents(default=True) == (True, True)
    assert consents(default=False) == (False, False)
    assert consents({"marketing": False}) == (False, True)
    assert consents({"marketing": True, "*": False}) == (True, False)
    assert consents({"marketing": False, "*": True}) == (False, True)


def test_a_calendar_cap_counts_from_the_start_of_the_customers_day() -> None:
    policy = SendingPolicy()
    now = at("2026-03-30T10:00")
    assert policy.since(Cap(1, DAY), now, "Europe/Paris") == at("2026-03-29T22:00")
    assert policy.since(Cap(1, 2 * DAY), now, "Europe/Paris") == at("2026-03-28T23:00")  # 23 hours long
    assert policy.since(Cap(1, DAY), now, "Asia/Tokyo") == at("2026-03-29T15:00")


def test_a_rolling_cap_forgets_what_is_exactly_so_long_ago() -> None:
    cap = Cap(1, 3 * HOUR, "rolling")
    assert SendingPolicy().since(cap, at("2026-03-30T10:00"), "Europe/Paris") == at("2026-03-30T07:00") + 1


@pytest.mark.parametrize("window", ["calendar", "rolling"])
def test_a_cap_without_a_period_never_forgets(window: str) -> None:
    assert SendingPolicy().since(Cap(1, None, window), at("2026-03-30T10:00"), "UTC") == -FOREVER


def test_the_longest_memory_is_that_of_the_cap_that_remembers_longest() -> None:
    def memory(*caps: Cap) -> int:
        return SendingPolicy(caps=caps).longest_memory

    assert memory() == 0
    assert memory(Cap(1, HOUR, "rolling"), Cap(1, 5 * DAY, "rolling")) == 5 * DAY
    assert memory(Cap(1, 5 * DAY, "calendar"), Cap(1, 5 * DAY, "rolling")) == 6 * DAY
    assert memory(Cap(1, HOUR, "rolling"), Cap(100)) == FOREVER


FULL = SendingPolicy(
    quiet_hours=NIGHT,
    timezone="Europe/Paris",
    caps=(Cap(1, DAY), Cap(3, 7 * DAY, "rolling")),
    consent_default={"marketing": False, "*": True},
    suppressed=frozenset({"user_id:1", "user_id:2"}),
    addresses={"email": "email", "phone": "sms"},
)


@pytest.mark.parametrize(
    "change",
    [
        {"quiet_hours": None},
        {"quiet_hours": QuietHours(21 * HOUR, 7 * HOUR)},
        {"quiet_hours": QuietHours(21 * HOUR, 8 * HOUR, frozenset({6}))},
        {"timezone": "Europe/Lisbon"},
        {"caps": (Cap(1, DAY),)},
        {"caps": (Cap(1, DAY), Cap(3, 7 * DAY))},
        {"caps": (Cap(1, DAY), Cap(3, 7 * DAY, "rolling", "email"))},
        {"caps": (Cap(1, DAY), Cap(3, 7 * DAY, "rolling", None, "email"))},
        {"consent_default": True},
        {"consent_default": {"marketing": True, "*": True}},
        {"suppressed": frozenset({"user_id:1"})},
        {"addresses": None},
        {"addresses": {"email": "email", "phone": "whatsapp"}},
    ],
)
def test_whatever_changes_decisions_changes_the_digest(change: dict[str, object]) -> None:
    assert msgspec.structs.replace(FULL, **change).digest != FULL.digest


def test_the_order_in_which_a_policy_is_written_does_not_change_the_digest() -> None:
    other = msgspec.structs.replace(
        FULL,
        caps=FULL.caps[::-1],
        consent_default={"*": True, "marketing": False},
        addresses={"phone": "sms", "email": "email"},
    )
    assert other.digest == FULL.digest


def test_a_policy_that_is_shown_names_nobody() -> None:
    assert "user_id:1" not in f"{FULL} {FULL!r}"
    assert FULL.digest in repr(FULL)
