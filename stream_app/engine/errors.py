"""What can go wrong in the engine, told apart by what may heal it."""

from __future__ import annotations


class EngineError(Exception):
    """Base of the engine's errors. The message says what happened, where, and what to do."""


class EpochAbortedError(EngineError):
    """The epoch was rolled back and nothing of it is visible; its input is read again. Heals by itself."""


class FencedError(EpochAbortedError):
    """The group no longer knows this worker in this generation: its partitions are, or will be, others'."""


class MessageTooLargeError(EngineError):
    """A message is larger than its topic takes. What it came from is at fault, and trying again won't heal it."""


class HandlerError(EngineError):
    """A stage's code failed at the end of an epoch, when it was asked for what it held back.

    Attributes:
        task: whose handler it was.
    """

    def __init__(self, task: object, cause: BaseException) -> None:
        """Keep whose handler failed; the cause's text may hold data, its type can't."""
        super().__init__(type(cause).__name__)
        self.task = task


class StaleRowsError(EngineError):
    """Local rows are ahead of their changelog: it was made anew, or the broker lost its end."""


class OutcomeUnknownError(EngineError):
    """A commit was sent and its answer never came: only the changelog knows. Stores are reopened from it."""


class FatalError(EngineError):
    """The worker can't go on; it exits non-zero and a supervisor may start it again."""


class TopicsError(FatalError):
    """Topics are missing or wrongly configured. `problems` has one sentence for each."""

    def __init__(self, problems: list[str]) -> None:
        """Keep the sentences, and say what to do about them."""
        super().__init__("; ".join(problems) + " - run `raccord topics create`, or correct the topic")
        self.problems = problems


class FormatError(FatalError):
    """A state folder was written in a row format that this version does not know."""
