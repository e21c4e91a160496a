"""The jobs of `make bench-peers` on Raccord's engine, killed in their midst: what comes out is what must come out.

So the benchmark compares what is right, and the road on which a stage reads producers' records, keeps rows and has
timers of its own is exactly once too.
"""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.benchmarks.peers import jobs, systems
from tests.benchmarks.peers.bed import PARTITIONS, Follower, Running, make_topics, write
from tests.waiting import wait_for

pytestmark = pytest.mark.broker

LOAD = jobs.Load(events=12_000, customers=600)
LIVES = 3
SHORT = {"SESSION_MS": "1000", "BATCH": "100"}
"""A dead worker is given up at once, and an epoch ends in the midst of what is there."""


def lives(job: str) -> list[list[jobs.Message]]:
    """Return what is written in each life of the worker, in order."""
    written = [jobs.message(job, one) for one in jobs.events(LOAD)]
    if job == "basket":
        written += jobs.ticks(PARTITIONS, jobs.START + jobs.SPAN_MS + jobs.TICK_MS)
    size = -(-len(written) // LIVES)
    return [written[start : start + size] for start in range(0, len(written), size)]


@pytest.mark.parametrize("job", jobs.JOBS)
def test_a_job_puts_out_what_it_must_though_its_worker_is_killed(
    job, bootstrap_servers, topic_prefix, tmp_path
):
    group, raccord = f"{topic_prefix}{job}", systems.raccord()
    source = f"{group}.input"
    make_topics(bootstrap_servers, [source, *(f"{group}.{role}" for role in raccord.topics)])
    variables = systems.environment(
        raccord, bootstrap=bootstrap_servers, source=source, lanes=1, gap_ms=jobs.GAP_MS,
        partitions=PARTITIONS, live=False,
    )  # fmt: skip
    expected = jobs.comparable(job, jobs.expected(job, jobs.events(LOAD)))
    follower = Follower(bootstrap_servers, f"{group}.output")
    running = Running(raccord.commands(job, group, 1, tmp_path), {**variables, **SHORT}, tmp_path / "log")
    with closing(follower), running:
        for number, written in enumerate(lives(job), 1):
            write(bootstrap_servers, source, written)
            enough = expected.total() if number == LIVES else follower.take(0.0) + 20
            assert wait_for(lambda enough=enough: follower.take(0.1) >= enough, 60), running.log.read_text()
            if number < LIVES:
                running.kill()
                running.start()
        follower.take(1.0)  # any too many
    assert jobs.comparable(job, follower.output.found) == expected
