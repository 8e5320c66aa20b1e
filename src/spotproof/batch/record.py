"""job.json: the plan and the fingerprint, written once, before any row is computed."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spotproof.batch import layout
from spotproof.batch.inputs.slices import InputFile, Shard, Slice
from spotproof.core.clock import Clock
from spotproof.core.errors import JobChanged, NotFound, RootDamaged
from spotproof.core.ids import new_id, new_nonce
from spotproof.storage.create import create_once
from spotproof.storage.store import Store

JOB_FORMAT = 1


@dataclass(frozen=True)
class Plan:
    """What there is to read, cut into shards. `schema` holds the columns read, with their types."""

    files: tuple[InputFile, ...]
    shards: tuple[Shard, ...]
    schema: pa.Schema

    @property
    def rows_total(self) -> int | None:
        """Rows of the whole input; None while some shard's rows can only be known by reading it."""
        counts = [shard.rows for shard in self.shards]
        return None if None in counts else sum(count for count in counts if count is not None)


@dataclass(frozen=True)
class JobRecord:
    """A job as its root knows it.

    `fingerprint` is everything that would change the results. `settings` are those the job was first started with,
    so that what needs no job file (such as a retry of refused rows) finds them here.
    """

    job_id: str
    name: str
    created_at: float
    nonce: str
    fingerprint: Mapping[str, Any]
    settings: Mapping[str, Any]
    plan: Plan


def new_record(
    name: str, fingerprint: Mapping[str, Any], settings: Mapping[str, Any], plan: Plan, clock: Clock
) -> JobRecord:
    """A record for a job that has not been seen before."""
    return JobRecord(new_id(), name, clock.now(), new_nonce(), fingerprint, settings, plan)


def read_record(store: Store) -> JobRecord:
    """The job of this root. Raises `NotFound` where no job was ever started, `RootDamaged`."""
    body = store.read(layout.JOB)
    try:
        return _from_json(json.loads(body))
    except (ValueError, KeyError, TypeError, OSError, pa.ArrowException) as error:
        raise RootDamaged(f"{store.uri}/{layout.JOB} is not a spotproof job record: {error}") from error


def settle_record(store: Store, mine: JobRecord, clock: Clock) -> JobRecord:
    """The one record of this root: `mine` if none stood there, else the one that does, if it is the same job.

    Raises `JobChanged` with the differences where the root holds another job.
    """

    def nonce() -> str:
        return read_record(store).nonce

    try:
        standing = read_record(store)
    except NotFound:
        # The commit: from here on every machine that reaches the root works by this plan and no other.
        if create_once(store, layout.JOB, _to_json(mine), mine.nonce, nonce, clock):
            return mine
        standing = read_record(store)
    check_same_job(store, standing, mine.fingerprint)
    return standing


def check_same_job(store: Store, standing: JobRecord, mine: Mapping[str, Any]) -> None:
    """Raise `JobChanged` with the differences unless the fingerprint `mine` is that of the standing job."""
    differences = compare_fingerprints(standing.fingerprint, mine)
    if differences:
        shown = "\n".join(f"  {line}" for line in differences[:20])
        more = f"\n  ... and {len(differences) - 20} more" if len(differences) > 20 else ""
        raise JobChanged(
            f"{store.uri} holds job {standing.name!r}, which differs from the one given:\n{shown}{more}\n"
            "Rows of two different jobs are never mixed: undo the change to resume, or use a new root."
        )


def compare_fingerprints(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """One line for each difference, as `key: then -> now`; input files by name."""
    lines: list[str] = []
    for key in sorted(set(then) | set(now)):
        if key == "files":
            lines.extend(_compare_files(then.get(key, []), now.get(key, [])))
        elif key.endswith(".source") and key in then and key in now:
            if then[key] != now[key]:
                lines.append(f"{key}: the code was edited since the job was started")
        elif then.get(key) != now.get(key):
            lines.append(f"{key}: {then.get(key)!r} -> {now.get(key)!r}")
    return lines


def _compare_files(then: list[list[Any]], now: list[list[Any]]) -> list[str]:
    before = {uri: (size, etag) for uri, size, etag in then}
    after = {uri: (size, etag) for uri, size, etag in now}
    lines = [f"input file is gone: {uri}" for uri in sorted(before.keys() - after.keys())]
    lines += [f"input file is new: {uri}" for uri in sorted(after.keys() - before.keys())]
    for uri in sorted(before.keys() & after.keys()):
        if before[uri] != after[uri]:
            lines.append(
                f"input file changed: {uri} (was {before[uri][0]:,} bytes, version {before[uri][1]}; "
                f"is {after[uri][0]:,} bytes, version {after[uri][1]})"
            )
    return lines


def _to_json(record: JobRecord) -> bytes:
    plan = record.plan
    # Where a file or shard says nothing more than numbers, it is a list and not an object: inputs of a
    # hundred thousand files keep a job.json that every worker can read in a moment.
    document = {
        "format": JOB_FORMAT,
        "job_id": record.job_id,
        "name": record.name,
        "created_at": record.created_at,
        "nonce": record.nonce,
        "fingerprint": dict(record.fingerprint),
        "settings": dict(record.settings),
        "files": [list(file) for file in plan.files],
        "shards": [[shard.rows, [list(piece) for piece in shard.slices]] for shard in plan.shards],
        "schema": base64.b64encode(plan.schema.serialize().to_pybytes()).decode(),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _from_json(document: dict[str, Any]) -> JobRecord:
    if document["format"] > JOB_FORMAT:
        raise ValueError(f"format {document['format']} was written by a newer spotproof; upgrade this one")
    schema = pa.ipc.read_schema(pa.BufferReader(base64.b64decode(document["schema"])))
    shards = tuple(
        Shard(number, tuple(Slice(*piece) for piece in pieces), rows)
        for number, (rows, pieces) in enumerate(document["shards"])
    )
    plan = Plan(tuple(InputFile(*file) for file in document["files"]), shards, schema)
    head = ("job_id", "name", "created_at", "nonce", "fingerprint", "settings")
    return JobRecord(plan=plan, **{name: document[name] for name in head})
