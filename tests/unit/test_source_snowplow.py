"""Reading a folder of Snowplow's web events, and comparing who is who with a peer's answer."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.simulators import Components
from connectors.sources import SourceError, snowplow

if TYPE_CHECKING:
    from connectors.planned import Planned

SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "web" / "snowplow_web"
needs_sample = pytest.mark.skipif(not SAMPLE.exists(), reason=f"third-party data is not there: {SAMPLE}")
CONSENT = "unstruct_event_com_snowplowanalytics_snowplow_consent_preferences_1_0_0"
GOOD = {
    "event_id": "e1",
    "event": "page_view",
    "event_name": "page_view",
    "collector_tstamp": "2021-03-03 21:27:32.696",
    "derived_tstamp": "2021-03-03 21:27:32.695",
    "dvce_sent_tstamp": "2021-03-03 21:27:32.002",
    "user_id": "u1",
    "domain_userid": "d1",
    "page_url": "https://shop.example.org/",
    "geo_latitude": "-37.8",
    "geo_longitude": "145.0",
    "os_timezone": "Australia/Sydney",
    "se_action": "",
    "tr_total": "",
    CONSENT: "",
}


def folder(path: Path, *rows: dict[str, str]) -> Path:
    with (path / snowplow.FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(GOOD))
        writer.writeheader()
        writer.writerows({**GOOD, **row} for row in rows)
    return path


def test_a_row_becomes_an_event_of_the_web_channel(tmp_path: Path):
    (record,) = snowplow.read(folder(tmp_path, {}))
    event = record.event
    assert event is not None
    assert (record.channel, record.at, record.key) == ("web", 1_614_806_852_696, b"d1")
    assert (event.event_id, event.type, event.time) == ("e1", "Page Viewed", 1_614_806_852_695)
    assert (event.sent_at, event.received_at) == (1_614_806_852_002, 1_614_806_852_696)
    assert event.identifiers == {"user_id": "u1", "cookie": "d1"}
    assert event.properties == {"url": "https://shop.example.org/"}
    assert event.context is not None
    assert event.context.timezone == "Australia/Sydney"
    assert event.context.position is not None
    assert event.context.position.latitude == -37.8


@pytest.mark.parametrize(
    ("fields", "type_"),
    [
        ({"event": "page_ping"}, "Page Pinged"),
        ({"event": "transaction"}, "Order Completed"),
        ({"event": "struct", "event_name": "event", "se_action": "login"}, "Signed In"),
        ({"event": "struct", "event_name": "event", "se_action": "play_video"}, "Play Video"),
        ({"event": "unstruct", "event_name": "link_click"}, "Link Click"),
    ],
)
def test_each_kind_of_event_has_its_type(tmp_path: Path, fields: dict[str, str], type_: str):
    (record,) = snowplow.read(folder(tmp_path, fields))
    assert record.event is not None
    assert record.event.type == type_


def test_a_self_describing_events_fields_are_properties_and_a_cookie_banner_gives_no_consent(tmp_path: Path):
    answer = '[{"event_type": "allow_all", "consent_scopes": ["necessary"], "nested": {"a": 1}}]'
    fields = {"event": "unstruct", "event_name": "consent_preferences", CONSENT: answer}
    (record,) = snowplow.read(folder(tmp_path, fields))
    assert record.event is not None
    assert record.event.type == "Consent Preferences"
    assert record.event.properties["consent_scopes"] == ["necessary"]
    assert "nested" not in record.event.properties


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"event_id": ""}, b"event_id: empty"),
        ({"derived_tstamp": "soon"}, b"derived_tstamp: not a time"),
        ({"collector_tstamp": ""}, b"collector_tstamp: not a time"),
        ({"geo_latitude": "north"}, b"geo_latitude: not a number"),
        ({"tr_total": "nan"}, b"tr_total: not a finite number"),
        ({"event": "", "event_name": ""}, b"event, event_name: no kind of event"),
        ({CONSENT: "{"}, CONSENT.encode()),
        ({CONSENT: '[{"a": ' + "[" * 10_000 + "]" * 10_000 + "}]"}, CONSENT.encode()),
    ],
)
def test_a_row_that_makes_no_event_is_handed_on_as_it_stands(
    tmp_path: Path, fields: dict[str, str], problem: bytes
):
    good, broken = snowplow.read(folder(tmp_path, {}, fields))
    assert good.event is not None
    assert broken.event is None
    assert broken.raw == (tmp_path / snowplow.FILE).read_bytes().splitlines()[2]
    assert broken.at == good.at
    assert dict(broken.headers)["source-problem"].startswith(problem)


def test_rows_come_in_the_order_of_the_collector_whatever_the_files_order(tmp_path: Path):
    late, early = (
        {"event_id": name, "collector_tstamp": f"2021-03-0{day} 00:00:00"} for name, day in ("b2", "a1")
    )
    path = folder(tmp_path, late, {**early, "page_url": 'a\n"quoted"\r\nline'}, late)
    events = [record.event for record in snowplow.read(path)]
    assert [event.event_id for event in events if event] == ["a", "b", "b"]
    assert events[0] is not None
    assert events[0].properties["url"] == 'a\n"quoted"\r\nline'


def test_an_event_without_identifiers_is_left_to_the_pipeline(tmp_path: Path):
    (record,) = snowplow.read(folder(tmp_path, {"user_id": "", "domain_userid": ""}))
    assert record.event is not None
    assert record.event.identifiers == {}


def test_a_folder_without_the_file_or_a_file_without_the_columns_is_named(tmp_path: Path):
    with pytest.raises(SourceError, match=r"snowplow_web_events\.csv: can't be read"):
        next(snowplow.read(tmp_path))
    (tmp_path / snowplow.FILE).write_text("event_id,event\n", encoding="utf-8")
    with pytest.raises(SourceError, match=r"line 1: missing columns: event_name"):
        next(snowplow.read(tmp_path))


@pytest.fixture(scope="module")
def records() -> list[Planned]:
    return list(snowplow.read(SAMPLE))


@pytest.fixture(scope="module")
def components(records: list[Planned]) -> Components:
    found = Components()
    for record in records:
        assert record.event is not None
        found.join([f"{namespace}:{value}" for namespace, value in record.event.identifiers.items()])
    return found


@needs_sample
def test_the_sample_gives_all_its_events_in_order_and_keeps_the_copies(records: list[Planned]):
    ids = Counter(record.event.event_id for record in records if record.event)
    assert len(records) == ids.total() == 160
    assert sum(count - 1 for count in ids.values()) == 3
    assert all(one.at <= next_one.at for one, next_one in pairwise(records))


@needs_sample
def test_the_peers_users_are_different_customers_here_too(components: Components):
    """All 11 of dbt-snowplow-web's users: none of ours is two of theirs."""
    users = _expected("users")
    customers = {components.find(f"cookie:{user['domain_userid']}") for user in users}
    assert len(customers) == len(users) == 11


