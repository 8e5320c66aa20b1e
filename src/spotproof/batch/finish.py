"""The end of a job: every chain is checked against the plan, then _SUCCESS is written."""

import json
from collections import defaultdict
from dataclasses import asdict, dataclass

from spotproof.batch import layout
from spotproof.batch.parts import PartInfo
from spotproof.batch.record import JobRecord
from spotproof.batch.scan import read_infos
from spotproof.core.clock import Clock
from spotproof.core.errors import NotFound, RootDamaged
from spotproof.core.ids import new_nonce
from spotproof.storage.create import create_once
from spotproof.storage.store import Store


@dataclass(frozen=True)
class Totals:
    """What a finished job came to. Every input row is in a part (`rows_in` - `rows_failed`) or in failed/."""

    rows_in: int
    rows_out: int
    rows_failed: int
    parts: int


def finish(store: Store, record: JobRecord, clock: Clock) -> Totals:
    """Check that every input row stands exactly once, then say so in _SUCCESS. Harmless to repeat.

    Raises `RootDamaged` naming the first shard that does not add up.
    """
    standing = read_success(store)
    if standing is not None:
        return standing
    chains = read_chains(store)
    for shard in record.plan.shards:
        chain = chains.get(shard.number, [])
        problem = _stranger(chain, record.job_id) or chain_problem(chain, shard.rows)
        if problem:
            raise RootDamaged(
                f"{store.uri}: shard {shard.number} cannot be finished: {problem}; see `spotproof verify`"
            )
    infos = [info for shard in record.plan.shards for info in chains.get(shard.number, [])]
    totals = Totals(
        rows_in=sum(info.stop - info.start for info in infos),
        rows_out=sum(info.rows_out for info in infos),
        rows_failed=sum(info.rows_failed for info in infos),
        parts=len(infos),
    )
    nonce = new_nonce()
    paths = [layout.part(info.shard, info.start) for info in infos]
    body = {
        "nonce": nonce,
        "job_id": record.job_id,
        "finished_at": clock.now(),
        **asdict(totals),
        "part_files": paths,
    }
    # The commit: from here on the job is done for every reader.
    create_once(
        store,
        layout.SUCCESS,
        json.dumps(body).encode(),
        nonce,
        lambda: json.loads(store.read(layout.SUCCESS))["nonce"],
        clock,
    )
    return totals


def read_success(store: Store) -> Totals | None:
    """The totals of a finished job; None while it is not finished."""
    try:
        said = json.loads(store.read(layout.SUCCESS))
        return Totals(*(said[name] for name in ("rows_in", "rows_out", "rows_failed", "parts")))
    except NotFound:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise RootDamaged(f"{store.uri}/{layout.SUCCESS} cannot be read: {error}") from error


def read_chains(store: Store) -> dict[int, list[PartInfo]]:
    """Every part's footer, by shard, in the order of their first rows."""
    found = sorted(place for info in store.list(layout.PARTS) if (place := layout.parse_part(info.path)))
    chains: dict[int, list[PartInfo]] = defaultdict(list)
    for (shard, _), info in zip(found, read_infos(store, [layout.part(*place) for place in found]), strict=True):
        chains[shard].append(info)
    return chains


def _stranger(chain: list[PartInfo], job_id: str) -> str | None:
    for info in chain:
        if info.job_id != job_id:
            return f"{layout.part(info.shard, info.start)} belongs to another job ({info.job_id})"
    return None


def chain_problem(chain: list[PartInfo], rows: int | None) -> str | None:
    """What is wrong with one shard's parts (in order), in words; None if they cover it exactly once."""
    at = 0
    for info in chain:
        if info.start != at:
            what = "are missing" if info.start > at else "stand twice"
            low, high = sorted((at, info.start))
            return f"rows {low} to {high} {what}"
        at = info.stop
    ended = bool(chain) and chain[-1].final
    if not ended and (rows is None or at < rows):
        return f"rows from {at} on are not computed yet"
    if rows is not None and at != rows:
        return f"its parts cover {at} rows, the plan has {rows}"
    return None
