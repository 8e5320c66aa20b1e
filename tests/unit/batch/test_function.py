"""Naming a function so that another process finds it, and what it sees of the rows."""

import functools
import importlib
import subprocess
import sys
import textwrap
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from spotproof.batch.computation import UserFunction, to_computed, to_numpy
from spotproof.batch.function import FunctionReference, batch_function, options_of
from spotproof.core.errors import ConfigError, FunctionError


def plain(batch: Any) -> Any:
    return batch


@batch_function(batch_rows=7, batch_format="pyarrow", concurrency=3)
def marked(batch: Any) -> Any:
    return batch


class Outer:
    class Inner:
        def __call__(self, batch: Any) -> Any:
            return batch

    def method(self, batch: Any) -> Any:
        return batch


@batch_function
class Bare:
    def __call__(self, batch: Any) -> Any:
        return batch


built = Outer.Inner()


class TestReference:
    @pytest.mark.parametrize("function", [plain, marked, Outer, Outer.Inner, Bare])
    def test_there_and_back(self, function: Any) -> None:
        reference = FunctionReference.of(function)
        assert reference.load() is function
        assert FunctionReference.of(str(reference)) == reference

    @pytest.mark.parametrize("text", ["", "module", "module:", ":name", "a/b.py"])
    def test_what_is_no_reference(self, text: str) -> None:
        with pytest.raises(ConfigError, match="not of the form module:name"):
            FunctionReference.parse(text)

    def test_what_no_other_process_can_import(self) -> None:
        def local(batch: Any) -> Any:
            return batch

        for function in (lambda b: b, local, functools.partial(plain), built, Outer().method):
            with pytest.raises(ConfigError, match="top level of a module"):
                FunctionReference.of(function)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("no_such_module_xyz:f", "no module 'no_such_module_xyz'"),
            ("json:nothing", "json has no 'nothing'"),
            ("json.decoder:JSONDecoder.nothing", "has no 'JSONDecoder.nothing'"),
            ("json:__name__", "not callable"),
        ],
    )
    def test_what_is_not_there(self, text: str, message: str) -> None:
        with pytest.raises(ConfigError, match=message):
            FunctionReference.parse(text).load()

    @pytest.mark.parametrize("body", ["1 / 0", "import sys; sys.exit(3)", "import no_such_thing_xyz", "def f(:"])
    def test_a_module_that_fails(self, body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "failing_module_xyz.py").write_text(body)
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ConfigError, match="importing failing_module_xyz failed"):
            FunctionReference.parse("failing_module_xyz:f").load()

    def test_a_script_is_found_by_its_file(self, tmp_path: Path) -> None:
        script = tmp_path / "nightly.py"
        script.write_text(
            textwrap.dedent("""
                import sys
                from spotproof.batch.function import FunctionReference, batch_function

                @batch_function(batch_rows=5)
                def work(batch): return batch

                if __name__ == "__main__":
                    reference = FunctionReference.of(work)
                    assert reference.load() is work
                    print(reference, reference.script, reference.source_hash())
            """)
        )
        told = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True).stdout.split()
        assert told[:2] == ["nightly:work", str(script)]
        # As a worker does: another process, another __main__.
        child = (
            "import sys; from spotproof.batch.function import FunctionReference as R, options_of;"
            "r = R('__main__', 'work', sys.argv[1]); f = r.load();"
            "assert f is r.load(); print(options_of(f).batch_rows, r.source_hash())"
        )
        run = [sys.executable, "-c", child, script]
        assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.split() == ["5", told[2]]
        script.write_text("raise SystemExit(2)")
        failed = subprocess.run(run, capture_output=True, text=True, check=False)
        assert "belongs below `if __name__ == '__main__':`" in failed.stderr


class TestSourceHash:
    @pytest.mark.parametrize("name", ["f", "C", "instance", "wrapped"])
    def test_an_edit_changes_it(self, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(sys, "dont_write_bytecode", True)
        source = textwrap.dedent("""
            import functools
            def f(batch): return {"y": 1}
            class C:
                def __call__(self, batch): return {"y": 1}
            instance = C()
            def outer(g):
                @functools.wraps(g)
                def call(batch): return g(batch)
                return call
            @outer
            def wrapped(batch): return {"y": 1}
        """)
        hashes: list[str] = []
        for text in (source, "# moved down\n" + source, source.replace('"y": 1', '"y": 22')):
            (tmp_path / "edited_module_xyz.py").write_text(text)
            sys.modules.pop("edited_module_xyz", None)
            importlib.invalidate_caches()
            hashes.append(FunctionReference.parse(f"edited_module_xyz:{name}").source_hash())
        sys.modules.pop("edited_module_xyz", None)
        assert hashes[0] == hashes[1] != hashes[2]

    def test_without_source(self) -> None:
        assert len(FunctionReference.parse("builtins:len").source_hash()) == 32


class TestOptions:
    def test_of_what_is_marked_and_what_is_not(self) -> None:
        found = options_of(marked)
        assert (found.batch_rows, found.batch_format, found.concurrency) == (7, "pyarrow", 3)
        assert options_of(plain).batch_rows == options_of(Bare).batch_rows == 1024
        assert UserFunction(marked).batch_rows == 7
        assert UserFunction(marked).concurrency == 1, "only async functions are called ahead"

    @pytest.mark.parametrize("wrong", [{"batch_rows": 0}, {"concurrency": 0}, {"batch_format": "pandas"}])
    def test_wrong_ones(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match="batch_function"):
            batch_function(**wrong)

    def test_a_class_without_call(self) -> None:
        class Nothing: ...

        with pytest.raises(FunctionError, match="no __call__"):
            UserFunction(Nothing)


COLUMNS = {
    "text": pa.array(["a", None, "ü"]),
    "large": pa.array(["a", None, "ü"], pa.large_string()),
    "binary": pa.array([b"a", None, b"\xff"]),
    "int": pa.array([1, 2, 3]),
    "int_null": pa.array([1, None, 3]),
    "float": pa.array([1.5, None, 3.5]),
    "bool": pa.array([True, None, False]),
    "when": pa.array([datetime(2024, 1, 2), None, datetime(2024, 1, 3)], pa.timestamp("us", "UTC")),
    "day": pa.array([1, None, 3], pa.date32()),
    "time": pa.array([1, None, 3], pa.time64("us")),
    "span": pa.array([1, None, 3], pa.duration("ms")),
    "decimal": pa.array([1, None, 3], pa.decimal128(10, 2)),
    "list": pa.array([[1], None, [2, 3]]),
    "texts": pa.array([["a"], None, ["b", None]]),
    "vector": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)),
    "vector_null": pa.array([[1.0, 2.0], None, [5.0, 6.0]], pa.list_(pa.float32(), 2)),
    "struct": pa.array([{"a": 1}, None, {"a": 3}]),
    "map": pa.array([[("a", 1)], None, []], pa.map_(pa.string(), pa.int64())),
    "dictionary": pa.array(["a", None, "a"]).dictionary_encode(),
    "null": pa.nulls(3),
}


