"""job.json and schema.json: written once, read by all, and what they refuse."""

import time
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spotproof.batch import layout
from spotproof.batch.inputs.slices import InputFile, Shard, Slice
from spotproof.batch.output_schema import agree_schema, conform, read_schema
from spotproof.batch.record import Plan, compare_fingerprints, new_record, read_record, settle_record
from spotproof.core.clock import ManualClock
from spotproof.core.errors import FunctionError, JobChanged, NotFound, RootDamaged
from spotproof.storage.memory import MemoryStore
from tests.unit.batch.harness import Bench, plan_of

CLOCK = ManualClock()


def mark(**more: Any) -> dict[str, Any]:
    return {"files": [["/in/a", 10, "e1"], ["/in/b", 20, "e2"]], "function": "m:f", "function.source": "1", **more}


def settle(store: MemoryStore, fingerprint: dict[str, Any], plan: Plan | None = None) -> Any:
    return settle_record(store, new_record("nightly", fingerprint, {}, plan or plan_of([1, None]), CLOCK), CLOCK)


class TestRecord:
    def test_the_first_one_stands(self) -> None:
        store = MemoryStore()
        first = settle(store, mark())
        again = settle(store, mark())
        assert again.job_id == first.job_id
        assert again == read_record(store) == first
        assert again.plan.rows_total is None

    def test_another_job_is_refused_with_the_differences(self) -> None:
        store = MemoryStore()
        settle(store, mark())
        changed = mark(**{"function.source": "2", "input.carry": ["id"]})
        changed["files"] = [["/in/a", 11, "e9"], ["/in/c", 20, "e2"]]
        with pytest.raises(JobChanged) as caught:
            settle(store, changed)
        text = str(caught.value)
        for line in (
            "input file is gone: /in/b",
            "input file is new: /in/c",
            "input file changed: /in/a (was 10 bytes, version e1; is 11 bytes, version e9)",
            "function.source: the code was edited since the job was started",
            "input.carry: None -> ['id']",
            "use a new root",
        ):
            assert line in text

    def test_many_differences_are_cut_short(self) -> None:
        store = MemoryStore()
        settle(store, {"files": []})
        with pytest.raises(JobChanged, match=r"and 80 more"):
            settle(store, {"files": [[f"/in/{n}", 1, "e"] for n in range(100)]})

    def test_the_same_is_the_same_after_json(self) -> None:
        assert compare_fingerprints(mark(), mark()) == []

    def test_a_hundred_thousand_files(self) -> None:
        files = tuple(InputFile(f"s3://bucket/some/prefix/part-{n:06d}.parquet", n, f"e{n}", n) for n in range(100_000))
        shards = tuple(Shard(n, (Slice(n, "rows", 0, n),), n) for n in range(100_000))
        fingerprint = {"files": [[f.uri, f.size, f.etag] for f in files]}
        store = MemoryStore()
        began = time.monotonic()
        settle(store, fingerprint, Plan(files, shards, pa.schema([("x", pa.int64())])))
        record = settle(store, fingerprint)
        assert time.monotonic() - began < 5
        assert (record.plan.files, record.plan.shards) == (files, shards)
        assert len(store.read(layout.JOB)) < 25e6

    @pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b"\xff", b'{"format": 99}'])
    def test_a_damaged_one_is_named(self, body: bytes) -> None:
        store = MemoryStore()
        store.create(layout.JOB, body)
        with pytest.raises(RootDamaged, match=r"job\.json"):
            read_record(store)

    def test_none(self) -> None:
        with pytest.raises(NotFound):
            read_record(MemoryStore())


class TestOutputSchema:
    def test_agreed_once(self) -> None:
        store = MemoryStore()
        first = agree_schema(store, pa.schema([("a", pa.int64()), ("b", pa.null())]), CLOCK)
        assert first == pa.schema([("a", pa.int64()), ("b", pa.string())])
        assert agree_schema(store, pa.schema([("other", pa.int64())]), CLOCK) == first == read_schema(store)

    @pytest.mark.parametrize("body", [b"", b"[]", b'{"arrow": "", "nonce": ""}', b'{"arrow": "AAAA", "nonce": ""}'])
    def test_a_damaged_one_is_named(self, body: bytes) -> None:
        store = MemoryStore()
        store.create(layout.SCHEMA, body)
        with pytest.raises(RootDamaged, match=r"schema\.json"):
            read_schema(store)

    @pytest.mark.parametrize(
        ("first", "later", "result"),
        [
            ([1.5], [1], [1.0]),
            ([1], [1.0], [1]),
            ([1], [1.5], None),
            ([None], ["a"], ["a"]),
            ([None], [None], [None]),
            ([1], [None], [None]),
            ([1], ["a"], None),
            ([[1, 2]], [[1.0, 2.0]], [[1, 2]]),
            ([[1]], [1], None),
            ([{"a": 1}], [{"a": 2, "b": 1}], None),
            ([{"a": 1, "b": 1}], [{"a": 2}], [{"a": 2, "b": None}]),
            ([[{"a": 1}]], [[{"b": 1}]], None),
            (np.zeros((1, 2)), np.zeros((1, 3)), None),
            (np.zeros((1, 2)), np.ones((1, 2), np.float32), [[1.0, 1.0]]),
            (np.array([1], np.int32), np.array([2**40]), None),
        ],
    )
    def test_later_batches_conform_or_stop_the_job(self, first: Any, later: Any, result: Any) -> None:
        bench = Bench(2, 1)
        function = lambda batch: {"y": first if batch["x"][0] == 0 else later}  # noqa: E731
        if result is None:
            with pytest.raises(FunctionError, match=r"same types for every batch|same columns"):
                bench.run(function)
        else:
            bench.run(function)
            assert bench.table().column("y").to_pylist()[1:] == result

    def test_the_order_of_columns_does_not_matter(self) -> None:
        schema = pa.schema([("a", pa.int64()), ("b", pa.string())])
        columns = pa.RecordBatch.from_arrays([pa.array(["x"]), pa.array([1])], ["b", "a"])
        assert conform(columns, schema).schema == schema

    def test_a_first_batch_without_nulls_promises_nothing(self) -> None:
        def function(batch: Any) -> pa.RecordBatch:
            first = batch["x"][0] == 0
            field = pa.field("y", pa.int64(), nullable=not first)
            return pa.RecordBatch.from_arrays([pa.array([1 if first else None])], schema=pa.schema([field]))

        bench = Bench(2, 1)
        bench.run(function)
        assert bench.table().column("y").to_pylist() == [1, None]
