"""A store kept in this process's memory: the twin of the real ones, for tests and simulations."""

import itertools
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from spotproof.core.clock import Clock, SystemClock
from spotproof.core.errors import AlreadyExists, NotFound, Stale
from spotproof.storage.path import check_path, check_prefix
from spotproof.storage.store import ObjectInfo, Tail

_numbers = itertools.count(1)


@dataclass(frozen=True)
class _Object:
    body: bytes
    etag: str
    modified: float


class MemoryStore:
    """Keeps every promise of `Store` except durability: it ends with the process."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._uri = f"memory://{next(_numbers)}"
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._objects: dict[str, _Object] = {}
        self._versions = itertools.count(1)

    @property
    def uri(self) -> str:
        """`memory://N`, another N for each store of this process."""
        return self._uri

    @property
    def is_local(self) -> bool:
        """False: these objects are not files."""
        return False

    def create(self, path: str, body: bytes) -> None:
        """See `Store.create`; the outcome is never unknown here."""
        with self._lock:
            if check_path(path) in self._objects:
                raise AlreadyExists(f"{self._uri}/{path} exists: nothing was changed")
            self._put(path, body)  # The commit: readers see no object before, and the whole of it after.

    def replace(self, path: str, body: bytes, etag: str | None) -> str:
        """See `Store.replace`; the outcome is never unknown here."""
        with self._lock:
            current = self._objects.get(check_path(path))
            if (current.etag if current else None) != etag:
                raise Stale(f"{self._uri}/{path} is no longer at the version given: read it again")
            return self._put(path, body)

    def read(self, path: str) -> bytes:
        """See `Store.read`."""
        return self._get(path).body

    def read_with_etag(self, path: str) -> tuple[bytes, str]:
        """See `Store.read_with_etag`."""
        found = self._get(path)
        return found.body, found.etag

    def read_tail(self, path: str, length: int) -> Tail:
        """See `Store.read_tail`."""
        body = self._get(path).body
        return Tail(body[max(0, len(body) - length) :], len(body))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Store.list`; the listing is of one moment."""
        plain = check_prefix(prefix)
        start = plain + "/" if plain else ""
        with self._lock:
            found = [(path, kept) for path, kept in self._objects.items() if path.startswith(start)]
        for path, kept in found:
            yield ObjectInfo(path, len(kept.body), kept.etag, kept.modified)

    def delete(self, path: str) -> None:
        """See `Store.delete`."""
        with self._lock:
            self._objects.pop(check_path(path), None)

    def _put(self, path: str, body: bytes) -> str:
        kept = _Object(bytes(body), f"v{next(self._versions)}", self._clock.now())
        self._objects[path] = kept
        return kept.etag

    def _get(self, path: str) -> _Object:
        with self._lock:
            found = self._objects.get(check_path(path))
        if found is None:
            raise NotFound(f"{self._uri}/{path} does not exist")
        return found
