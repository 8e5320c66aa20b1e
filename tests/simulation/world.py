"""A world of workers that run the real protocol over a store that fails in every way, one step at a time, by a seed.

Workers are greenlets: each call of the store, and each sleep, hands control back, and a seeded choice says who goes on,
who dies, who stays frozen, and what becomes of the request.
"""

import collections
import io
import json
import random

import greenlet
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from spotproof.batch import chain
from spotproof.batch.rows import Refusal, Results
from spotproof.core.clock import ManualClock
from spotproof.core.errors import AlreadyExists, OutcomeUnknown, StorageUnavailable
from spotproof.storage.memory import MemoryStore

SHARD = 0
FATES = ["ok", "lost reply", "never arrived", "late", "conflict", "unavailable"]
WEIGHTS = [12, 2, 1, 2, 2, 1]


def copies(row: int) -> int:
    return (1, 2, 0, 1)[row % 4]


def is_refused(row: int) -> bool:
    return row % 5 == 3


class Simulated(MemoryStore):
    """What a worker sees: each create meets a fate."""

    def __init__(self, world: "World") -> None:
        super().__init__(world.clock)
        self.world = world

    def create(self, path: str, body: bytes) -> None:
        world = self.world
        world.switch()
        fate = world.rng.choices(FATES, WEIGHTS)[0] if world.is_troubled else "ok"
        world.counts[fate] += 1
        if fate == "ok":
            super().create(path, body)
        elif fate == "lost reply":
            self._land(path, body)
            raise OutcomeUnknown("the reply was lost")
        elif fate == "late":
            world.late.append((path, body))
            raise OutcomeUnknown("no answer in time")
        elif fate == "conflict":
            raise AlreadyExists("409: a conflicting request is under way")
        elif fate == "unavailable":
            raise StorageUnavailable("503")
        else:
            raise OutcomeUnknown("reset")
        world.switch()

    def read_tail(self, path: str, length: int):
        self.world.switch()
        return super().read_tail(path, length)

    def list(self, prefix: str):
        self.world.switch()
        return super().list(prefix)

    def land_late(self) -> None:
        """One request that was given up arrives after all."""
        self._land(*self.world.late.pop(self.world.rng.randrange(len(self.world.late))))

    def _land(self, path: str, body: bytes) -> None:
        try:
            super().create(path, body)
        except AlreadyExists:
            self.world.counts["landed on a taken name"] += 1


class SteppingClock(ManualClock):
    """Sleeping lets the others go on."""

    def __init__(self, world: "World") -> None:
        super().__init__()
        self._world = world

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)
        self._world.switch()


class World:
    """One interleaving. `run` returns when a sober worker has finished the shard; `problems` says what is wrong."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.counts: collections.Counter[str] = collections.Counter()
        self.late: list[tuple[str, bytes]] = []
        self.is_troubled = True
        self.clock = SteppingClock(self)
        self.store = Simulated(self)
        self.rows = self.rng.randint(1, 12)
        self.problems: list[str] = []
        self._seen: dict[str, bytes] = {}
        self._main = greenlet.getcurrent()
        self._frozen: dict[greenlet.greenlet, int] = {}

    def switch(self) -> None:
        """Hand control to the scheduler (from a worker)."""
        if greenlet.getcurrent() is not self._main:
            self._main.switch()

    def run(self) -> "World":
        workers = [greenlet.greenlet(self._work) for _ in range(self.rng.choice([2, 3]))]
        names = iter(range(100))
        replacements = 3
        while alive := [worker for worker in workers if not worker.dead]:
            self._watch()
            if self.late and self.rng.random() < 0.1:
                self.store.land_late()
            ready = [worker for worker in alive if self._frozen.get(worker, 0) <= 0]
            for worker in self._frozen:
                self._frozen[worker] -= 1
            if not ready:
                continue
            worker = self.rng.choice(ready)
            chance = self.rng.random()
            if chance < 0.02 and worker:
                worker.throw(greenlet.GreenletExit)
                self.counts["crash"] += 1
            elif chance < 0.04:
                self._frozen[worker] = self.rng.randint(20, 80)
                self.counts["zombie"] += 1
            else:
                worker.switch(f"w{next(names)}") if not worker else worker.switch()
                continue
            if replacements:
                replacements -= 1
                workers.append(greenlet.greenlet(self._work))
        while self.late:
            self.store.land_late()
            self._watch()
        self.is_troubled = False
        self._work("sober")
        self._watch()
        self._check()
        return self

    def _work(self, name: str = "w") -> None:
        writer = chain.Writer("job", name, 1, 0)
        try:
            tip = chain.read_tip(self.store, SHARD)
            while not tip.final:
                if self.rng.random() < 0.2:
                    tip = chain.read_tip(self.store, SHARD)
                    continue
                stop = min(self.rows, tip.position + self.rng.randint(1, 4))
                results = compute(tip.position, stop, final=stop == self.rows)
                committed = chain.commit(self.store, SHARD, tip, results, writer, self.clock, 30.0)
                self._is_true(committed, tip, results)
                tip = committed.tip
        except StorageUnavailable:
            self.counts["gave up"] += 1

    def _is_true(self, committed: chain.Committed, tip: chain.Tip, results: Results) -> None:
        for part in committed.parts:
            standing = footer(self.store.read(chain.layout.part(SHARD, part.start)))
            if standing["nonce"] != part.nonce:
                self.problems.append(f"told that it had committed row {part.start}; another's part stands there")
        if committed.tip.position < results.stop:
            self.problems.append(f"a commit from {tip.position} to {results.stop} ended at {committed.tip.position}")

    def _watch(self) -> None:
        """Nothing that was visible may change or vanish."""
        now = {path: kept.body for path, kept in self.store._objects.items()}
        for path, body in self._seen.items():
            if now.get(path) != body:
                self.problems.append(f"{path} changed after it was seen")
        self._seen = now

    def _check(self) -> None:
        """Every input row exactly as often as it must be, by reading the files alone."""
        out: collections.Counter[int] = collections.Counter()
        refused: collections.Counter[int] = collections.Counter()
        for path, body in self._seen.items():
            if not path.startswith("parts/"):
                continue
            out.update(pq.read_table(io.BytesIO(body))["row"].to_pylist())
            named = footer(body)["failed_file"]
            if named and named not in self._seen:
                self.problems.append(f"{path} names {named}, which is not there")
            elif named:
                refused.update(pq.read_table(io.BytesIO(self._seen[named]))["row"].to_pylist())
        for row in range(self.rows):
            want = (0, 1) if is_refused(row) else (copies(row), 0)
            if (out[row], refused[row]) != want:
                self.problems.append(f"row {row}: {out[row]} out, {refused[row]} refused; wanted {want}")


def compute(start: int, stop: int, final: bool) -> Results:
    """What every worker makes of these rows."""
    origin = [row for row in range(start, stop) if not is_refused(row) for _ in range(copies(row))]
    refused = tuple(Refusal(row, "ValueError", "on purpose") for row in range(start, stop) if is_refused(row))
    table = pa.table({"row": pa.array(origin, pa.int64())})
    return Results(start, stop, table, np.asarray(origin, np.int64), refused, final)


def footer(body: bytes) -> dict:
    """What a part says of itself."""
    return json.loads(pq.read_metadata(io.BytesIO(body)).metadata[b"spotproof"])
