"""How far a job is, read from its parts alone: one listing, and one small read per shard."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from spotproof.batch import layout
from spotproof.batch.chain import Tip, is_complete
from spotproof.batch.parts import PartInfo, read_part_info
from spotproof.batch.record import Plan
from spotproof.storage.store import Store

_READS_AT_ONCE = 32  # small reads of an object store are bound by its latency, not by this machine


@dataclass(frozen=True)
class Scan:
    """Where every shard stands. `parts` counts part files; `modified` is when the newest was written (0: none)."""

    tips: Mapping[int, Tip]
    parts: int
    bytes: int
    modified: float

    def complete_shards(self, plan: Plan) -> list[int]:
        """Numbers of the shards whose chain covers them whole."""
        return [s.number for s in plan.shards if s.number in self.tips and is_complete(s, self.tips[s.number])]

    @property
    def rows_done(self) -> int:
        """Input rows that stand in parts or in failed/."""
        return sum(tip.position for tip in self.tips.values())

    @property
    def rows_out(self) -> int:
        """Output rows in parts."""
        return sum(tip.total_out for tip in self.tips.values())

    @property
    def rows_failed(self) -> int:
        """Input rows refused when they were first computed."""
        return sum(tip.total_failed for tip in self.tips.values())


def scan(store: Store) -> Scan:
    """Read where every shard of the root stands. Raises `RootDamaged` on a torn last part."""
    last: dict[int, int] = {}
    parts, size, modified = 0, 0, 0.0
    for info in store.list(layout.PARTS):
        found = layout.parse_part(info.path)
        if found is None:
            continue
        shard, start = found
        parts += 1
        size += info.size
        modified = max(modified, info.modified)
        last[shard] = max(last.get(shard, 0), start)
    infos = read_infos(store, [layout.part(shard, start) for shard, start in last.items()])
    return Scan({info.shard: Tip.after(info) for info in infos}, parts, size, modified)


def read_infos(store: Store, paths: list[str]) -> list[PartInfo]:
    """The footers of many parts, in the order of `paths`."""
    if len(paths) < 4 or store.is_local:
        return [read_part_info(store, path) for path in paths]
    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        return list(pool.map(lambda path: read_part_info(store, path), paths))
