"""Numbers: what customers' timelines add up to. Read definitions.py first, then fold.py and telling.py."""

from stream_app.domain.numbers.attribution import MODELS
from stream_app.domain.numbers.cells import (
    NOTHING,
    Cell,
    Increments,
    cell_key,
    cell_of,
    day_of,
    day_text,
    month_of,
    month_text,
    pack,
    unpack,
)
from stream_app.domain.numbers.definitions import BY_NAME, NUMBERS, RATIOS, Number, Ratio, Unit, Window
from stream_app.domain.numbers.fold import Entry, changed, in_turn, keep, resume, send_step, step
from stream_app.domain.numbers.ratios import lifetime_value, retention, worked_out
from stream_app.domain.numbers.sends import Sent, TakenBack
from stream_app.domain.numbers.spend import SPEND, Spend, SpendError, read_spend, spent
from stream_app.domain.numbers.state import EDITION, Journey, Numbers, Ongoing
from stream_app.domain.numbers.telling import Retelling, Told, difference

__all__ = [
    "BY_NAME",
    "EDITION",
    "MODELS",
    "NOTHING",
    "NUMBERS",
    "RATIOS",
    "SPEND",
    "Cell",
    "Entry",
    "Increments",
    "Journey",
    "Number",
    "Numbers",
    "Ongoing",
    "Ratio",
    "Retelling",
    "Sent",
    "Spend",
    "SpendError",
    "TakenBack",
    "Told",
    "Unit",
    "Window",
    "cell_key",
    "cell_of",
    "changed",
    "day_of",
    "day_text",
    "difference",
    "in_turn",
    "keep",
    "lifetime_value",
    "month_of",
    "month_text",
    "pack",
    "read_spend",
    "resume",
    "retention",
    "send_step",
    "spent",
    "step",
    "unpack",
    "worked_out",
]