class TestBatches:
    @pytest.mark.parametrize("name", COLUMNS)
    def test_every_type_can_be_seen_and_given_back(self, name: str) -> None:
        rows = pa.RecordBatch.from_arrays([COLUMNS[name]], [name])
        for piece in (rows, rows.slice(1), rows.slice(0, 0)):
            seen = to_numpy(piece)[name]
            assert isinstance(seen, np.ndarray) and len(seen) == piece.num_rows
            if name == "map":
                continue  # numpy has no maps: to give one back, a function returns pyarrow
            # What a function passes on unchanged comes back, at least as the same number of rows.
            assert to_computed({name: seen}, piece.num_rows).columns.num_rows == piece.num_rows
        if name == "map":
            return
        same = to_computed({name: to_numpy(rows)[name]}, 3).columns.column(0)
        if name != "decimal":
            lossless = COLUMNS[name].cast(same.type) if name in ("dictionary", "when", "large", "int_null") else None
            expected = (lossless if lossless is not None else COLUMNS[name]).to_pylist()
            given = [None if value != value else value for value in same.to_pylist()]
            assert given == expected

    def test_texts_work_with_numpy(self) -> None:
        seen = to_numpy(pa.RecordBatch.from_arrays([pa.array(["a", "ü"])], ["text"]))["text"]
        assert np.char.upper(seen.astype(str)).tolist() == ["A", "Ü"]
        assert to_numpy(pa.RecordBatch.from_arrays([pa.array(["a", None])], ["t"]))["t"].tolist() == ["a", None]

    def test_vectors_are_two_dimensional(self) -> None:
        rows = pa.RecordBatch.from_arrays([COLUMNS["vector"]], ["v"]).slice(1)
        assert to_numpy(rows)["v"].tolist() == [[3.0, 4.0], [5.0, 6.0]]

    @pytest.mark.parametrize(
        ("given", "type_"),
        [
            (np.zeros((3, 4), np.float16), pa.list_(pa.float16(), 4)),
            (np.zeros((3, 0)), None),
            (np.array(["a", "b", "c"]), pa.string()),
            (np.array([["a"], ["b"], ["c"]]), pa.list_(pa.string(), 1)),
            (("a", "b", "c"), pa.string()),
            ([np.zeros(2), np.zeros(3), np.zeros(0)], pa.list_(pa.float64())),
            (np.zeros((6, 4))[::2], pa.list_(pa.float64(), 4)),
            (range(3), pa.int64()),
            (pa.chunked_array([[1], [2, 3]]), pa.int64()),
            ([b"a", b"b", None], pa.binary()),
            ([{"a": 1}, {"b": 2}, None], pa.struct([("a", pa.int64()), ("b", pa.int64())])),
        ],
    )
    def test_what_may_be_returned(self, given: Any, type_: pa.DataType | None) -> None:
        if type_ is None:
            with pytest.raises(FunctionError):
                to_computed({"y": given}, 3)
        else:
            assert to_computed({"y": given}, 3).columns.schema.field("y").type == type_

    def test_a_mask_is_kept(self) -> None:
        masked = np.ma.masked_array([1, 2, 3], mask=[False, True, False])
        assert to_computed({"y": masked}, 3).columns.column(0).to_pylist() == [1, None, 3]

    def test_tables_and_record_batches(self) -> None:
        table = pa.table({"y": pa.chunked_array([[1], [2, 3]])})
        assert to_computed(table, 3).columns.column(0).to_pylist() == [1, 2, 3]
        assert to_computed(table.slice(0, 0), 0).columns.num_rows == 0
        assert to_computed(table.to_batches()[0], 1).columns.num_rows == 1

    def test_the_pyarrow_format_is_passed_through(self) -> None:
        rows = pa.RecordBatch.from_arrays([COLUMNS["struct"]], ["s"])
        assert UserFunction(marked).prepare(rows) is rows
        assert UserFunction(marked).start(rows, 3).result().columns.equals(rows)
