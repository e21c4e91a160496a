"""All faults that a schedule may draw, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.chaos.faults.of_broker import KillBroker
from tests.chaos.faults.of_clock import ClockJump
from tests.chaos.faults.of_cluster import LoseABroker
from tests.chaos.faults.of_input import Duplicates, Poison, Reordering
from tests.chaos.faults.of_membership import RebalanceStorm
from tests.chaos.faults.of_network import SilentBroker, SlowBroker, TornConnections
from tests.chaos.faults.of_state import FullDisk, WipeWorker
from tests.chaos.faults.of_workers import FreezeWorker, KillWorker

if TYPE_CHECKING:
    from tests.chaos.faults.fault import Fault

FAULTS: dict[str, type[Fault]] = {
    fault.name: fault
    for fault in (
        KillWorker,
        FreezeWorker,
        WipeWorker,
        FullDisk,
        KillBroker,
        SlowBroker,
        SilentBroker,
        TornConnections,
        RebalanceStorm,
        ClockJump,
        Duplicates,
        Reordering,
        Poison,
    )
}

OF_A_CLUSTER: dict[str, type[Fault]] = {
    fault.name: fault for fault in (LoseABroker, KillWorker, FreezeWorker, WipeWorker)
}
"""The same where there are three brokers, and nothing between them and the workers."""

ALL = FAULTS | OF_A_CLUSTER
