"""What tests of the engine on a real broker share."""

from __future__ import annotations

import contextlib

import pytest

from tests.engine_job import Probed


@pytest.fixture
def probed(bootstrap_servers, topic_prefix, tmp_path):
    """Make the job with a probe; its workers end with the test."""
    with contextlib.ExitStack() as stack:

        def make(probe: str, **options: str) -> Probed:
            return stack.enter_context(Probed(probe, bootstrap_servers, topic_prefix, tmp_path, **options))

        yield make
