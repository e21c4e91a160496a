"""Bugs that the domain was designed against, planted in turn: what can't tell each from a sound worker shows nothing.

What provokes them is in `domain_provocations`; the oracle of the chaos suite has to notice.
"""

from __future__ import annotations

import pytest

from tests import domain_sabotage
from tests.chaos import domain_provocations

pytestmark = [pytest.mark.broker, pytest.mark.chaos]

NOTICED = {
    None: None,
    "drops a redirect": "whose events are",
    "forgets REPOINT": "lead to components that have joined others",
    "makes up trigger ids": "have triggers of several ids",
}
"""What the oracle must say of each."""


def test_each_planted_bug_of_the_domain_is_looked_for():
    assert NOTICED.keys() - {None} == domain_sabotage.PLANTS.keys()


@pytest.mark.parametrize("bug", NOTICED)
def test_a_planted_bug_of_the_domain_is_noticed_and_nothing_where_there_is_none(
    bug, bootstrap_servers, tmp_path
):
    said = domain_provocations.noticed(bootstrap_servers, tmp_path, bug)
    assert said is None if NOTICED[bug] is None else NOTICED[bug] in (said or "")
