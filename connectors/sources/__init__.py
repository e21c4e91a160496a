"""Readers of recorded data: each yields planned records for the topics, in order of arrival, row by row."""

from connectors.sources.rows import SourceError

__all__ = ["SourceError"]
