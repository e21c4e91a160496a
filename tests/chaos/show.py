"""A line that says what is going on; where there is no terminal, a line now and then."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

_SELDOM_S = 10.0


@contextmanager
def progress_line(console: Console) -> Iterator[Callable[[str], None]]:
    """Yield what takes the line as it is now."""
    if console.is_terminal:
        with console.status("") as status:
            yield lambda line: status.update(line.replace("[", r"\["))
        return
    told_at = 0.0

    def tell(line: str) -> None:
        nonlocal told_at
        now = time.monotonic()
        if not line.startswith("[") or now - told_at > _SELDOM_S:
            told_at = now
            console.print(line, markup=False, highlight=False)

    yield tell
