"""Runs from end to end: topics, workers, a source that feeds them, and the books checked afterwards."""
