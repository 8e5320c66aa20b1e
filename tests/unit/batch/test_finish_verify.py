"""finish and verify on roots damaged by hand: every kind of damage is named, and none is called good."""

from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from spotproof.batch import layout
from spotproof.batch.finish import finish, read_success
from spotproof.batch.job import Commit
from spotproof.batch.parts import PartInfo, encode_part, read_part
from spotproof.batch.record import JobRecord, settle_record
from spotproof.batch.scan import scan
from spotproof.batch.verify import Report, verify
from spotproof.core.clock import ManualClock
from spotproof.core.errors import RootDamaged
from spotproof.storage.store import Store
from tests.unit.batch.harness import JOB_ID, Bench, blocks, plan_of

CLOCK = ManualClock()


class Finished:
    """A root of one shard of 100 rows in some parts, two of the rows refused."""

    def __init__(self, rows: int | None = 100) -> None:
        self.bench = Bench(rows, 10)
        self.bench.limits = Commit(rows=20)
        self.store: Store = self.bench.store
        self.record = settle_record(self.store, JobRecord(JOB_ID, "job", 0.0, "nonce", {}, {}, plan_of([rows])), CLOCK)

        def function(batch: Any) -> Any:
            if {13, 55} & set(batch["x"].tolist()):
                raise ValueError("bad row")
            return {"y": batch["x"]}

        self.bench.run(function, source=blocks(100, 10))
        self.paths = sorted(info.path for info in self.store.list(layout.PARTS))
        assert len(self.paths) >= 3

    def overwrite(self, path: str, body: bytes) -> None:
        self.store.delete(path)
        self.store.create(path, body)

    def change(self, path: str, **changes: Any) -> None:
        info, table = read_part(self.store, path)
        self.overwrite(path, encode_part(table, replace(info, **changes)))

    def report(self) -> Report:
        report = verify(self.store)
        assert not report.ok and report.problems
        return report

    def damage(self) -> str:
        with pytest.raises(RootDamaged) as caught:
            finish(self.store, self.record, CLOCK)
        assert read_success(self.store) is None
        return str(caught.value)


@pytest.mark.parametrize("rows", [100, None])
def test_a_good_root(rows: int | None) -> None:
    root = Finished(rows)
    seen: list[tuple[int, int]] = []
    report = verify(root.store, lambda done, of: seen.append((done, of)))
    assert report.ok and report.complete and not report.problems
    assert (report.rows_in, report.rows_done, report.rows_out, report.rows_failed) == (100, 100, 98, 2)
    assert seen[-1] == (len(root.paths), len(root.paths))
    totals = finish(root.store, root.record, CLOCK)
    assert (totals.rows_in, totals.rows_out, totals.rows_failed, totals.parts) == (100, 98, 2, len(root.paths))
    assert finish(root.store, root.record, CLOCK) == totals == read_success(root.store)
    found = scan(root.store)
    assert (found.rows_done, found.rows_out, found.rows_failed, found.parts) == (100, 98, 2, len(root.paths))
    assert found.complete_shards(root.record.plan) == [0]


@pytest.mark.parametrize("which", [0, 1, -1])
def test_a_missing_part(which: int) -> None:
    root = Finished()
    info, _ = read_part(root.store, root.paths[which])
    root.store.delete(root.paths[which])
    report = root.report()
    assert f"shard 0: rows {info.start} to {info.stop} are missing" in report.problems
    assert report.rows_missing == info.stop - info.start
    assert not report.complete
    assert "cannot be finished: rows" in root.damage()


def test_an_unfinished_shard_of_unknown_rows() -> None:
    root = Finished(None)
    info, _ = read_part(root.store, root.paths[-1])
    root.store.delete(root.paths[-1])
    report = root.report()
    assert report.rows_in is None
    assert f"shard 0: not finished, computed up to row {info.start}" in report.problems
    assert "not computed yet" in root.damage()


