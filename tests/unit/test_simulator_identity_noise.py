"""What makes shoppers hard to tell apart: each kind by itself, as often as asked, with the truth kept."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from connectors.simulators import QUIET, IdentityNoise, Simulation

if TYPE_CHECKING:
    from stream_app.domain.event import ChannelEvent

NONE = IdentityNoise().times(0)
LOUD = IdentityNoise(shared_tablets=0.5, kiosks=0.5, email_typos=0.2, typo_hits=0.5, recycled_phones=0.2)


def simulation(noise: IdentityNoise, shoppers: int = 300, days: int = 3) -> Simulation:
    return Simulation(1, shoppers=shoppers, days=days, noise=QUIET, identity_noise=noise)


def only(**rates: float) -> IdentityNoise:
    return msgspec.structs.replace(NONE, **rates)


def events(played: Simulation) -> dict[str, ChannelEvent]:
    return {record.event.event_id: record.event for record in played.records() if record.event is not None}


def values(event: ChannelEvent, namespace: str) -> list[Any]:
    value = event.identifiers.get(namespace, [])
    return value if isinstance(value, list) else [value]


def addresses(played: Simulation) -> Counter[str]:
    return Counter(f"email:{one}" for event in events(played).values() for one in values(event, "email"))


def single_errors(name: str) -> set[str]:
    """Return all that a letter too many, missing, replaced, or two swapped make of it."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    halves = [(name[:place], name[place:]) for place in range(len(name) + 1)]
    return {
        *(one + letter + two for one, two in halves for letter in letters),
        *(one + two[1:] for one, two in halves),
        *(one + letter + two[1:] for one, two in halves for letter in letters),
        *(one + two[1] + two[0] + two[2:] for one, two in halves if len(two) > 1),
    }


def test_without_it_no_identifier_is_of_two_people():
    played = simulation(NONE)
    people = defaultdict(set)
    for event in events(played).values():
        for namespace in event.identifiers:
            for one in values(event, namespace):
                people[namespace, one].add(played.truth.shopper_of[event.event_id])
    assert {len(several) for several in people.values()} == {1}
    assert not played.truth.recycled_phones
    assert not any(shopper.mistyped for shopper in played.truth.shoppers)


def test_whatever_the_noise_the_truth_names_one_of_the_shoppers_for_every_event():
    played = simulation(LOUD)
    made = events(played)
    assert played.truth.shopper_of.keys() == made.keys()
    assert set(played.truth.shopper_of.values()) <= {shopper.name for shopper in played.truth.shoppers}


def test_the_same_seed_gives_the_same_noise():
    assert events(simulation(LOUD)) == events(simulation(LOUD))


def test_more_shoppers_leave_the_first_ones_doings_unchanged():
    few, many = simulation(LOUD, shoppers=60), simulation(LOUD, shoppers=120)
    mine, all_of_them = events(few), events(many)
    assert {event_id: all_of_them[event_id] for event_id in mine} == mine


def kiosk_visits(played: Simulation) -> dict[str, list[tuple[int, str, ChannelEvent]]]:
    """Return cookie -> (time, person, event) of what was done on a cookie that is nobody's, in order."""
    own = {text for shopper in played.truth.shoppers for text in shopper.identifiers}
    visits = defaultdict(list)
    for event in events(played).values():
        for cookie in values(event, "cookie"):
            if f"cookie:{cookie}" not in own:
                visits[cookie].append((event.time, played.truth.shopper_of[event.event_id], event))
    return {cookie: sorted(done, key=lambda one: one[0]) for cookie, done in visits.items()}


def test_a_kiosk_is_used_by_many_people_most_of_whom_say_who_they_are():
    played = simulation(only(kiosks=0.5), shoppers=600)
    visits = kiosk_visits(played)
    stores = {event.context.position for done in visits.values() for _, _, event in done if event.context}
    assert len(visits) == len(stores) == 6, "one kiosk in each shop"
    households = {shopper.name: shopper.household for shopper in played.truth.shoppers}
    known: Counter[bool] = Counter()
    for done in visits.values():
        people = {person for _, person, _ in done}
        assert len({households[person] for person in people}) > 5
        for one in people:
            known[
                any(event.identifiers.keys() & {"user_id", "loyalty"} for _, p, event in done if p == one)
            ] += 1
    assert 0.6 < known[True] / known.total() < 0.95


