"""Seeded omnichannel shoppers with ground truth: records for all channels, and what must come of them.

simulation = Simulation(seed=1, shoppers=2000, days=3)
for record in simulation.records():   # ordered by arrival
    ...
simulation.truth.components
"""

from connectors.planned import Encoding, Planned
from connectors.simulators.backoffice import with_backoffice
from connectors.simulators.files import read_jsonl, read_truth, truth_path, write_jsonl
from connectors.simulators.settings import QUIET, Habits, IdentityNoise, Noise
from connectors.simulators.simulation import DEFAULT_START, Simulation
from connectors.simulators.truth import Components, Recycled, TrueShopper, Truth

__all__ = [
    "DEFAULT_START",
    "QUIET",
    "Components",
    "Encoding",
    "Habits",
    "IdentityNoise",
    "Noise",
    "Planned",
    "Recycled",
    "Simulation",
    "TrueShopper",
    "Truth",
    "read_jsonl",
    "read_truth",
    "truth_path",
    "with_backoffice",
    "write_jsonl",
]
