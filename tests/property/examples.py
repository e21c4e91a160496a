"""How many examples a property test draws, and how a planted bug is searched for.

`make test` draws the same examples in every run: it guards what holds, with a few times as many as find each planted
bug. `make fuzz` draws new ones, ten times as many: it searches.
"""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, settings

FUZZ = "fuzz"
"""The profile of `make fuzz`; `tests/conftest.py` registers it."""
TIMES = 10


def examples(number: int) -> settings:
    """Draw so many examples in `make test`."""
    times = TIMES if settings.get_current_profile_name() == FUZZ else 1
    return settings(max_examples=number * times, suppress_health_check=list(HealthCheck))


def search(number: int) -> settings:
    """Draw up to so many examples, always the same; the first one that fails is enough, as it came."""
    return settings(
        max_examples=number,
        derandomize=True,
        database=None,
        report_multiple_bugs=False,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
