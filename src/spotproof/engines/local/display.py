"""The one progress display of a run: a bar on a terminal, a plain line now and then elsewhere."""

import sys
import threading
from collections import deque
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as Bar

from spotproof.core.clock import Clock
from spotproof.core.events import Event, JobFinished, NoticeReceived, PartCommitted, RowRefused, WorkerLost
from spotproof.engines.local.progress import Progress

_RATE_SECONDS = 30.0  # the rate shown is that of so many last seconds
_LINE_EVERY_SECONDS = 10.0


def display_for(stream: TextIO | None, clock: Clock) -> "Display":
    """A display that suits `stream` (None: standard error)."""
    console = Console(file=stream or sys.stderr, highlight=False, soft_wrap=True)
    return Display(console, clock, live=console.is_terminal)


class Display(Progress):
    """Rows, rate, time left, what is durable, interruptions. Use as a context manager."""

    def __init__(self, console: Console, clock: Clock, live: bool) -> None:
        self._console = console
        self._clock = clock
        self._live = live
        self._tally = Tally(clock)
        self._bar = Bar(
            TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[told]}"),
            console=console, refresh_per_second=4,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "Display":
        if self._live:
            self._bar.start()
            self._task = self._bar.add_task("preparing", total=None, told="looking at the input")
        self._thread = threading.Thread(target=self._refresh, name="spotproof-display", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        self._show()
        self._bar.stop()

    def planned(self, rows_total: int | None, rows_done: int, rows_failed: int, interruptions: int) -> None:
        self._tally.begin(rows_total, rows_done, rows_failed, interruptions)
        if rows_done:
            total = f" of {rows_total:,}" if rows_total is not None else ""
            self._say(f"resuming: {rows_done:,}{total} rows are done already")

    def computed(self, rows: int) -> None:
        self._tally.add(rows)

    def event(self, worker: str, event: Event) -> None:
        self._tally.hear(event)
        told = _in_words(worker, event)
        if told is not None:
            self._say(told)

    def line(self, worker: str, text: str) -> None:
        self._say(f"{worker} | {text}")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def _refresh(self) -> None:
        # Real waiting: a display is for people, whose clock cannot be set.
        while not self._stopped.wait(0.25 if self._live else _LINE_EVERY_SECONDS):
            if self._live or self._tally.is_planned:
                self._show()

    def _show(self) -> None:
        if not self._tally.is_planned:
            return
        if self._task is None:
            self._say(self._tally.line())
            return
        tally = self._tally
        self._bar.update(
            self._task, description="rows", completed=tally.rows_done, total=tally.rows_total, told=tally.line()
        )


class Tally:
    """The numbers of a run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._recent: deque[tuple[float, int]] = deque()
        self._lock = threading.Lock()
        self.is_planned = False
        self.rows_total: int | None = None
        self.rows_done = 0
        self.rows_failed = 0
        self.rows_durable = 0
        self.interruptions = 0
        self._last_commit_at: float | None = None

    def begin(self, rows_total: int | None, rows_done: int, rows_failed: int, interruptions: int) -> None:
        """What the root held."""
        self.rows_total, self.rows_done, self.rows_durable = rows_total, rows_done, rows_done
        self.rows_failed, self.interruptions = rows_failed, interruptions
        self._recent.append((self._clock.monotonic(), 0))
        self.is_planned = True

    def add(self, rows: int) -> None:
        """Rows computed."""
        with self._lock:
            self.rows_done += rows
            self._recent.append((self._clock.monotonic(), rows))

    def hear(self, event: Event) -> None:
        """Count what an event says."""
        if isinstance(event, PartCommitted):
            self.rows_durable += event.stop - event.start
            self.rows_failed += event.rows_failed
            self._last_commit_at = self._clock.monotonic()
        elif isinstance(event, WorkerLost):
            # What it had computed and not committed will be computed again.
            self.interruptions += 1
        elif isinstance(event, JobFinished):
            self.rows_done = self.rows_durable = self.rows_total = event.rows_in

    def rate(self) -> float:
        """Rows per second lately."""
        with self._lock:
            now = self._clock.monotonic()
            while len(self._recent) > 1 and now - self._recent[0][0] > _RATE_SECONDS:
                self._recent.popleft()
            if not self._recent:
                return 0.0
            return sum(rows for _, rows in self._recent) / max(now - self._recent[0][0], 0.25)

    def line(self) -> str:
        """All of it in one line."""
        rate = self.rate()
        total = self.rows_total
        share = f"/{total:,} ({min(1.0, self.rows_done / total):.1%})" if total else ""
        told = [f"{self.rows_done:,}{share}", f"{rate:,.0f} rows/s"]
        if total is not None and rate > 0 and self.rows_done < total:
            told.append(f"ETA {_duration((total - self.rows_done) / rate)}")
        if self._last_commit_at is None:
            told.append(f"{self.rows_durable:,} committed")
        else:
            ago = _duration(self._clock.monotonic() - self._last_commit_at)
            told.append(f"{self.rows_durable:,} committed, last {ago} ago")
        told.append(f"{self.interruptions} interruption{'' if self.interruptions == 1 else 's'}")
        if self.rows_failed:
            told.append(f"{self.rows_failed:,} refused")
        return " · ".join(told)


def _in_words(worker: str, event: Event) -> str | None:
    if isinstance(event, WorkerLost):
        how = f"killed by signal {event.signal}" if event.signal else f"exit code {event.exit_code}"
        return f"worker {event.lost_worker} is gone ({how}); another takes its place"
    if isinstance(event, NoticeReceived) and worker == "parent":
        return f"{event.source}: committing what is computed, then leaving (at most {event.grace_seconds:.0f} s)"
    if isinstance(event, RowRefused):
        last = event.error.strip().splitlines()[-1] if event.error.strip() else event.error_type
        return f"refused: shard {event.shard}, row {event.row}: {last}"
    return None


def _duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, seconds_left = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds_left:02d}"