@needs_sample
def test_the_peers_stitched_sessions_are_one_customer_here_too(components: Components):
    """Its stitched user id is the cookie's latest; ours joins all that the cookie was ever signed in as."""
    for session in _expected("sessions"):
        who = session["stitched_user_id"] or session["user_id"]
        cookie = session["domain_userid"]
        assert not cookie or components.find(f"cookie:{cookie}") == components.find(f"user_id:{who}")


@needs_sample
def test_what_differs_from_the_peer_a_user_with_changing_cookies_is_one_customer_here(
    records: list[Planned], components: Components
):
    """The peer keeps a user per cookie (it expects one of the three); a user id joins the cookies here."""
    cookies: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.event is not None and "cookie" in record.event.identifiers:
            cookies[record.event.identifiers["user_id"]].add(record.event.identifiers["cookie"])
    rotating = cookies["Rotating domain_userid per session"]
    assert len(rotating) == 3
    assert len({components.find(f"cookie:{cookie}") for cookie in rotating}) == 1
    assert len(rotating & {user["domain_userid"] for user in _expected("users")}) == 1


@needs_sample
def test_the_third_party_cookie_would_join_strangers_so_it_is_not_an_identifier(records: list[Planned]):
    users = defaultdict(set)
    for record in records:
        if record.event is not None:
            users[record.event.properties["network_userid"]].add(record.event.identifiers["user_id"])
    strangers = {"No edge cases", "Rotating domain_userid per session"}
    assert any(strangers <= together for together in users.values())


def _expected(what: str) -> list[dict[str, str]]:
    with (SAMPLE / f"snowplow_web_{what}_expected.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
