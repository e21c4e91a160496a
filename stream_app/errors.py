"""Errors that a person can do something about, and the exit codes of the command line."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the exit code of a command says."""

    OK = 0
    FAILED = 1
    """It ran, and what it checked did not hold."""
    USAGE = 2
    """The command was called wrongly, or refers to something that does not exist."""
    ENVIRONMENT = 3
    """Something is missing around it: network, port, disk, Python, Java, a broker that answers."""


class UserError(Exception):
    """Something a person can mend: shown as one sentence, without a stack trace.

    The message says what happened, where, and what to do. It holds no personal data.

    Attributes:
        message: the sentence.
        code: exit code of the process when nothing catches it.
    """

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class EnvironmentMissing(UserError):  # noqa: N818 - reads as what it is, like KeyError's elder sisters
    """Something around the program is missing; exit code 3."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.ENVIRONMENT)
