"""The plan of a deployment: right units, and an example worked out by hand."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from stream_app.app import topics_of
from stream_app.settings import Settings
from stream_app.topology import DAY_MS, INTERNAL_RETENTION_MS
from tests.benchmarks.scale.planning import (
    DAY_S,
    EXCHANGES,
    FORMULAS,
    INTERNAL_DAYS,
    MOST_PARTITIONS,
    OWN_OUTPUTS,
    Assumptions,
    Machine,
    Measured,
    Plan,
    Prices,
    Targets,
    plan,
)

MEASURED = Measured(
    worker_cpu_us=90.0,
    main_cpu_us=60.0,
    broker_cpu_us=30.0,
    reads=0.4,
    rows=5.0,
    restore_cpu_us=2.0,
    restore_bytes_s=10e6,
    channel_bytes=100.0,
    internal_bytes=200.0,
    output_bytes=50.0,
    table_bytes=250.0,
    state_per_customer=1_000.0,
    state_per_event=400.0,
    tables_per_state=2.0,
    process_memory=2.0**30,
    takeover_s=3.0,
)
TARGETS = Targets(
    customers=1e6,
    events_s=1_000.0,
    peak_factor=2.0,
    replication=3,
    standbys=1,
    retention_days=10,
    history_days=1,
    recovery_s=100.0,
)
ASSUMED = Assumptions(
    utilisation=0.5, disk_free=0.5, read_us=100.0, follower_share=0.5, topics=30, own_topics=5
)
PRICES = Prices(
    worker=Machine("w", 4, 16, 50.0, 10.0, 1.0),
    broker=Machine("b", 4, 16, 0.0, 10.0, 0.5),
    volume_gb_month=0.1,
    crossing_gb=0.02,
)


def planned(measured: Measured = MEASURED, **targets: float) -> Plan:
    return plan(measured, replace(TARGETS, **targets), ASSUMED, PRICES)


def test_an_example_worked_out_by_hand():
    found = planned()
    # 86.4 million events in a day, of which a million were customers' first.
    assert found.state_bytes == pytest.approx(1e6 * 1_000 + 85.4e6 * 400)  # 35.16 GB
    assert found.state_growth_day == pytest.approx(86.4e6 * 400)
    # (90 us + a standby's 5 rows of 2 us) x 2,000 events/s at the peak = 0.2 cores busy, half used.
    assert found.worker_cores == pytest.approx(0.4)
    # (60 us + 0.4 reads of 100 us) x 2,000 = 0.2 of a process, half used.
    assert found.busy_processes == 1
    assert found.worker_disk_bytes == pytest.approx(35.16e9 * 2 / 0.5)  # 140.64 GB: three machines of 50 GB
    assert (found.worker_machines, found.workers_bound_by) == (3, "disk")
    assert found.processes == 3
    assert found.partitions == 4
    # Each second an epoch of each process: 5 topics in its own partitions, the three topics between the stages in all.
    assert found.touched_s == 4 * 5 + 3 * 4 * 3
    assert found.partition_recovery_s == pytest.approx(70.32e9 / 4 / 10e6)
    assert found.cold_recovery_s == pytest.approx(70.32e9 / 3 / 10e6)
    assert found.reads_s_per_machine == pytest.approx(800 / 3)
    assert found.broker_cores == pytest.approx(2_000 * 30e-6 * 2 / 0.5)
    topics = 86.4e6 * (10 * (100 + 50) + 2 * 200)
    assert found.broker_disk_bytes == pytest.approx(3 * (topics + 70.32e9) / 0.5)
    assert (found.brokers, found.brokers_bound_by) == (3, "replication")
    assert found.replicas_per_broker == pytest.approx(30 * 4)
    assert found.in_bytes_s == pytest.approx(1_000 * 600 * 3)
    assert found.out_bytes_s == pytest.approx(1_000 * (2 * 600 + 100 + 200 + 50 + 250))
    assert found.crossing_bytes_s == pytest.approx(1_000 * (2 * 600 + 2 / 3 * (600 + 600)))
    assert found.worker_dollars == pytest.approx(3 * 730)
    assert found.broker_dollars == pytest.approx(3 * 730 * 0.5)
    assert found.volume_dollars == pytest.approx(3 * (topics + 70.32e9) / 0.5 / 1e9 * 0.1)
    assert found.crossing_dollars == pytest.approx(2e6 * DAY_S * 365 / 12 / 1e9 * 0.02)
    assert found.dollars == pytest.approx(
        found.worker_dollars + found.broker_dollars + found.volume_dollars + found.crossing_dollars
    )


SIZES = (
    "worker_cores",
    "worker_machines",
    "processes",
    "partitions",
    "state_bytes",
    "broker_cores",
    "brokers",
    "dollars",
)


@pytest.mark.parametrize(
    "what", ["customers", "events_s", "peak_factor", "replication", "standbys", "history_days"]
)
def test_more_of_anything_never_needs_less(what):
    before = planned()
    for factor in (1, 3, 10, 100, 1_000):
        after = planned(**{what: getattr(TARGETS, what) * factor})
        for name in SIZES:
            assert getattr(after, name) >= getattr(before, name), (what, factor, name)
        before = after


def test_an_event_of_twice_the_cost_needs_twice_the_cores():
    dear = replace(
        MEASURED, worker_cpu_us=2 * 90.0, restore_cpu_us=2 * 2.0, broker_cpu_us=2 * 30.0, main_cpu_us=2 * 60.0
    )
    assert planned(dear).worker_cores == pytest.approx(2 * planned().worker_cores)
    assert planned(dear).broker_cores == pytest.approx(2 * planned().broker_cores)


def test_ten_times_the_events_need_ten_times_the_cores_and_traffic():
    before, after = planned(), planned(events_s=10_000.0)
    for name in ("worker_cores", "broker_cores", "in_bytes_s", "out_bytes_s", "crossing_bytes_s"):
        assert getattr(after, name) == pytest.approx(10 * getattr(before, name)), name


def test_reads_that_wait_for_the_disk_need_processes_and_no_cores():
    slow = replace(MEASURED, reads=100.0)
    assert planned(slow, events_s=10_000.0).busy_processes == 403  # 20,000/s x 10,060 us / 0.5
    assert planned(slow).worker_cores == planned().worker_cores


def test_without_disks_of_their_own_workers_pay_for_volumes_and_reads():
    volumes = replace(PRICES, worker=replace(PRICES.worker, disk_gb=0.0), volume_reads_included=100.0)
    found = plan(MEASURED, TARGETS, ASSUMED, volumes)
    assert found.workers_bound_by == "standbys"
    dearer = found.volume_dollars - planned().volume_dollars
    # 140.64 GB, and 300 reads/s of each of two machines beyond the hundred that are included
    assert dearer == pytest.approx(140.64 * 0.1 + 2 * 300 * 0.005)


def test_epochs_cost_what_they_write_to_by_processes_times_partitions():
    epochs = replace(MEASURED, worker_touch_us=500.0, broker_touch_us=250.0)
    before, found = planned(events_s=100_000.0), planned(epochs, events_s=100_000.0)
    assert (before.processes, before.partitions) == (277, 512)  # 13.8 TB on disks of 50 GB
    assert found.worker_cores - before.worker_cores == pytest.approx(found.touched_s * 500e-6 / 0.5)
    assert found.broker_cores - before.broker_cores == pytest.approx(found.touched_s * 250e-6 * 2 / 0.5)
    often = plan(epochs, TARGETS, replace(ASSUMED, epochs_s=3.0), PRICES)
    assert often.touched_s == pytest.approx(3 * planned(epochs).touched_s)


def test_machines_that_epochs_need_have_processes_with_epochs_of_their_own():
    found = planned(replace(MEASURED, worker_touch_us=107_000.0))
    assert (found.workers_bound_by, found.worker_machines, found.processes) == ("processor", 4, 4)
    assert found.touched_s == 4 * 5 + 4 * 4 * 3
    assert found.worker_cores == pytest.approx(0.4 + 68 * 0.107 / 0.5)


def test_epochs_that_need_more_machines_than_they_leave_room_for_end_in_too_many_partitions():
    assert planned(replace(MEASURED, worker_touch_us=1e6)).partitions > MOST_PARTITIONS


def test_brokers_follow_from_replicas_network_or_disk():
    assert (
        plan(MEASURED, TARGETS, replace(ASSUMED, replicas_per_broker=10), PRICES).brokers_bound_by
        == "replicas"
    )
    thin = replace(PRICES, broker=replace(PRICES.broker, network_gbit=0.001))
    assert plan(MEASURED, TARGETS, ASSUMED, thin).brokers_bound_by == "network"
    assert plan(MEASURED, TARGETS, ASSUMED, replace(PRICES, volume_most_gb=1.0)).brokers_bound_by == "disk"


def test_every_figure_has_its_formula():
    explained = {one.name for one in fields(Plan)} - {
        "workers_bound_by",
        "processes_bound_by",
        "brokers_bound_by",
    }
    assert set(FORMULAS) == explained


def test_what_the_plan_knows_of_the_product_is_so():
    assert INTERNAL_DAYS == INTERNAL_RETENTION_MS / DAY_MS
    limit = Settings.model_json_schema()["properties"]["partitions"]["maximum"]
    assert limit == MOST_PARTITIONS
    assert Targets().retention_days == Settings.model_fields["retention_days"].default


def test_the_topics_of_a_plan_are_those_of_the_topology():
    settings = Settings(bootstrap_servers="none:9")
    topics = topics_of(settings)
    specs = topics.specs(settings)
    assert Assumptions().topics == len(specs)
    own = {getattr(topics, name) for name in OWN_OUTPUTS} | set(topics.changelogs.values())
    assert own <= {spec.name for spec in specs}
    assert Assumptions().own_topics == len(own)
    internal = [spec for spec in specs if spec.config.get("retention.ms") == str(INTERNAL_RETENTION_MS)]
    assert len(internal) == EXCHANGES
