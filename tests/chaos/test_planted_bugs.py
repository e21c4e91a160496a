"""Bugs that the engine was designed against, planted in turn: what can't tell each from a sound one shows nothing.

What provokes each is in `provocations`. That a sound engine passes the same is in `test_engine_chaos`. The domain's are
in `test_planted_domain_bugs`.
"""

from __future__ import annotations

import re

import pytest

from tests import domain_sabotage, engine_sabotage
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