def test_every_flipped_byte_of_a_part_is_found_or_harmless() -> None:
    root = Finished()
    path = root.paths[0]
    body, (_, good) = root.store.read(path), read_part(root.store, path)
    missed: list[int] = []
    for at in range(0, len(body), 7):
        flipped = bytearray(body)
        flipped[at] ^= 0x40
        root.overwrite(path, bytes(flipped))
        report = verify(root.store)
        if report.ok:
            assert read_part(root.store, path)[1].equals(good), f"byte {at} changed a value unseen"
            missed.append(at)
        else:
            assert any(path in problem for problem in report.problems), (at, report.problems)
    # Statistics, sizes and the like in the Parquet footer, which no row depends on.
    assert len(missed) < len(body) / 7 * 0.5


def test_data_that_was_changed() -> None:
    root = Finished()
    body = bytearray(root.store.read(root.paths[1]))
    body[20] ^= 1
    root.overwrite(root.paths[1], bytes(body))
    assert any(root.paths[1] in p and "does not match its checksum" in p for p in root.report().problems)


@pytest.mark.parametrize("length", [0, 3, 11, 100, -1, -9, -500])
def test_a_torn_part(length: int) -> None:
    root = Finished()
    root.overwrite(root.paths[-1], root.store.read(root.paths[-1])[:length])
    assert any(root.paths[-1] in problem for problem in root.report().problems)
    assert root.paths[-1] in root.damage()
    with pytest.raises(RootDamaged, match=root.paths[-1]):
        scan(root.store)


def test_a_part_of_another_job() -> None:
    root = Finished()
    root.change(root.paths[1], job_id="01OTHER")
    assert f"{root.paths[1]}: belongs to another job (01OTHER)" in root.report().problems
    assert "belongs to another job" in root.damage()


def test_a_part_under_another_name() -> None:
    root = Finished()
    root.change(root.paths[1], shard=7)
    assert f"{root.paths[1]}: its footer says shard 7" in root.report().problems[0]


def test_an_overlapping_part() -> None:
    root = Finished()
    info, table = read_part(root.store, root.paths[0])
    extra = replace(info, start=info.stop - 5, rows_out=5, rows_failed=0, failed_file=None)
    path = layout.part(0, extra.start)
    root.store.create(path, encode_part(table.slice(0, 5), extra))
    report = root.report()
    assert report.rows_twice == 5
    assert f"{path}: rows {extra.start} to {info.stop} stand in an earlier part too" in report.problems
    assert "stand twice" in root.damage()


def test_more_rows_than_planned() -> None:
    root = Finished()
    info, table = read_part(root.store, root.paths[-1])
    extra: PartInfo = replace(info, start=100, stop=110, rows_out=10, rows_failed=0, failed_file=None)
    root.store.create(layout.part(0, 100), encode_part(table.slice(0, 10), extra))
    assert "shard 0: parts cover 110 rows, the plan has 100" in root.report().problems
    assert "its parts cover 110 rows, the plan has 100" in root.damage()


def test_failed_rows_missing_or_changed() -> None:
    root = Finished()
    with_failed = [p for p in root.paths if read_part(root.store, p)[0].failed_file]
    failed = read_part(root.store, with_failed[0])[0].failed_file
    other = read_part(root.store, with_failed[-1])[0].failed_file
    assert failed and other and failed != other
    body = root.store.read(failed)
    root.store.delete(failed)
    assert any(failed in problem for problem in root.report().problems)
    root.store.create(failed, body[:-5])
    assert any(failed in problem for problem in root.report().problems)
    root.overwrite(failed, root.store.read(other))
    assert any(f"{failed}: holds 0 of the 1 rows" in problem for problem in root.report().problems)


def test_other_columns_than_agreed() -> None:
    root = Finished()
    info, table = read_part(root.store, root.paths[1])
    renamed = table.rename_columns(["file", "row", "z"])
    root.overwrite(root.paths[1], encode_part(renamed, info))
    assert f"{root.paths[1]}: its columns are not those of schema.json" in root.report().problems
    assert isinstance(renamed, pa.Table)


def test_strange_objects_and_a_damaged_success() -> None:
    root = Finished()
    root.store.create("parts/00009/000000000000.parquet", root.store.read(root.paths[0]))
    root.store.create("parts/notes.txt", b"hello")
    problems = root.report().problems
    assert any("parts/00009/000000000000.parquet" in p for p in problems)
    assert "parts/notes.txt: not a part of this job" in problems
    root.store.create(layout.SUCCESS, b"{}")
    with pytest.raises(RootDamaged, match="_SUCCESS"):
        read_success(root.store)
