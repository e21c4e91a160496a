"""What goes wrong on the way: each kind by itself, as often as asked, and booked in the truth."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import pytest

from connectors.simulators import QUIET, Noise, Simulation
from connectors.simulators.malformed import REASONS
from stream_app.domain.refusal import Reason

if TYPE_CHECKING:
    from connectors.simulators import Planned

MINUTE = 60_000
HOUR = 60 * MINUTE
LOUD = Noise(
    duplicates=0.05, conflicts=0.02, malformed=0.05, wrong_clocks=0.05, stuck_tills=0.2, too_large_bytes=5000
)


def simulation(noise: Noise, seed: int = 1) -> Simulation:
    return Simulation(seed, shoppers=150, days=2, noise=noise)


def only(**rates: float) -> Noise:
    return msgspec.structs.replace(QUIET, **rates)


def noted(records: list[Planned], note: str) -> list[Planned]:
    return [record for record in records if record.note == note]


def first_copies(records: list[Planned]) -> dict[str, Planned]:
    return {
        record.event.event_id: record
        for record in records
        if record.event is not None and record.note in {None, "late", "wrong_clock"}
    }


def test_without_noise_every_record_is_a_distinct_good_event_within_a_second():
    quiet = simulation(QUIET)
    records = list(quiet.records())
    truth = quiet.truth
    assert len(records) == truth.records == truth.events
    assert not truth.dead_letters
    assert truth.duplicates == truth.blocked_values == truth.late == 0
    assert all(record.event is not None and 0 < record.at - record.event.time < 1000 for record in records)


def test_noise_does_not_change_what_shoppers_do():
    quiet = first_copies(list(simulation(QUIET).records()))
    loud = first_copies(list(simulation(LOUD).records()))
    assert loud.keys() == quiet.keys()
    for event_id, record in loud.items():
        one, other = record.event, quiet[event_id].event
        assert one is not None
        assert other is not None
        assert (one.type, one.channel, one.properties) == (other.type, other.channel, other.properties)


@pytest.mark.parametrize("kind", ["duplicates", "conflicts", "malformed", "late_tills", "out_of_order"])
def test_one_kind_of_noise_strikes_at_the_same_places_whatever_the_others_do(kind: str):
    rate = getattr(LOUD, kind)
    alone = list(simulation(only(**{kind: rate})).records())
    together = list(simulation(msgspec.structs.replace(only(**{kind: rate}), skewed_clocks=1.0)).records())
    assert [(one.at, one.note) for one in alone] == [(one.at, one.note) for one in together]


def test_the_ledger_balances_and_says_what_the_records_say():
    loud = simulation(LOUD)
    records = list(loud.records())
    truth = loud.truth
    notes = Counter(record.note for record in records)
    dead = Counter({"time_out_of_range": notes["wrong_clock"], "conflict": notes["conflict"]})
    for note, count in notes.items():
        if note is not None and note.startswith("malformed:"):
            dead[note.removeprefix("malformed:")] += count
    assert truth.dead_letters == dict(dead)
    assert truth.duplicates == notes["duplicate"]
    assert truth.late == notes["late"]
    assert truth.events == notes[None] + notes["late"] == sum(truth.events_by_channel.values())
    assert truth.records == len(records) == truth.events + truth.duplicates + sum(truth.dead_letters.values())


def test_every_reason_that_a_producer_can_cause_occurs():
    assert set(simulation(LOUD).truth.dead_letters) == {reason.value for reason in Reason} - {
        Reason.POISON.value
    }


def test_reasons_take_turns_so_that_a_short_run_has_them_all():
    broken = simulation(only(malformed=0.01, too_large=1)).truth.dead_letters
    assert set(broken) == {reason.value for reason in REASONS}
    assert broken["too_large"] == 1


def test_a_duplicate_is_the_same_record_minutes_later():
    records = list(simulation(only(duplicates=0.05)).records())
    originals = first_copies(records)
    copies = noted(records, "duplicate")
    assert len(copies) > 50
    for copy in copies:
        assert copy.event is not None
        original = originals[copy.event.event_id]
        assert MINUTE <= copy.at - original.at <= 10 * MINUTE
        assert msgspec.structs.replace(copy, at=original.at, note=None) == original


def test_a_conflict_has_the_id_the_key_and_the_identifiers_of_an_earlier_event_but_another_content():
    records = list(simulation(only(conflicts=0.02)).records())
    originals = first_copies(records)
    conflicts = noted(records, "conflict")
    assert len(conflicts) > 20
    for conflict in conflicts:
        assert conflict.event is not None
        original = originals[conflict.event.event_id]
        assert original.event is not None
        assert conflict.at > original.at
        assert (conflict.key, conflict.encoding) == (original.key, original.encoding)
        assert conflict.event.identifiers == original.event.identifiers
        assert conflict.event.properties != original.event.properties


def test_late_tills_arrive_hours_after_the_sale():
    records = list(simulation(only(late_tills=0.5)).records())
    late = noted(records, "late")
    assert late
    assert {record.channel for record in late} == {"store"}
    assert all(record.event and HOUR <= record.at - record.event.time < 9 * HOUR for record in late)


def test_wrong_clocks_are_in_2031_on_devices_and_in_1999_at_tills():
    noise = only(wrong_clocks=0.1, stuck_tills=0.5)
    wrong = noted(list(simulation(noise).records()), "wrong_clock")
    years = {
        (record.channel == "store", 1970 + record.event.time // 31_557_600_000)
        for record in wrong
        if record.event
    }
    assert years == {(False, 2031), (True, 1999)}
    assert simulation(noise).truth.dead_letters == {"time_out_of_range": len(wrong)}


def test_refused_events_connect_nobody():
    refused = simulation(only(wrong_clocks=1.0)).truth
    assert {channel for channel in ("web", "app") if channel in refused.events_by_channel} == set()
    assert not any(text.startswith("device:") for component in refused.components for text in component)


def test_skewed_clocks_are_a_few_minutes_wrong_and_accepted():
    skewed = simulation(only(skewed_clocks=1.0))
    off = [abs(record.at - record.event.time) for record in skewed.records() if record.event]
    assert max(off) > MINUTE
    assert max(off) <= 3 * MINUTE + 1000
    assert not skewed.truth.dead_letters


def test_a_meaningless_identifier_stands_beside_a_good_one_and_connects_nobody():
    blocked = simulation(only(blocked_identifiers=0.2))
    values = Counter(
        value for record in blocked.records() if record.event for value in record.event.identifiers.values()
        if value in ("guest", "null", "undefined", "None")
    )  # fmt: skip
    assert sum(values.values()) == blocked.truth.blocked_values > 50
    assert blocked.truth.components == simulation(QUIET).truth.components


def test_sloppy_spelling_changes_how_identifiers_look_not_whose_they_are():
    sloppy = simulation(only(sloppy_spelling=1.0))
    values = [
        value for record in sloppy.records() if record.event for value in record.event.identifiers.values()
    ]
    assert any(isinstance(value, int) for value in values)
    assert any(isinstance(value, str) and value.startswith("+33 ") for value in values)
    assert any(isinstance(value, str) and value.startswith(" ") for value in values)
    assert sloppy.truth.components == simulation(QUIET).truth.components


def test_a_producer_keeps_to_one_encoding_and_all_three_occur_in_a_topic():
    by_key: dict[tuple[str, bytes | None], set[str]] = {}
    for record in simulation(QUIET).records():
        by_key.setdefault((record.channel, record.key), set()).add(record.encoding)
    assert all(len(encodings) == 1 for encodings in by_key.values())
    assert len(set().union(*(used for (channel, _), used in by_key.items() if channel == "web"))) == 3
