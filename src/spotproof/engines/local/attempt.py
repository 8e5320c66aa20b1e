"""Attempts: every parent that works on a root takes the next number, and learns what earlier ones saw die."""

import json
import os
from collections.abc import Sequence

from spotproof import version
from spotproof.batch.record import JobRecord
from spotproof.batch.suspects import Suspect, after_death
from spotproof.coordination.event_log import read_events
from spotproof.core.clock import Clock
from spotproof.core.errors import AlreadyExists, OutcomeUnknown
from spotproof.core.events import Recorded, RunStarted, WorkerLost, to_json
from spotproof.core.ids import ProcessIdentity
from spotproof.storage.store import Store

PARENT = "parent"
_FOLDER = f"events/{PARENT}"


def claim_attempt(store: Store, record: JobRecord, workers: int, clock: Clock) -> int:
    """The number of this attempt, from 1; its run.started event is durable on return."""
    me = ProcessIdentity.current()
    started = RunStarted(record.job_id, me.host, me.boot, os.getpid(), me.started, workers, version.VERSION)
    number = 1 + max((_number(info.path) for info in store.list(_FOLDER)), default=0)
    while True:
        line = json.dumps(to_json(Recorded(clock.now(), PARENT, number, started))).encode() + b"\n"
        try:
            # The commit: one parent has this number and no other.
            store.create(f"{_FOLDER}/{number:06d}/000000.jsonl", line)
            return number
        except (AlreadyExists, OutcomeUnknown):
            # If it was stored after all, that number stays unused: a gap costs nothing, two of one would.
            number += 1


def suspects_so_far(store: Store) -> list[Suspect]:
    """Rows that were in hand when workers of earlier attempts died."""
    suspects: list[Suspect] = []
    for recorded in read_events(store, _FOLDER):
        if isinstance(recorded.event, WorkerLost):
            suspects = after_death(suspects, _triples(recorded.event.ranges))
    return suspects


def _triples(ranges: Sequence[Sequence[int]]) -> list[tuple[int, int, int]]:
    return [(shard, start, stop) for shard, start, stop in ranges]


def _number(path: str) -> int:
    pieces = path.split("/")
    return int(pieces[2]) if len(pieces) > 3 and pieces[2].isdigit() else 0
