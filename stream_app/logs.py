"""Logs: one line an event, key=value, on stderr. Never an identifier's value, never an event's content."""

from __future__ import annotations

import logging
import sys

import structlog

_NOISY = ("faust", "mode", "aiokafka", "kafka", "asyncio")


def configure(level: str) -> None:
    """Set up logging for a process; libraries are heard from WARNING on."""
    number = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(
        stream=sys.stderr, level=number, format="%(asctime)s %(levelname)-7s %(name)s %(message)s"
    )
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
