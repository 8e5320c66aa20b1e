"""The chain of a shard's parts: where it ends, and how it grows. The part protocol (docs/design/ordering.md) is here.

Each part's name holds its first input row, and its footer the row after its last, which is the next part's name. A
name is given away once, so the chain never forks, whoever writes: workers with leases, without, or long thought dead.
"""

from dataclasses import dataclass

from spotproof.batch import layout
from spotproof.batch.failures import encode_refusals
from spotproof.batch.inputs.slices import Shard
from spotproof.batch.parts import PartInfo, encode_part, part_nonce, read_part_info
from spotproof.batch.rows import Results
from spotproof.core.clock import Clock
from spotproof.core.ids import new_nonce
from spotproof.storage.create import create_once
from spotproof.storage.store import Store


@dataclass(frozen=True)
class Tip:
    """Where a shard's chain ends: its position, whether the shard ends there too, and the counts so far."""

    position: int
    final: bool
    total_out: int = 0
    total_failed: int = 0

    @classmethod
    def after(cls, part: PartInfo) -> "Tip":
        """The tip of a chain whose last part is `part`."""
        return cls(part.stop, part.final, part.total_out, part.total_failed)


@dataclass(frozen=True)
class Writer:
    """Who commits: goes into every footer, so that each row can be traced to a process and a lease."""

    job_id: str
    worker: str
    attempt: int
    epoch: int


@dataclass(frozen=True)
class Committed:
    """What a commit came to. `parts` are ours; `rows_repeated` of our input rows stood in another's part already."""

    tip: Tip
    parts: tuple[PartInfo, ...]
    rows_repeated: int
    bytes_stored: int = 0
    encode_seconds: float = 0.0
    store_seconds: float = 0.0


def read_tip(store: Store, shard: int) -> Tip:
    """Where the shard's chain ends: one listing and one small read, however many parts there are."""
    starts = [found[1] for info in store.list(layout.shard_parts(shard)) if (found := layout.parse_part(info.path))]
    if not starts:
        return Tip(0, False)
    return Tip.after(read_part_info(store, layout.part(shard, max(starts))))


def is_complete(shard: Shard, tip: Tip) -> bool:
    """Whether a chain that ends at `tip` covers the whole shard."""
    return tip.final or (shard.rows is not None and tip.position >= shard.rows)


def commit(
    store: Store,
    shard: int,
    tip: Tip,
    results: Results,
    writer: Writer,
    clock: Clock,
    give_up_after_seconds: float = 300.0,
) -> Committed:
    """Make `results` durable at the end of the chain; on return every input row below the new tip is stored once.

    `tip` must be the end of a chain that was read or committed before, at `results.start`. Where another worker
    was faster, the rows that its parts hold are dropped and the rest goes behind them. Raises `StorageUnavailable`
    with nothing lost: the same call may be made again.
    """
    assert tip.position == results.start, (tip, results.start)
    rows_given = results.stop - results.start
    parts: list[PartInfo] = []
    stored, encode_seconds, store_seconds = 0, 0.0, 0.0
    while results.start < results.stop or (results.final and not tip.final):
        began = clock.monotonic()
        info = _describe(shard, tip, results, writer, clock)
        body = encode_part(results.table, info)
        encoded = clock.monotonic()
        if info.failed_file is not None:
            # Before the part that names it: whoever sees the part can read why rows are missing from it.
            _store_refusals(store, info, results, clock, give_up_after_seconds)
        path = layout.part(shard, results.start)
        # The commit: before this line readers see a chain that ends at results.start; after it, at results.stop.
        ours = create_once(
            store,
            path,
            body,
            info.nonce,
            lambda path=path: part_nonce(store, path),
            clock,
            give_up_after_seconds,
        )
        encode_seconds += encoded - began
        store_seconds += clock.monotonic() - encoded
        if ours:
            parts.append(info)
            stored += len(body)
            tip = Tip.after(info)
            break
        tip = Tip.after(read_part_info(store, path))
        results = results.from_row(tip.position)
    ours_covered = sum(part.stop - part.start for part in parts)
    return Committed(tip, tuple(parts), rows_given - ours_covered, stored, encode_seconds, store_seconds)


def _describe(shard: int, tip: Tip, results: Results, writer: Writer, clock: Clock) -> PartInfo:
    nonce = new_nonce()
    return PartInfo(
        job_id=writer.job_id,
        nonce=nonce,
        shard=shard,
        start=results.start,
        stop=results.stop,
        final=results.final,
        rows_out=results.table.num_rows,
        rows_failed=len(results.refused),
        total_out=tip.total_out + results.table.num_rows,
        total_failed=tip.total_failed + len(results.refused),
        failed_file=layout.failed(shard, nonce) if results.refused else None,
        worker=writer.worker,
        attempt=writer.attempt,
        epoch=writer.epoch,
        committed_at=clock.now(),
        counts=dict(results.counts),
    )


def _store_refusals(store: Store, info: PartInfo, results: Results, clock: Clock, give_up_after_seconds: float) -> None:
    assert info.failed_file is not None
    path = info.failed_file

    def nonce() -> str:
        # The name holds our nonce, so whatever stands there is ours; reading it proves that it is there.
        store.read_tail(path, 8)
        return info.nonce

    create_once(
        store,
        path,
        encode_refusals(info.shard, results.refused),
        info.nonce,
        nonce,
        clock,
        give_up_after_seconds,
    )
