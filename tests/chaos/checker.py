"""Looks at a root from outside. Shares no code with spotproof: what it finds must not depend on what is tested."""

import collections
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from tests.chaos import work


@dataclass(frozen=True)
class Findings:
    """Rows by what became of them; `torn` are files under final names that cannot be read."""

    missing: list[int]
    twice: list[int]
    wrong: list[str]
    torn: list[str]
    refused: int

    @property
    def exact(self) -> bool:
        """Nothing lost, doubled, wrong or torn."""
        return not (self.missing or self.twice or self.wrong or self.torn)


def local_files(root: Path) -> dict[str, bytes]:
    """Every file with a final name (drafts are in a hidden folder)."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".drafts" not in path.parts
    }


def check(files: dict[str, bytes], numbers: Iterable[int]) -> Findings:
    """Hold the output and the refused rows of a finished root against what each input row must give."""
    out: collections.Counter[int] = collections.Counter()
    refused: collections.Counter[tuple[int, int]] = collections.Counter()
    wrong: list[str] = []
    torn: list[str] = []
    named: set[str] = set()
    for path, body in sorted(files.items()):
        if not path.startswith("parts/"):
            continue
        table, info = _open(path, body, torn)
        if table is None:
            continue
        for number, square in zip(table["number"].to_pylist(), table["square"].to_pylist(), strict=True):
            out[number] += 1
            if square != number**2:
                wrong.append(f"{path}: {number} gave {square}")
        if info["failed_file"]:
            named.add(info["failed_file"])
    for path in named:
        table, _ = _open(path, files.get(path, b""), torn)
        for shard, row in zip(table["shard"].to_pylist(), table["row"].to_pylist(), strict=True) if table else ():
            refused[(shard, row)] += 1
    expected_refused = sum(1 for number in numbers if work.is_refused(number))
    missing, twice = _compare(out, numbers)
    if sum(refused.values()) != expected_refused or any(count > 1 for count in refused.values()):
        wrong.append(f"{sum(refused.values())} rows refused, {expected_refused} expected")
    return Findings(missing, twice, wrong, torn, sum(refused.values()))


def torn_now(files: dict[str, bytes]) -> list[str]:
    """Parts that cannot be read at this moment."""
    torn: list[str] = []
    for path, body in files.items():
        if path.startswith("parts/"):
            _open(path, body, torn)
    return torn


def _compare(out: "collections.Counter[int]", numbers: Iterable[int]) -> tuple[list[int], list[int]]:
    missing, twice = [], []
    for number in numbers:
        want = 0 if work.is_refused(number) else work.copies(number)
        if out[number] < want:
            missing.append(number)
        elif out[number] > want:
            twice.append(number)
    return missing, twice


def _open(path: str, body: bytes, torn: list[str]):
    try:
        file = pq.ParquetFile(io.BytesIO(body))
        said = (file.schema_arrow.metadata or {}) | (file.metadata.metadata or {})
        return file.read(), json.loads(said.get(b"spotproof", b"{}"))
    except Exception as error:
        torn.append(f"{path}: {error}")
        return None, {}


Snapshot = Callable[[], dict[str, bytes]]
