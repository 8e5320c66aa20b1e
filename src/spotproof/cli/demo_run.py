"""The demo's job as a process of its own, so that it can be killed: `python -m spotproof.cli.demo_run JOB COUNTER`.

Besides the usual progress it writes each count of computed rows to the file COUNTER as it comes, unbuffered: what was
computed and not yet committed when a kill came is known from it afterwards.
"""

import os
import sys
from pathlib import Path

from spotproof.batch.job_file import load_job
from spotproof.cli.app import exit_of
from spotproof.core.clock import SystemClock
from spotproof.core.errors import SpotproofError
from spotproof.core.events import Event
from spotproof.engines.local.display import display_for
from spotproof.engines.local.progress import Progress
from spotproof.engines.local.run import run


class Counting(Progress):
    """Passes everything on to `shown`, and counts."""

    def __init__(self, shown: Progress, counter: Path) -> None:
        self._shown = shown
        self._fd = os.open(counter, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def planned(self, rows_total: int | None, rows_done: int, rows_failed: int, interruptions: int) -> None:
        self._shown.planned(rows_total, rows_done, rows_failed, interruptions)

    def computed(self, rows: int) -> None:
        os.write(self._fd, b"%d\n" % rows)
        self._shown.computed(rows)

    def event(self, worker: str, event: Event) -> None:
        self._shown.event(worker, event)

    def line(self, worker: str, text: str) -> None:
        self._shown.line(worker, text)


def main() -> None:
    """Run or resume the job; exit as `spotproof run` does."""
    clock = SystemClock()
    try:
        with display_for(None, clock) as display:
            run(load_job(Path(sys.argv[1]), {}, {}), Counting(display, Path(sys.argv[2])), clock)
    except SpotproofError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(int(exit_of(error)))


if __name__ == "__main__":
    main()
