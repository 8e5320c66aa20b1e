"""However a file is cut into shards, and from whatever row a shard is read on: every row comes once, in order."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spotproof.batch.inputs.discover import find_files
from spotproof.batch.inputs.plan import plan_shards
from spotproof.batch.inputs.reader import read_shard
from spotproof.batch.job import Input
from spotproof.batch.rows import Refusal
from spotproof.core.errors import InputError

TEXTS = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=40)
EXAMPLES = settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


class Read:
    """An input, planned; `rows` reads one shard from a row on."""

    def __init__(self, given: Input, columns: list[str] | None = None, batch_rows: int = 1) -> None:
        self.given = given
        self.files, self.shards, self.schema = plan_shards(given, find_files(given), columns, batch_rows)

    def rows(self, shard: int, start: int = 0, batch_rows: int = 3) -> list[dict[str, Any] | Refusal]:
        found: list[dict[str, Any] | Refusal] = []
        at = start
        for block in read_shard(
            self.given, self.files, self.shards[shard], self.schema, start, batch_rows, identity=False
        ):
            assert block.start == at
            assert block.stop - block.start <= batch_rows
            at = block.stop
            one: dict[int, Any] = dict(zip(block.index.tolist(), block.rows.to_pylist(), strict=True))
            one |= {refusal.row: refusal for refusal in block.refused}
            assert sorted(one) == list(range(block.start, block.stop))
            found += [one[row] for row in sorted(one)]
        return found

    def all(self) -> list[dict[str, Any] | Refusal]:
        return [row for shard in self.shards for row in self.rows(shard.number)]

    def tails_agree(self) -> bool:
        for shard in self.shards:
            whole = self.rows(shard.number)
            for start in {0, 1, len(whole) // 2, len(whole) - 1, len(whole)} & set(range(len(whole) + 1)):
                if self.rows(shard.number, start, 2) != whole[start:]:
                    return False
        return True


@EXAMPLES
@given(
    lines=st.lists(TEXTS, max_size=30),
    ending=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    shard_bytes=st.integers(1, 60),
)
def test_lines_of_text(tmp_path: Path, lines: list[str], ending: str, last: bool, shard_bytes: int) -> None:
    file = tmp_path / "in.txt"
    body = ending.join(lines) + (ending if last and lines else "")
    file.write_bytes(body.encode())
    read = Read(Input(str(file), shard_bytes=shard_bytes))
    # An end without a line behind it begins none; a byte-order mark at the start of a file is no text.
    expected = body.encode().removeprefix(b"\xef\xbb\xbf").decode().split("\n")
    expected = expected[:-1] if expected[-1] == "" else expected
    assert [row["text"] for row in read.all()] == [line.removesuffix("\r") for line in expected]  # type: ignore[index]
    assert read.tails_agree()


@EXAMPLES
@given(texts=st.lists(TEXTS, min_size=1, max_size=30), bad=st.sets(st.integers(0, 29)), shard_bytes=st.integers(1, 200))
def test_json_lines_with_bad_ones_between(tmp_path: Path, texts: list[str], bad: set[int], shard_bytes: int) -> None:
    file = tmp_path / "in.jsonl"
    lines = ["{broken" if n in bad else json.dumps({"n": n, "text": text}) for n, text in enumerate(texts)]
    file.write_text("\n".join(["", *lines, ""]))  # blank lines are no rows
    if all(n in bad for n in range(len(texts))):
        return
    read = Read(Input(str(file), shard_bytes=shard_bytes))
    rows = read.all()
    assert len(rows) == len(texts)
    for n, (row, text) in enumerate(zip(rows, texts, strict=True)):
        if n in bad:
            assert isinstance(row, Refusal)
            assert row.error_type == "JSONDecodeError"
        else:
            assert row == {"n": n, "text": text}
    assert read.tails_agree()


@EXAMPLES
@given(texts=st.lists(TEXTS, max_size=30), shard_bytes=st.integers(1, 200))
def test_csv(tmp_path: Path, texts: list[str], shard_bytes: int) -> None:
    file = tmp_path / "in.csv"
    quoted = ['"' + text.replace('"', '""') + '"' for text in texts]
    file.write_text("n,text\n" + "".join(f"{n},{text}\n" for n, text in enumerate(quoted)))
    read = Read(Input(str(file), shard_bytes=shard_bytes))
    assert read.all() == [{"n": str(n), "text": text} for n, text in enumerate(texts)]
    assert read.tails_agree()


@EXAMPLES
@given(
    groups=st.lists(st.integers(0, 30), min_size=1, max_size=6),
    shard_bytes=st.integers(1, 400),
    batch_rows=st.integers(1, 12),
)
def test_parquet(tmp_path: Path, groups: list[int], shard_bytes: int, batch_rows: int) -> None:
    file = tmp_path / "in.parquet"
    schema = pa.schema([("n", pa.int64())])
    at = 0
    with pq.ParquetWriter(file, schema) as writer:
        for rows in groups:
            writer.write_table(pa.table({"n": range(at, at + rows)}, schema=schema), row_group_size=max(1, rows))
            at += rows
    read = Read(Input(str(file), shard_bytes=shard_bytes), batch_rows=batch_rows)
    assert read.all() == [{"n": n} for n in range(at)]
    assert sum(shard.rows or 0 for shard in read.shards) == at
    assert read.tails_agree()


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_compressed_lines_are_the_plain_ones(tmp_path: Path, ending: str) -> None:
    lines = "".join(f"line {n}\n" for n in range(500))
    read = Read(Input(str(compressed(tmp_path, ending, lines.encode()))))
    assert [row["text"] for row in read.all()] == lines.splitlines()  # type: ignore[index]
    assert read.tails_agree()


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_a_cut_compressed_file_gives_what_was_before_the_cut_and_then_its_name(tmp_path: Path, ending: str) -> None:
    body = "".join(f"line {n} {hash(str(n))}\n" for n in range(50_000)).encode()
    file = compressed(tmp_path, ending, body)
    file.write_bytes(file.read_bytes()[:-1000])
    read = Read(Input(str(file)))
    rows = 0
    with pytest.raises(InputError, match=file.name):
        for block in read_shard(read.given, read.files, read.shards[0], read.schema, 0, 100, identity=False):
            rows = block.stop
    assert rows > 10_000


def test_a_changed_file_is_an_error_and_never_other_rows(tmp_path: Path) -> None:
    file = tmp_path / "in.txt"
    file.write_text("a\nb\n")
    read = Read(Input(str(file)))
    file.write_text("a\nb\nc\n")
    with pytest.raises(InputError, match="has changed since the job was planned"):
        read.all()
    file.unlink()
    with pytest.raises(InputError, match="is gone"):
        read.all()


def test_one_bad_row_of_each_kind_is_refused_alone(tmp_path: Path) -> None:
    text = tmp_path / "in.txt"
    text.write_bytes(b"good\n\xff\xfe\nlonger than allowed\nlast")
    kinds = [row.error_type if isinstance(row, Refusal) else row["text"] for row in Read(
        Input(str(text), max_row_bytes=10)).all()]  # fmt: skip
    assert kinds == ["good", "UnicodeDecodeError", "RowTooLong", "last"]
    table = tmp_path / "in.csv"
    table.write_text("a,b\n1,2\n1,2,3\n\n3,4\n")
    rows = Read(Input(str(table))).all()
    assert [isinstance(row, Refusal) for row in rows] == [False, True, False]


def test_empty_files_have_no_rows(tmp_path: Path) -> None:
    for name in ("a.txt", "b.jsonl", "c.csv"):
        (tmp_path / name).write_bytes(b"")
        assert Read(Input(str(tmp_path / name))).all() == []
    (tmp_path / "d.csv").write_text("only,a,header\n")
    assert Read(Input(str(tmp_path / "d.csv"))).all() == []


def test_a_wrong_column_is_told_with_the_nearest_right_one(tmp_path: Path) -> None:
    file = tmp_path / "in.csv"
    file.write_text("id,text\n1,a\n")
    with pytest.raises(InputError, match=r"no column 'txt'; did you mean 'text'"):
        Read(Input(str(file)), columns=["txt"])


def test_files_that_disagree_are_told_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": pa.array([1], pa.int64())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"n": pa.array(["1"])}), tmp_path / "b.parquet")
    with pytest.raises(InputError, match=r"'n' is int64 in .*a\.parquet and string in .*b\.parquet"):
        Read(Input(str(tmp_path / "*.parquet")))


def test_what_is_no_parquet_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"not a table at all")
    with pytest.raises(InputError, match=r"a\.parquet"):
        Read(Input(str(tmp_path / "a.parquet")))


def test_hidden_files_are_none_and_each_file_is_there_once(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", ".c.txt", "_SUCCESS", "note.md"):
        (tmp_path / name).write_text("x\n")
    found = find_files(Input([str(tmp_path), str(tmp_path / "*.txt")]))
    assert [Path(file.uri).name for file in found] == ["a.txt", "b.txt"]
    with pytest.raises(InputError, match="no input file is there"):
        find_files(Input(str(tmp_path / "nothing-*.txt")))
    with pytest.raises(InputError, match=r"set input\.format"):
        find_files(Input(str(tmp_path / "note.md")))


def compressed(folder: Path, ending: str, body: bytes) -> Path:
    file = folder / f"in.txt{ending}"
    if ending == ".gz":
        file.write_bytes(gzip.compress(body))
    else:
        with pa.CompressedOutputStream(str(file), "zstd") as out:
            out.write(body)
    return file


def test_a_large_row_group_is_cut_at_whole_batches(tmp_path: Path) -> None:
    file = tmp_path / "in.parquet"
    pq.write_table(pa.table({"n": range(10_000)}), file)
    read = Read(Input(str(file), shard_bytes=file.stat().st_size // 3), batch_rows=500)
    assert [shard.rows for shard in read.shards] == [3_000, 3_500, 3_500]
