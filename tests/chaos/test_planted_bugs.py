"""Bugs that the design was made against, planted in turn: what can't tell each from a sound worker shows nothing.

What provokes each is in `provocations` (the engine) and `domain_provocations`. That a sound worker passes the same is
in `test_engine_chaos` and below.
"""

from __future__ import annotations

import re

import pytest

from tests import domain_sabotage, engine_sabotage
from tests.chaos import domain_provocations
from tests.chaos.provocations import PROVOKED_BY, job, noticed

pytestmark = [pytest.mark.broker, pytest.mark.chaos]


def test_each_planted_bug_of_the_engine_has_what_provokes_it():
    assert PROVOKED_BY.keys() == engine_sabotage.PLANTS.keys()


def test_there_are_ten_planted_bugs():
    assert len(engine_sabotage.PLANTS | domain_sabotage.PLANTS) == 10


@pytest.mark.parametrize("bug", PROVOKED_BY)
def test_a_planted_bug_of_the_engine_is_noticed(bug, bootstrap_servers, topic_prefix, tmp_path):
    with job(bootstrap_servers, topic_prefix, tmp_path) as run:
        said = noticed(run, bug, PROVOKED_BY[bug])
    # By its outputs. That a job does not come to an end may have many reasons, and a worker that dies is none of them.
    found = re.fullmatch(r"(\d+) of \d+ outputs are missing, (\d+) are too many", said or "")
    assert found, said
    assert int(found[1]) + int(found[2]) > 0


NOTICED = {
    None: None,
    "drops a redirect": "whose events are",
    "forgets REPOINT": "lead to components that have joined others",
    "makes up trigger ids": "have triggers of several ids",
}
"""What the oracle must say of each."""


@pytest.mark.parametrize("bug", NOTICED)
def test_a_planted_bug_of_the_domain_is_noticed_and_nothing_where_there_is_none(
    bug, bootstrap_servers, tmp_path
):
    said = domain_provocations.noticed(bootstrap_servers, tmp_path, bug)
    assert said is None if NOTICED[bug] is None else NOTICED[bug] in (said or "")
