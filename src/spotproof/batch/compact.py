"""Compaction: the output of a finished job in files of about one size, for readers that dislike many small ones.

The parts stay: they are the proof, and the compacted files can be made again from them.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from spotproof.batch import layout
from spotproof.batch.finish import read_success
from spotproof.batch.output_schema import read_schema
from spotproof.batch.parts import encode_verifiable, read_footer, read_verified
from spotproof.core.clock import Clock
from spotproof.core.errors import ConfigError, NotFound
from spotproof.core.ids import new_nonce
from spotproof.storage.create import create_once
from spotproof.storage.store import Store

MANIFEST = f"{layout.COMPACTED}/manifest.json"


@dataclass(frozen=True)
class Compacted:
    """What a compaction came to."""

    files: int
    rows_out: int
    bytes: int


def compact(store: Store, target_bytes: int, clock: Clock, on_file: Callable[[int, int], None]) -> Compacted:
    """Write ROOT/compacted/NNNNN.parquet, in the order of the input, and then a manifest that names them.

    May be stopped and repeated. `on_file` is told (files done, files in all). Raises `ConfigError` where the job is not
    finished, or was compacted for another size.
    """
    if read_success(store) is None:
        raise ConfigError(f"{store.uri}: the job is not finished: run it to its end, then compact")
    groups = _groups(store, target_bytes)
    sizes = [_write(store, number, group, clock) for number, group in _told(groups, on_file)]
    rows = sum(rows for rows, _ in sizes)
    done = Compacted(len(groups), rows, sum(size for _, size in sizes))
    _write_manifest(store, groups, target_bytes, clock)
    return done


def _groups(store: Store, target_bytes: int) -> list[list[str]]:
    """Paths of the output files to put together; a file is as large as its parts were, about."""
    found = [(info.path, info.size) for folder in (layout.PARTS, layout.RETRIED) for info in store.list(folder)]
    groups: list[list[str]] = []
    filled = target_bytes
    for path, size in sorted(found):
        if filled + size > target_bytes and filled:
            groups.append([])
            filled = 0
        groups[-1].append(path)
        filled += size
    return groups


def _told(groups: list[list[str]], on_file: Callable[[int, int], None]):
    for number, group in enumerate(groups):
        yield number, group
        on_file(number + 1, len(groups))


def _write(store: Store, number: int, group: Sequence[str], clock: Clock) -> tuple[int, int]:
    path = f"{layout.COMPACTED}/{number:05d}.parquet"
    try:
        said = read_footer(store, path)
    except NotFound:
        pass
    else:
        if said["parts"] != list(group):
            raise ConfigError(
                f"{store.uri}/{layout.COMPACTED} holds a compaction of another size: delete that folder first"
            )
        return said["rows_out"], said["data_bytes"]
    schema = read_schema(store)
    tables = [table for table in (read_verified(store, part)[1] for part in group) if table.num_rows]
    table = pa.concat_tables(tables).combine_chunks() if tables else schema.empty_table()
    nonce = new_nonce()
    body = encode_verifiable(table, {"nonce": nonce, "parts": list(group), "rows_out": table.num_rows})
    create_once(store, path, body, nonce, lambda: read_footer(store, path)["nonce"], clock)
    return table.num_rows, len(body)


def _write_manifest(store: Store, groups: list[list[str]], target_bytes: int, clock: Clock) -> None:
    nonce = new_nonce()
    files = [f"{layout.COMPACTED}/{number:05d}.parquet" for number in range(len(groups))]
    body = json.dumps({"nonce": nonce, "target_bytes": target_bytes, "files": files}).encode()
    # The commit: readers of compacted/ go by this list, and wait for it.
    create_once(store, MANIFEST, body, nonce, lambda: json.loads(store.read(MANIFEST))["nonce"], clock)
