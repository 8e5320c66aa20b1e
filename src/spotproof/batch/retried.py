"""Rows that were refused, tried again: each round over one part's refused rows is one more create-once object.

ROOT/retried/SHARD/START.ROUND.parquet holds what the rows that now went through gave; its footer names them, and those
that are refused still. A round takes up only what the round before left, and its name is given away once, so that no
row is resolved twice, whoever retries.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from spotproof.batch import layout
from spotproof.batch.failures import read_refusals
from spotproof.batch.finish import read_chains
from spotproof.batch.parts import PartInfo, encode_verifiable, read_footer
from spotproof.batch.rows import Refusal
from spotproof.core.clock import Clock
from spotproof.core.ids import new_nonce
from spotproof.storage.create import create_once
from spotproof.storage.store import Store


@dataclass(frozen=True)
class Round:
    """What one later try made of the refused rows of the part at (`shard`, `start`)."""

    job_id: str
    nonce: str
    shard: int
    start: int
    number: int
    resolved: list[int]
    still_refused: list[list[int | str]]
    rows_out: int
    committed_at: float
    data_bytes: int = 0
    data_hash: str = ""


@dataclass(frozen=True)
class Unresolved:
    """Rows of one part that are refused still, after `rounds` later tries."""

    part: PartInfo
    rounds: int
    refused: Sequence[Refusal]


def read_rounds(store: Store) -> Mapping[tuple[int, int], list[Round]]:
    """All rounds, in order, by (shard, start) of the part that they belong to."""
    rounds: dict[tuple[int, int], list[Round]] = {}
    for path in sorted(info.path for info in store.list(layout.RETRIED)):
        found = Round(**read_footer(store, path))
        rounds.setdefault((found.shard, found.start), []).append(found)
    return rounds


def resolved_rows(store: Store) -> int:
    """Input rows that were refused once and went through in a later round."""
    return sum(len(one.resolved) for rounds in read_rounds(store).values() for one in rounds)


def unresolved(store: Store) -> Iterator[Unresolved]:
    """Every part with rows that are refused still, in the order of the input."""
    rounds = read_rounds(store)
    for _, chain in sorted(read_chains(store).items()):
        for part in chain:
            if part.failed_file is None:
                continue
            tried = rounds.get((part.shard, part.start), [])
            refused = _left_over(store, part, tried)
            if refused:
                yield Unresolved(part, len(tried), refused)


def commit_round(
    store: Store, before: Unresolved, table: pa.Table, resolved: Sequence[int], refused: Sequence[Refusal], clock: Clock
) -> bool:
    """Make one more round durable; False where another retry of the same rows was faster, which then counts."""
    part, number, nonce = before.part, before.rounds + 1, new_nonce()
    still: list[list[int | str]] = [[refusal.row, refusal.error_type, refusal.error] for refusal in refused]
    done = Round(part.job_id, nonce, part.shard, part.start, number, list(resolved), still, table.num_rows, clock.now())
    path = layout.retried(part.shard, part.start, number)
    # The commit: before this line the rows are refused; after it, `resolved` are done.
    return create_once(
        store, path, encode_verifiable(table, asdict(done)), nonce, lambda: read_footer(store, path)["nonce"], clock
    )


def _left_over(store: Store, part: PartInfo, rounds: Sequence[Round]) -> list[Refusal]:
    if rounds:
        return [Refusal(int(row), str(kind), str(text)) for row, kind, text in rounds[-1].still_refused]
    assert part.failed_file is not None
    return [r for r in read_refusals(store, part.failed_file) if part.start <= r.row < part.stop]
