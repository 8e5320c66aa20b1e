"""A store that breaks a promise is refused by name; one that is only away says why in its own words."""

import threading

import pytest

from spotproof.core.errors import StorageUnavailable, UnsafeStore
from spotproof.storage.memory import MemoryStore
from spotproof.storage.selftest import check_store


class OverwritesOnCreate(MemoryStore):
    """Ignores `If-None-Match`, as older object stores do."""

    def create(self, path: str, body: bytes) -> None:
        if self.exists_at(path):
            self.delete(path)
        super().create(path, body)

    def exists_at(self, path: str) -> bool:
        return any(info.path == path for info in self.list(path.rpartition("/")[0]))


class IgnoresVersions(MemoryStore):
    """Ignores `If-Match`."""

    def replace(self, path: str, body: bytes, etag: str | None) -> str:
        _, current = self.read_with_etag(path)
        return super().replace(path, body, current)


class Away(MemoryStore):
    """Cannot be reached."""

    def create(self, path: str, body: bytes) -> None:
        raise StorageUnavailable("connection refused by 127.0.0.1:9")


def test_a_good_store_passes_and_keeps_nothing_of_the_test() -> None:
    store = MemoryStore()
    check_store(store)
    assert list(store.list("")) == []


@pytest.mark.parametrize("broken", [OverwritesOnCreate, IgnoresVersions])
def test_a_store_that_breaks_a_promise_is_refused(broken: type[MemoryStore]) -> None:
    with pytest.raises(UnsafeStore, match=r"create-if-absent|compare-and-swap"):
        check_store(broken())


def test_a_store_that_is_away_says_so_itself() -> None:
    with pytest.raises(StorageUnavailable, match="connection refused by"):
        check_store(Away())


def test_a_machine_that_cannot_start_all_writers_does_not_hang(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fewer(threading.Barrier):
        def __init__(self, parties: int, timeout: float) -> None:
            super().__init__(parties + 1, timeout=0.05)

    monkeypatch.setattr(threading, "Barrier", Fewer)
    check_store(MemoryStore())
