"""Event kinds: the typed, versioned list from which every report, bill and page is computed.

An event is one JSON line: `v` (this format), `kind`, `at` (seconds since 1970, UTC), `worker`, `attempt`, and the
fields of its kind below. Kinds are only ever added; a field never changes its meaning. Readers skip kinds that they
do not know.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

EVENT_FORMAT = 1


@dataclass(frozen=True)
class Event:
    """What all kinds share: nothing but having a kind."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True)
class RunStarted(Event):
    """A parent began (or resumed) the job on a machine."""

    kind: ClassVar[str] = "run.started"
    job_id: str
    host: str
    boot: str
    pid: int
    process_started: float
    workers: int
    version: str


@dataclass(frozen=True)
class RunEnded(Event):
    """A parent left in good order. `outcome`: succeeded, interrupted, failed. No such event: it was taken down."""

    kind: ClassVar[str] = "run.ended"
    outcome: str
    reason: str
    seconds: float


@dataclass(frozen=True)
class WorkerReady(Event):
    """A worker has loaded the user's function. `seconds` from its process start."""

    kind: ClassVar[str] = "worker.ready"
    seconds: float


@dataclass(frozen=True)
class WorkerLost(Event):
    """A worker process ended before the job did: it died, or was told to leave alone (exit code 75).

    `ranges` are the rows it had in hand when it died, as [shard, start, stop]. `signal` is 0 where it exited.
    """

    kind: ClassVar[str] = "worker.lost"
    lost_worker: str
    signal: int
    exit_code: int
    ranges: list[list[int]]


@dataclass(frozen=True)
class NoticeReceived(Event):
    """A notice: this machine goes. `grace_seconds` is the time left when it was heard."""

    kind: ClassVar[str] = "notice.received"
    source: str
    action: str
    grace_seconds: float


@dataclass(frozen=True)
class NoticeHandled(Event):
    """All that was computed is durable. `seconds` from the notice to the last commit; `rows_cut` were given up."""

    kind: ClassVar[str] = "notice.handled"
    seconds: float
    rows_committed: int
    rows_cut: int


@dataclass(frozen=True)
class ShardLeased(Event):
    """A worker took a shard, at the row where its parts end."""

    kind: ClassVar[str] = "shard.leased"
    shard: int
    epoch: int
    position: int


@dataclass(frozen=True)
class PartCommitted(Event):
    """A part is durable. `rows_repeated` were computed here but stood in another worker's part already."""

    kind: ClassVar[str] = "part.committed"
    shard: int
    start: int
    stop: int
    rows_out: int
    rows_failed: int
    rows_repeated: int
    bytes: int
    encode_seconds: float
    store_seconds: float
    counts: dict[str, int]


@dataclass(frozen=True)
class RowRefused(Event):
    """The function refused a row (once for each of the first few; failed/ holds them all)."""

    kind: ClassVar[str] = "row.refused"
    shard: int
    row: int
    error_type: str
    error: str


@dataclass(frozen=True)
class JobFinished(Event):
    """Every input row stands exactly once; _SUCCESS is written."""

    kind: ClassVar[str] = "job.finished"
    rows_in: int
    rows_out: int
    rows_failed: int
    parts: int


KINDS: Mapping[str, type[Event]] = {
    cls.kind: cls
    for cls in (
        RunStarted,
        RunEnded,
        WorkerReady,
        WorkerLost,
        NoticeReceived,
        NoticeHandled,
        ShardLeased,
        PartCommitted,
        RowRefused,
        JobFinished,
    )
}


@dataclass(frozen=True)
class Recorded:
    """An event as it stands in the log: who said it, when, in which attempt."""

    at: float
    worker: str
    attempt: int
    event: Event


def to_json(recorded: Recorded) -> dict[str, Any]:
    """The JSON object of one line of the log."""
    head = {"v": EVENT_FORMAT, "kind": recorded.event.kind, "at": round(recorded.at, 3)}
    return head | {"worker": recorded.worker, "attempt": recorded.attempt} | asdict(recorded.event)


def from_json(line: Mapping[str, Any]) -> Recorded | None:
    """The event of one line; None for a kind or format that this version does not know.

    Raises `KeyError` or `TypeError` where a known kind lacks a field.
    """
    cls = KINDS.get(line["kind"])
    if cls is None or line["v"] > EVENT_FORMAT:
        return None
    values = {f.name: line[f.name] for f in fields(cls)}
    return Recorded(at=line["at"], worker=line["worker"], attempt=line["attempt"], event=cls(**values))
