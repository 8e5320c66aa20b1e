"""Does every input row stand exactly once, and is every byte what was written? Reads all parts."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import pyarrow as pa

from spotproof.batch import layout
from spotproof.batch.failures import read_refusals
from spotproof.batch.output_schema import read_schema
from spotproof.batch.parts import PartInfo, read_part, read_verified
from spotproof.batch.record import JobRecord, read_record
from spotproof.batch.retried import Round, read_rounds
from spotproof.core.errors import NotFound, RootDamaged
from spotproof.storage.store import Store

_READS_AT_ONCE = 8


@dataclass
class Report:
    """What `verify` found. `rows_in` is None while the input's rows are not all known."""

    ok: bool = False
    complete: bool = False
    rows_in: int | None = None
    rows_done: int = 0
    rows_failed: int = 0
    rows_missing: int = 0
    rows_twice: int = 0
    rows_out: int = 0
    parts: int = 0
    problems: list[str] = field(default_factory=list[str])


def verify(store: Store, on_part: Callable[[int, int], None] | None = None) -> Report:
    """Check a root, finished or not: checksums, rows against footers, chains against the plan, failed rows.

    `ok` means that the job is complete and every input row stands exactly once, in a part or in failed/. `on_part` is
    told (parts checked, parts in all). Raises `NotFound` where the root holds no job.
    """
    record = read_record(store)
    paths = sorted(info.path for info in store.list(layout.PARTS) if layout.parse_part(info.path))
    report = Report(parts=len(paths))
    schema = _agreed_schema(store, report)
    chains: dict[int, list[PartInfo]] = {}
    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        for done, (path, checked) in enumerate(
            zip(paths, pool.map(partial(_check, store, record, schema), paths), strict=True)
        ):
            if isinstance(checked, str):
                report.problems.append(checked)
            else:
                chains.setdefault(_shard_of(path), []).append(checked)
            if on_part is not None:
                on_part(done + 1, len(paths))
    _add_up(report, record, chains)
    try:
        _check_rounds(store, report, chains)
    except (RootDamaged, NotFound) as error:
        report.problems.append(str(error))
    report.problems += [f"{path}: not a part of this job" for path in _strangers(store, record)]
    report.ok = report.complete and not report.problems
    return report


def _check(store: Store, record: JobRecord, schema: pa.Schema | None, path: str) -> PartInfo | str:
    """The footer of a part that is good through and through, else what is wrong with it."""
    try:
        info, table = read_part(store, path)
        place = layout.parse_part(path)
        if info.job_id != record.job_id:
            return f"{path}: belongs to another job ({info.job_id})"
        if (info.shard, info.start) != place:
            return f"{path}: its footer says shard {info.shard}, row {info.start}"
        if schema is not None and table.num_rows and not table.schema.remove_metadata().equals(schema):
            return f"{path}: its columns are not those of {layout.SCHEMA}"
        if info.failed_file is not None:
            refused = read_refusals(store, info.failed_file)
            inside = [r for r in refused if info.start <= r.row < info.stop]
            if len(inside) != info.rows_failed or len({r.row for r in refused}) != len(refused):
                return f"{info.failed_file}: holds {len(inside)} of the {info.rows_failed} rows that {path} refused"
        return info
    except (RootDamaged, NotFound) as error:
        return str(error)


def _agreed_schema(store: Store, report: Report) -> pa.Schema | None:
    try:
        return read_schema(store)
    except NotFound:
        return None
    except RootDamaged as error:
        report.problems.append(str(error))
        return None


def _add_up(report: Report, record: JobRecord, chains: dict[int, list[PartInfo]]) -> None:
    report.complete = True
    known, total = True, 0
    for shard in record.plan.shards:
        chain = chains.get(shard.number, [])
        covered_to = 0
        for info in chain:
            if info.start < covered_to:
                twice = min(covered_to, info.stop)
                report.rows_twice += twice - info.start
                path = layout.part(info.shard, info.start)
                report.problems.append(f"{path}: rows {info.start} to {twice} stand in an earlier part too")
            elif info.start > covered_to:
                report.rows_missing += info.start - covered_to
                report.problems.append(f"shard {shard.number}: rows {covered_to} to {info.start} are missing")
            covered_to = max(covered_to, info.stop)
            report.rows_done += info.stop - info.start
            report.rows_failed += info.rows_failed
            report.rows_out += info.rows_out
        ended = bool(chain) and chain[-1].final
        rows = shard.rows if shard.rows is not None else covered_to if ended else None
        if rows is None:
            known = report.complete = False
            report.problems.append(f"shard {shard.number}: not finished, computed up to row {covered_to}")
            continue
        total += rows
        if covered_to < rows:
            report.complete = False
            report.rows_missing += rows - covered_to
            report.problems.append(f"shard {shard.number}: rows {covered_to} to {rows} are missing")
        elif covered_to > rows:
            report.problems.append(f"shard {shard.number}: parts cover {covered_to} rows, the plan has {rows}")
    report.rows_in = total if known else None
    if report.rows_missing:
        report.complete = False


def _check_rounds(store: Store, report: Report, chains: dict[int, list[PartInfo]]) -> None:
    """Later tries of refused rows: whole, one after another, and only over rows that were refused."""
    parts = {(info.shard, info.start): info for chain in chains.values() for info in chain}
    for place, rounds in sorted(read_rounds(store).items()):
        part = parts.get(place)
        if part is None or part.failed_file is None:
            report.problems.append(f"{layout.retried(*place, 1)}: belongs to no part with refused rows")
            continue
        left = {refusal.row for refusal in read_refusals(store, part.failed_file)}
        for number, one in enumerate(rounds, start=1):
            path = layout.retried(one.shard, one.start, number)
            problem = _round_problem(store, path, one, number, left)
            if problem is not None:
                report.problems.append(f"{path}: {problem}")
                break
            left -= set(one.resolved)
            report.rows_failed -= len(one.resolved)
            report.rows_out += one.rows_out


def _round_problem(store: Store, path: str, one: Round, number: int, left: set[int]) -> str | None:
    try:
        read_verified(store, path)
    except (RootDamaged, NotFound) as error:
        return str(error)
    still = {int(row) for row, _, _ in one.still_refused}
    if one.number != number:
        return f"is round {one.number}, where round {number} belongs"
    if set(one.resolved) | still != left or set(one.resolved) & still:
        return "its rows are not those that were refused before it"
    return None


def _shard_of(path: str) -> int:
    place = layout.parse_part(path)
    assert place is not None
    return place[0]


def _strangers(store: Store, record: JobRecord) -> list[str]:
    """Objects below parts/ that no plan of this job would have put there."""
    numbers = {shard.number for shard in record.plan.shards}
    found: list[str] = []
    for info in store.list(layout.PARTS):
        place = layout.parse_part(info.path)
        if place is None or place[0] not in numbers:
            found.append(info.path)
    return found
