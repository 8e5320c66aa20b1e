"""What the demo tells at its end: what happened, what it cost, and whether the vectors are any good."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import typer

from spotproof.batch.job import Embed
from spotproof.batch.result import open_dataset
from spotproof.batch.verify import Report, verify
from spotproof.cli import show
from spotproof.coordination.event_log import read_events
from spotproof.core.events import NoticeHandled, RunStarted, WorkerReady
from spotproof.storage.store import Store
from spotproof.storage.uri import open_store

# One H100 of an a3-highgpu-8g (an eighth of the node), Google Cloud us-central1, list prices fetched 2025-10-23 as
# published with the SkyNomad traces (github.com/andylizf/skynomad-artifact, Apache-2.0).
_PRICES_NAME = "one H100 (1/8 of a3-highgpu-8g), Google Cloud us-central1, list prices of 2025-10-23"
_ON_DEMAND_PER_HOUR = 82.525434 / 8
_SPOT_PER_HOUR = 18.979008 / 8
_ANSWERS = 5


@dataclass(frozen=True)
class Interruption:
    """One of them: the signal, seconds until the processes were gone, the exit status."""

    signal: str
    seconds: float
    code: int


@dataclass(frozen=True)
class Facts:
    """What the root and the clock say. Seconds and dollars; `repeated` is rows computed twice because of kills."""

    verified: Report
    interruptions: Sequence[Interruption]
    repeated: int
    notice_seconds: Sequence[float]
    seconds: float
    loading_seconds: float

    @property
    def seconds_undisturbed(self) -> float:
        """What one run without interruptions would have taken: without the reloads and without the repeated rows."""
        attempts = len(self.interruptions) + 1
        working = max(0.0, self.seconds - self.loading_seconds)
        share_repeated = self.repeated / max(1, self.verified.rows_done + self.repeated)
        return self.loading_seconds / attempts + working * (1 - share_repeated)


def gather(store: Store, counter: Path, interruptions: Sequence[Interruption], seconds: float) -> Facts:
    """Collect the facts of a finished demo; verifies the root."""
    report = verify(store)
    events = list(read_events(store))
    started = {one.attempt: one.at for one in events if isinstance(one.event, RunStarted)}
    ready: dict[int, float] = {}
    for one in events:
        if isinstance(one.event, WorkerReady):
            ready[one.attempt] = max(ready.get(one.attempt, 0.0), one.event.seconds)
    computed = sum(int(line) for line in counter.read_text().split())
    return Facts(
        verified=report,
        interruptions=interruptions,
        repeated=max(0, computed - report.rows_done),
        notice_seconds=[one.event.seconds for one in events if isinstance(one.event, NoticeHandled)],
        seconds=seconds,
        loading_seconds=sum(ready.get(attempt, 0.0) for attempt in started),
    )


def show_report(facts: Facts) -> None:
    """Print the facts, the cost among them."""
    report = facts.verified
    spot = facts.seconds / 3600 * _SPOT_PER_HOUR
    on_demand = facts.seconds_undisturbed / 3600 * _ON_DEMAND_PER_HOUR
    notices = ", ".join(f"{seconds:.2f}" for seconds in facts.notice_seconds) or "none"
    kinds = ", ".join(f"{one.signal} (gone after {one.seconds:.1f} s)" for one in facts.interruptions)
    typer.echo("")
    show.table(
        [
            ("verified", "yes: every row stands exactly once" if report.ok else f"NO: {report.problems[:3]}"),
            ("rows in", f"{report.rows_in:,}" if report.rows_in is not None else "?"),
            ("rows out", f"{report.rows_out:,}, {report.rows_failed:,} refused, {report.rows_missing} missing, "
                         f"{report.rows_twice} twice"),
            ("parts", f"{report.parts:,}"),
            ("interruptions", f"{len(facts.interruptions)}: {kinds}"),
            ("rows repeated", f"{facts.repeated:,} (computed, and not yet committed when the SIGKILL came)"),
            ("notice to last commit", f"{notices} s, a worker each"),
            ("time", f"{facts.seconds:.0f} s, of which {facts.loading_seconds:.0f} s loading the model "
                     f"{len(facts.interruptions) + 1} times; about {facts.seconds_undisturbed:.0f} s undisturbed"),
            ("cost on spot", f"${spot:.4f} for {facts.seconds:.0f} s at ${_SPOT_PER_HOUR:.2f}/h"),
            ("cost on-demand", f"${on_demand:.4f} for {facts.seconds_undisturbed:.0f} s at "
                               f"${_ON_DEMAND_PER_HOUR:.2f}/h"),
            ("prices", f"{_PRICES_NAME}; the seconds are this machine's"),
        ]
    )  # fmt: skip


def show_search(root: str, query: str) -> None:
    """Print the passages nearest to `query`: a person can judge whether the vectors mean anything."""
    from spotproof.batch.embedding.function import EmbedTexts

    table = open_dataset(open_store(root)).to_table()
    model = EmbedTexts(Embed(model="all-MiniLM-L6-v2"))
    asked, _ = model(model.prepare(pa.record_batch({"text": [query]})))
    vectors = _matrix(table.column("embedding").combine_chunks())
    scores = vectors @ _matrix(asked.column(0))[0]
    typer.echo(f'\nsearch: "{query}"')
    for row in np.argsort(-scores)[:_ANSWERS]:
        first_line = " ".join(str(table.column("text")[int(row)]).split())[:90]
        typer.echo(f"  {scores[row]:.3f}  {table.column('name')[int(row)]}: {first_line}")


def _matrix(vectors: pa.FixedSizeListArray) -> np.ndarray:
    return vectors.flatten().to_numpy().reshape(-1, vectors.type.list_size)
