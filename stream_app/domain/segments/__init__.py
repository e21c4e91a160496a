"""Segments: data that say which customers belong together. Read definition.py first."""

from stream_app.domain.segments.definition import Segment, SegmentBook, load_segment
from stream_app.domain.segments.membership import Action, Crossing, Membership, Verdict, judge, leave

__all__ = [
    "Action",
    "Crossing",
    "Membership",
    "Segment",
    "SegmentBook",
    "Verdict",
    "judge",
    "leave",
    "load_segment",
]
