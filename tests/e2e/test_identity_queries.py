"""What the command line says of who is who, read from the workers' state on a real broker."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.pipeline_job import Pipeline, happened

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from connectors.planned import Planned

pytestmark = [pytest.mark.broker, pytest.mark.slow]

ANA, BEN, MAIL = "user_id:q-ana", "user_id:q-ben", "email:ana@example.org"
PERSONS = 12
"""On one kiosk: more than any sensible policy allows."""


def events() -> Iterator[Planned]:
    yield happened("a1", 0, "Signed In", {"cookie": "tablet", "user_id": "q-ana"})
    yield happened("a2", 1, "Signed In", {"cookie": "tablet", "user_id": "q-ben"})
    yield happened("a3", 2, "Identify", {"user_id": "q-ana", "email": "Ana@Example.org"})
    yield happened("a4", 3, "Identify", {"email": "ana@example.org", "phone": "+33639981234"}, channel="app")
    yield happened("c1", 5, "Signed In", {"user_id": "q-cyd"})
    yield happened("c2", 3, "Product Viewed", {"cookie": "quiet"})
    for number in range(PERSONS):
        identifiers = {"device": "kiosk-7", "user_id": f"kiosk-{number}"}
        yield happened(f"k{number}", 4, "Signed In", identifiers, channel="store")


def later() -> Iterator[Planned]:
    """Yield what tells that two who were customers before are one."""
    yield happened("c3", 6, "Signed In", {"cookie": "quiet", "user_id": "q-cyd"})


@pytest.fixture(scope="module")
def played(bootstrap_servers, tmp_path_factory) -> Iterator[Pipeline]:
    """A deployment at rest that has seen the events, and a denial."""
    folder = tmp_path_factory.mktemp("queries")
    settings = {"RACCORD_PARTITIONS": "3", "RACCORD_CUSTOMER_KEY": "a key of this test's own"}
    with Pipeline(bootstrap_servers, f"q{folder.stat().st_ino}.", folder, settings) as pipeline:
        pipeline.start("one")
        pipeline.play(events())
        pipeline.drain()
        clock = pipeline.play(later())
        pipeline.drain()
        denied = pipeline.raccord(
            "identity", "deny", MAIL, "phone:+33639981234", "--reason", "two people", "--operator", "zoe"
        )
        assert denied.returncode == 0, denied.stderr
        pipeline.mark(clock)
        pipeline.drain()
        yield pipeline


def said(done: CompletedProcess[bytes]) -> Any:
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_explain_tells_one_customers_chain(played):
    found = said(played.raccord("identity", "explain", MAIL, "user_id:q-ana", "--json"))
    assert found["same"]
    assert found["complete"]
    assert [step["events"] for step in found["chain"]] == [["a3"]]
    assert found["customers"][0] == found["customers"][1] == played.owners()["a3"]


def test_explain_tells_why_two_are_different(played):
    tablet = said(played.raccord("identity", "explain", ANA, BEN, "--json"))
    assert not tablet["same"]
    (obstacle,) = [step["obstacle"] for step in tablet["chain"] if step["obstacle"]]
    assert (obstacle["why"], obstacle["namespace"], obstacle["identifiers"]) == (
        "limit",
        "user_id",
        [ANA, BEN],
    )
    denied = said(played.raccord("identity", "explain", "phone:06 39 98 12 34", MAIL, "--json"))
    assert denied["chain"][0]["obstacle"]["verdict"]["operator"] == "zoe"
    far = played.raccord("identity", "explain", ANA, "device:kiosk-7")
    assert far.returncode == 0
    assert b"nothing links them" in far.stdout


def test_show_tells_a_customers_identifiers_evidence_and_history(played):
    found = said(played.raccord("identity", "show", "email:ANA@example.org", "--json"))
    assert {one["identifier"] for one in found["identifiers"]} == {ANA, MAIL}
    assert found["customer_id"] == played.owners()["a3"]
    assert ["a3"] in [one["events"] for one in found["evidence"]]
    assert [(one["op"], one["reason"]) for one in found["verdicts"]] == [("deny", "two people")]
    assert {"created", "denied"} <= {change["change"] for change in found["history"]}
    text = played.raccord("identity", "show", MAIL)
    assert text.returncode == 0, text.stderr
    assert b"refused links" in text.stdout


def test_the_history_goes_back_to_ids_that_have_become_todays(played):
    found = said(played.raccord("identity", "show", "user_id:q-cyd", "--json"))
    today = found["customer_id"]
    created = {one for change in found["history"] if change["change"] == "created" for one in change["into"]}
    assert len(created) == 2
    assert today in created
    (merged,) = [change for change in found["history"] if change["change"] == "merged"]
    assert (merged["from"], merged["into"]) == ([*(created - {today})], [today])


def test_suspects_tell_what_is_shared_and_refused(played):
    found = said(played.raccord("identity", "suspects", "--top", "2", "--json"))
    assert found["components"] == 3
    assert [one["identifiers"] for one in found["largest"]] == [PERSONS + 1, 5]
    assert found["joining"][0]["identifier"] == "device:kiosk-7"
    (kiosk,) = found["quarantined"]
    assert (kiosk["identifier"], kiosk["seen_with"], kiosk["of"]) == ("device:kiosk-7", PERSONS, "persons")
    assert 0 < kiosk["allowed"] < PERSONS
    assert found["refused"] == {"limit of user_id": 1, "denied": 1}
    text = played.raccord("identity", "suspects")
    assert text.returncode == 0, text.stderr
    assert b"largest components" in text.stdout


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "what"),
    [
        (("show", "email:nobody@example.org"), {}, 1, b"know no identifier"),
        (("explain", ANA, "email:nobody@example.org"), {}, 1, b"know no identifier"),
        (("show", MAIL), {"RACCORD_CUSTOMER_KEY": "not the workers' own key"}, 1, b"RACCORD_CUSTOMER_KEY"),
        (("show", "nobody"), {}, 2, b"ID is not namespace:value"),
        (("explain", MAIL, " email:ANA@example.org"), {}, 2, b"are the same identifier"),
        (("suspects",), {"RACCORD_PREFIX": "nowhere."}, 2, b"is missing"),
    ],
)
def test_what_cannot_be_told_is_one_sentence(played, arguments, settings, code, what):
    done = played.raccord("identity", *arguments, **settings)
    assert done.returncode == code, done.stderr
    assert what in done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
