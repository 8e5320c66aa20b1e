"""What storage/store.py promises, over every implementation: in memory, in a folder, on a real S3 server."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from spotproof.core.errors import AlreadyExists, NotFound, OutcomeUnknown, Stale, StorageError
from spotproof.storage.local import LocalStore
from spotproof.storage.selftest import check_store
from spotproof.storage.store import Store
from spotproof.storage.uri import open_store
from tests.servers import S3Server


def test_a_name_is_given_away_once(store: Store) -> None:
    start = threading.Barrier(16)

    def create(number: int) -> bytes | None:
        body = f"body of {number}".encode()
        start.wait()
        try:
            store.create("parts/00000/000000000000.parquet", body)
        except (AlreadyExists, OutcomeUnknown):
            return None
        return body

    with ThreadPoolExecutor(16) as pool:
        winners = [body for body in pool.map(create, range(16)) if body]
    assert winners == [store.read("parts/00000/000000000000.parquet")]
    with pytest.raises(AlreadyExists):
        store.create("parts/00000/000000000000.parquet", b"late")


def test_counting_by_compare_and_swap_loses_nothing(store: Store) -> None:
    store.create("count", b"0")

    def add() -> None:
        done = 0
        while done < 5:
            body, etag = store.read_with_etag("count")
            try:
                store.replace("count", str(int(body) + 1).encode(), etag)
                done += 1
            except (Stale, OutcomeUnknown):
                continue

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.read("count") == b"20"


def test_replace_of_what_is_not_there_creates_it_once(store: Store) -> None:
    etag = store.replace("lease", b"one", None)
    with pytest.raises(Stale):
        store.replace("lease", b"two", None)
    newer = store.replace("lease", b"three", etag)
    with pytest.raises(Stale):
        store.replace("lease", b"four", etag)
    assert store.read_with_etag("lease") == (b"three", newer)


def test_a_listing_has_the_folder_and_nothing_beside_it(store: Store) -> None:
    names = ["parts/00001/b", "parts/00001/a", "parts/00010/c", "parts2/d", "e"]
    for name in names:
        store.create(name, name.encode())
    assert {info.path for info in store.list("parts")} == set(names[:3])
    assert {info.path for info in store.list("parts/00001")} == set(names[:2])
    assert list(store.list("nothing")) == []
    sizes = {info.path: info.size for info in store.list("parts")}
    assert sizes["parts/00010/c"] == len("parts/00010/c")
    assert all(abs(info.modified - time.time()) < 60 for info in store.list("parts"))


def test_what_is_not_there_is_not_found(store: Store) -> None:
    for read in (store.read, store.read_with_etag, lambda path: store.read_tail(path, 8)):
        with pytest.raises(NotFound):
            read("no/such/thing")
    store.delete("no/such/thing")


def test_tails_and_deletes(store: Store) -> None:
    body = bytes(range(256)) * 300
    store.create("big", body)
    tail = store.read_tail("big", 1000)
    assert (tail.data, tail.size) == (body[-1000:], len(body))
    assert store.read_tail("big", 10**9).data == body
    store.create("empty", b"")
    assert store.read("empty") == b""
    store.delete("big")
    with pytest.raises(NotFound):
        store.read("big")


def test_every_kind_passes_its_own_test(store: Store) -> None:
    check_store(store)
    assert list(store.list("")) == []


def test_a_process_killed_while_it_creates_leaves_whole_files_or_none(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from spotproof.storage.local import LocalStore\n"
        "store = LocalStore(Path(sys.argv[1])); n = 0\n"
        "while True: store.create(f'parts/{sys.argv[2]}-{n}', b'x' * 3_000_000); n += 1"
    )
    for number in range(4):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "root"), str(number)])
        time.sleep(1.0 + 0.13 * number)
        process.send_signal(signal.SIGKILL)
        process.wait()
    store = LocalStore(tmp_path / "root")
    files = list(store.list("parts"))
    assert files
    assert {info.size for info in files} == {3_000_000}


def test_a_full_disk_is_an_error_that_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path / "root")

    def full(*_: object) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        store.create("parts/a", b"body")
    monkeypatch.undo()
    assert list(store.list("parts")) == []
    store.create("parts/a", b"body")


def test_a_server_that_is_away_or_denies_says_so(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.bucket()
    for name, value in s3.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    began = time.monotonic()
    with pytest.raises(StorageError):
        open_store(f"s3://{bucket}/x").read("a")
    assert time.monotonic() - began < 30
