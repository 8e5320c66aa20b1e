"""The main program of a retry: computes refused rows again, one at a time, away from the process that asked."""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from spotproof.batch.computation import Computation
from spotproof.batch.inputs.reader import read_shard
from spotproof.batch.job import Job
from spotproof.batch.output import OutputColumns
from spotproof.batch.record import JobRecord, read_record
from spotproof.batch.refusals import refusal_of
from spotproof.batch.retried import Unresolved, commit_round, unresolved
from spotproof.batch.rows import Refusal, RowBlock
from spotproof.batch.shard_run import cut
from spotproof.batch.suspects import Step
from spotproof.batch.worker import output_columns
from spotproof.core.clock import SystemClock
from spotproof.core.errors import SpotproofError
from spotproof.core.exits import Exit
from spotproof.engines.local.channel import Sender, receive
from spotproof.engines.local.travel import job_of, load_embed, load_function
from spotproof.storage.store import Store
from spotproof.storage.uri import open_store

_BLOCK_ROWS = 1024


def main() -> None:
    """Run as `python -m spotproof.engines.local.retry_process READ_FD WRITE_FD`."""
    hello = next(receive(int(sys.argv[1])))
    sender = Sender(int(sys.argv[2]))
    code = Exit.OK
    try:
        job = job_of(hello)
        store = open_store(job.root)
        record = read_record(store)
        computation = load_embed(job, hello) if job.embed is not None else load_function(hello)
        retry = Retry(store, record, job, computation, {(s, r) for s, r in hello["killers"]}, sender)
        retry.run({(shard, start) for shard, start in hello["handled"]})
    except SpotproofError as error:
        sender.send({"is": "failed", "error": type(error).__name__, "message": str(error)})
        code = Exit.FAILED
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        sender.send({"is": "failed", "error": type(error).__name__, "message": text})
        code = Exit.FAILED
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(int(code))


class Retry:
    """Goes through all refused rows once. `killers` are rows at which an earlier process of this retry died."""

    def __init__(
        self,
        store: Store,
        record: JobRecord,
        job: Job,
        computation: Computation,
        killers: set[tuple[int, int]],
        sender: Sender,
    ) -> None:
        self._store = store
        self._record = record
        self._job = job
        self._computation = computation
        self._killers = killers
        self._sender = sender
        self._clock = SystemClock()
        self._output: OutputColumns = output_columns(store, record, job, self._clock)

    def run(self, handled: set[tuple[int, int]]) -> None:
        """Commit one round for each part with refused rows, except those `handled` already."""
        for before in unresolved(self._store):
            if (before.part.shard, before.part.start) not in handled:
                self._round(before)

    def _round(self, before: Unresolved) -> None:
        tables: list[pa.Table] = []
        resolved: list[int] = []
        refused: list[Refusal] = []
        for row, block in self._read(before):
            outcome = self._again(before.part.shard, row, block)
            if isinstance(outcome, Refusal):
                refused.append(outcome)
            else:
                tables.append(outcome)
                resolved.append(row)
        filled = [table for table in tables if table.num_rows]
        table = pa.concat_tables(filled) if filled else self._output.empty()
        ours = commit_round(self._store, before, table, resolved, refused, self._clock)
        self._sender.send(
            {
                "is": "round",
                "shard": before.part.shard,
                "start": before.part.start,
                "resolved": len(resolved) if ours else 0,
                "refused": len(refused),
            }
        )

    def _read(self, before: Unresolved) -> Iterator[tuple[int, RowBlock]]:
        """Each refused row's number with a block of that row alone."""
        part, plan, job = before.part, self._record.plan, self._job
        wanted = [refusal.row for refusal in before.refused]
        shard = plan.shards[part.shard]
        blocks = read_shard(
            job.input, plan.files, shard, plan.schema, part.start, _BLOCK_ROWS, identity=not job.input.carry
        )
        for block in blocks:
            for row in _between(wanted, block.start, block.stop):
                yield row, cut(block, Step(row, row + 1))
            if block.stop > wanted[-1]:
                return

    def _again(self, shard: int, row: int, block: RowBlock) -> pa.Table | Refusal:
        if block.refused:
            return block.refused[0]
        if (shard, row) in self._killers:
            return Refusal(row, "ProcessKilled", "the process died when this row was computed again, alone")
        self._sender.send({"is": "row", "shard": shard, "row": row})
        try:
            given = self._output.given(block.rows)
            computed = self._computation.start(self._computation.prepare(given), 1).result()
        except SpotproofError:
            raise
        except Exception as error:
            return refusal_of(row, error)
        table, _, _ = self._output.assemble(block, [(0, computed)])
        return table


def _between(rows: Sequence[int], start: int, stop: int) -> Sequence[int]:
    low, high = np.searchsorted(np.asarray(rows), [start, stop])
    return rows[int(low) : int(high)]


if __name__ == "__main__":
    main()
