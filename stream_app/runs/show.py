"""What a person sees of a run: steps, bars, rates; plain lines where there is no terminal."""

from __future__ import annotations

import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from stream_app.runs.drain import Lag

_LINE_EVERY_S = 5.0


class Show:
    """Progress on stderr, so that stdout holds results alone."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)

    def line(self, text: str) -> None:
        """Say one thing."""
        self.console.print(text, style="dim", markup=False)

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Say what is being done, and how long it took."""
        started = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(text):
                yield
        else:
            yield
        self.console.print(f"[green]✓[/] {text} [dim]{time.monotonic() - started:.1f} s[/]")

    @contextmanager
    def playing(self, total: int | None) -> Iterator[Playing]:
        """Show records going in."""
        with _progress(self.console) as progress:
            yield Playing(progress, progress.add_task("playing", total=total), self.console)

    @contextmanager
    def processing(self) -> Iterator[Processing]:
        """Show what the stages have still to do."""
        with _progress(self.console) as progress:
            yield Processing(progress, self.console)


class Playing:
    """The bar of records that go in."""

    def __init__(self, progress: Progress, task: TaskID, console: Console) -> None:
        self._progress, self._task, self._console = progress, task, console
        self._started = self._said = time.monotonic()

    def sent(self, records: int, clock: int) -> None:
        """Say how many records have been written, and what their clock shows (ms)."""
        now = time.monotonic()
        rate = records / max(now - self._started, 0.001)
        at = datetime.fromtimestamp(clock / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        text = f"playing   {rate:8,.0f} events/s, clock {at}"
        self._progress.update(self._task, completed=records, description=text)
        if not self._console.is_terminal and now - self._said > _LINE_EVERY_S:
            self._said = now
            self._console.print(f"  {records:,} records {text}")


class Processing:
    """The bars of the stages."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress, self._console = progress, console
        self._tasks: dict[str, TaskID] = {}
        self._before: dict[str, tuple[float, int]] = {}
        self._said = time.monotonic()

    def lag(self, stages: Mapping[str, Lag]) -> None:
        """Say how far each stage is through its input."""
        now = time.monotonic()
        words = []
        for stage, (done, total) in stages.items():
            task = self._tasks.get(stage)
            if task is None:
                task = self._tasks[stage] = self._progress.add_task(stage)
            at, before = self._before.get(stage, (now, done))
            rate = (done - before) / max(now - at, 0.001)
            self._before[stage] = (now, done)
            text = f"{stage:9} {rate:8,.0f} records/s, lag {total - done:,}"
            self._progress.update(task, completed=done, total=total, description=text)
            words.append(text)
        if not self._console.is_terminal and now - self._said > _LINE_EVERY_S:
            self._said = now
            self._console.print("  " + " | ".join(words))


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
