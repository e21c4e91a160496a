"""Live, on a real broker behind a slow network: who has said no is sent nothing while she is being joined."""

from __future__ import annotations

import pytest

from tests.chaos.merge_under_way import CUSTOMERS, outcomes

pytestmark = [pytest.mark.broker, pytest.mark.chaos, pytest.mark.timeout(480)]

SLOW_S = 0.4
"""At this delay all of the triggers were sent while live clocks weren't held back."""


@pytest.mark.parametrize("workers", [1, 2])
def test_a_refusal_on_its_way_through_a_merge_is_waited_for_by_one_worker_or_several(workers):
    assert outcomes(SLOW_S, workers) == {"held_back consent": CUSTOMERS}