def test_people_use_a_kiosk_one_after_the_other():
    for done in kiosk_visits(simulation(only(kiosks=0.5))).values():
        turns = [
            person
            for number, (_, person, _) in enumerate(done)
            if number == 0 or done[number - 1][1] != person
        ]
        days = Counter((person, time // 86_400_000) for time, person, _ in done)
        assert len(turns) <= len(days), "somebody was interrupted"


def test_nobody_stays_signed_in_on_a_kiosk():
    for done in kiosk_visits(simulation(only(kiosks=0.5))).values():
        accounts = defaultdict(set)
        for _, person, event in done:
            accounts[person].update(values(event, "user_id"))
        assert all(len(hers) < 2 for hers in accounts.values())
        assert sum(len(hers) for hers in accounts.values()) == len(set().union(*accounts.values()))


def test_kiosks_add_events_and_change_none():
    quiet, loud = events(simulation(NONE)), events(simulation(only(kiosks=0.5)))
    assert {event_id: loud[event_id] for event_id in quiet} == quiet
    assert len(loud) > len(quiet)


def test_typos_change_e_mail_addresses_and_nothing_else():
    quiet, loud = events(simulation(NONE)), events(simulation(only(email_typos=1.0)))
    assert loud.keys() == quiet.keys()
    changed = 0
    for event_id, event in loud.items():
        before = quiet[event_id]
        assert (event.time, event.type, event.properties) == (before.time, before.type, before.properties)
        assert event.identifiers.keys() == before.identifiers.keys()
        for namespace, value in event.identifiers.items():
            assert namespace == "email" or value == before.identifiers[namespace]
        changed += event.identifiers != before.identifiers
    assert changed > 100


def test_a_typo_is_one_wrong_letter_in_the_name_and_hits_nobody():
    played = simulation(only(email_typos=1.0, typo_hits=0.0))
    true = {text for shopper in played.truth.shoppers for text in shopper.identifiers}
    wrong = [(shopper, text) for shopper in played.truth.shoppers for text in shopper.mistyped]
    assert len(wrong) > 100
    for shopper, text in wrong:
        assert text not in true
        own = [one for one in shopper.identifiers if one.startswith("email:") and ".work@" not in one]
        name, host = own[0].removeprefix("email:").split("@")
        local, typed_host = text.removeprefix("email:").split("@")
        assert typed_host == host
        assert local in single_errors(name) - {name}


def test_a_typo_that_hits_is_an_address_of_another_shopper():
    played = simulation(only(email_typos=1.0, typo_hits=1.0))
    owner = {text: shopper.name for shopper in played.truth.shoppers for text in shopper.identifiers}
    hits = [
        (shopper.name, owner[text])
        for shopper in played.truth.shoppers
        for text in shopper.mistyped
        if text in owner
    ]
    missed = sum(text not in owner for shopper in played.truth.shoppers for text in shopper.mistyped)
    assert all(one != other for one, other in hits)
    assert len(hits) > 100
    assert missed <= 5, "only the first shopper has nobody before her"


def test_typos_are_as_frequent_as_asked():
    all_wrong = simulation(only(email_typos=1.0, typo_hits=0.0), shoppers=1500)
    some_wrong = simulation(only(email_typos=0.1, typo_hits=0.0), shoppers=1500)
    wrong = {text for shopper in all_wrong.truth.shoppers for text in shopper.mistyped}
    typed = sum(count for address, count in addresses(all_wrong).items() if address in wrong)
    mistyped = {text for shopper in some_wrong.truth.shoppers for text in shopper.mistyped}
    found = sum(count for address, count in addresses(some_wrong).items() if address in mistyped)
    assert 0.07 < found / typed < 0.13


def test_a_recycled_number_is_one_persons_before_and_anothers_after():
    played = simulation(only(recycled_phones=0.3), days=10)
    truth = played.truth
    passed = {one.identifier: one for one in truth.recycled_phones}
    assert len(passed) == len(truth.recycled_phones) > 20
    users: Counter[str] = Counter()
    for event in events(played).values():
        for number in values(event, "phone"):
            if (one := passed.get(f"phone:{number}")) is not None:
                person = truth.shopper_of[event.event_id]
                assert person == (one.previous if event.time < one.time else one.next)
                users[person] += 1
    assert any(users[one.previous] and users[one.next] for one in truth.recycled_phones)
    texts = {text for shopper in truth.shoppers for text in shopper.identifiers}
    assert not texts & passed.keys(), "it is nobody's alone"
    assert all(played.start <= one.time < played.end for one in truth.recycled_phones)
    household = {shopper.name: shopper.household for shopper in truth.shoppers}
    assert all(household[one.previous] != household[one.next] for one in truth.recycled_phones)


def test_as_many_numbers_are_recycled_as_asked():
    truth = simulation(only(recycled_phones=0.1), shoppers=3000, days=1).truth
    phones = sum(text.startswith("phone:") for shopper in truth.shoppers for text in shopper.identifiers)
    recycled = len(truth.recycled_phones)
    assert 0.07 < recycled / (phones + recycled) < 0.12


def test_times_scales_how_often_it_happens_and_stops_at_always():
    noise = IdentityNoise(
        shared_tablets=0.4, kiosks=0.1, email_typos=0.03, typo_hits=0.05, recycled_phones=0.02
    )
    assert noise.times(1) == noise
    fourfold = noise.times(4)
    assert (fourfold.shared_tablets, fourfold.kiosks) == (1.0, 0.4)
    assert fourfold.email_typos == pytest.approx(0.12)
    assert fourfold.recycled_phones == pytest.approx(0.08)
    assert fourfold.typo_hits == noise.typo_hits
