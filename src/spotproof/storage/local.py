"""A store kept in one folder: an object is a file, a name is given away once, and what is said is on the disk."""

import fcntl
import os
import secrets
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from spotproof.core.clock import Clock, SystemClock
from spotproof.core.errors import (
    AlreadyExists,
    NotFound,
    OutcomeUnknown,
    Stale,
    StorageError,
)
from spotproof.core.ids import new_nonce
from spotproof.storage.oserrors import NO_HARD_LINKS, mapped
from spotproof.storage.path import check_path, check_prefix
from spotproof.storage.store import ObjectInfo, Tail

DRAFTS = ".drafts"
# A draft lives for one write. An hour is beyond any write that still goes on.
DRAFT_AGE_SECONDS_MAX = 3600.0


class LocalStore:
    """Objects under the folder `root`, which is made by the first write. Safe among many processes and threads.

    A writer killed at any instant leaves either the whole object under its name or nothing there.
    """

    def __init__(self, root: Path, clock: Clock | None = None) -> None:
        self._root = Path(os.path.abspath(root))  # noqa: PTH100 (resolve() would follow the root's own links)
        self._drafts = self._root / DRAFTS
        self._durable_folders: set[Path] = set()
        self._sweep(clock or SystemClock())

    @property
    def uri(self) -> str:
        """The root's absolute path."""
        return str(self._root)

    @property
    def is_local(self) -> bool:
        """True."""
        return True

    def create(self, path: str, body: bytes) -> None:
        """See `Store.create`. `StorageUnavailable` on a full disk, `StorageError` where hard links are missing."""
        final = self._file(path)
        if os.path.lexists(final):
            self._refuse_existing(final)
        with self._draft(body, final) as draft:
            try:
                os.link(draft, final)  # The commit: readers see no object before, and the whole of it after.
            except FileExistsError:
                self._refuse_existing(final)
            except OSError as error:
                raise self._link_error(error, final) from error
        self._sync_after_commit(final)

    def replace(self, path: str, body: bytes, etag: str | None) -> str:
        """See `Store.replace`. Writers of this root take turns by a lock file; readers never wait."""
        if etag is None:
            return self._create_by_replace(path, body)
        final = self._file(path)
        with self._draft(body, final) as draft, self._lock(final):
            if self._etag(final) != etag:
                raise Stale(f"{final} is no longer at the version given: read it again")
            new = self._etag(draft)
            try:
                draft.replace(final)  # The commit: readers see the old object before, and the new one after.
            except OSError as error:
                raise mapped(error, final, "replacing") from error
        self._sync_after_commit(final)
        return new or ""

    def read(self, path: str) -> bytes:
        """See `Store.read`."""
        return self.read_with_etag(path)[0]

    def read_with_etag(self, path: str) -> tuple[bytes, str]:
        """See `Store.read_with_etag`: files are never changed in place, so both belong together."""
        final = self._file(path)
        try:
            with final.open("rb") as file:
                return file.read(), _etag_of(os.fstat(file.fileno()))
        except OSError as error:
            raise mapped(error, final, "reading") from error

    def read_tail(self, path: str, length: int) -> Tail:
        """See `Store.read_tail`."""
        final = self._file(path)
        try:
            with final.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                file.seek(max(0, size - length))
                return Tail(file.read(), size)
        except OSError as error:
            raise mapped(error, final, "reading") from error

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """See `Store.list`: drafts are not objects, and files that vanish meanwhile are left out."""
        plain = check_prefix(prefix)
        waiting = [self._root / plain if plain else self._root]
        while waiting:
            for entry in self._entries(waiting.pop()):
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                    continue
                # Gone since the folder was read: it is not there, and need not be told.
                with suppress(FileNotFoundError):
                    found = entry.stat()
                    name = Path(entry.path).relative_to(self._root).as_posix()
                    yield ObjectInfo(name, found.st_size, _etag_of(found), found.st_mtime)

    def delete(self, path: str) -> None:
        """See `Store.delete`. Under the lock, so that no replace can bring the object back."""
        final = self._file(path)
        if not os.path.lexists(final):
            return
        with self._lock(final):
            try:
                final.unlink(missing_ok=True)
                _sync_folder(final.parent)
            except OSError as error:
                raise mapped(error, final, "deleting") from error

    def _file(self, path: str) -> Path:
        if check_path(path).split("/")[0] == DRAFTS:
            raise StorageError(f"{path}: names below {DRAFTS}/ are the store's own; choose another name")
        return self._root / path

    def _create_by_replace(self, path: str, body: bytes) -> str:
        try:
            self.create(path, body)
        except AlreadyExists as error:
            raise Stale(f"{self._root / path} exists, and was expected not to: read it") from error
        # Another writer may have replaced it already: then its etag is returned, which only the body tells apart.
        return self.read_with_etag(path)[1]

    def _refuse_existing(self, final: Path) -> None:
        # Who is told "exists" may build on it, so it has to outlive a power cut from here on.
        with suppress(OSError):
            _sync_folder(final.parent)
        raise AlreadyExists(f"{final} exists: nothing was changed")

    def _link_error(self, error: OSError, final: Path) -> StorageError:
        if error.errno in NO_HARD_LINKS:
            return StorageError(
                f"{final}: this filesystem has no hard links, without which no name is given away only once: "
                "put the root on another filesystem (ext4, xfs, NFS) or on an object store"
            )
        return mapped(error, final, "creating")

    @contextmanager
    def _draft(self, body: bytes, final: Path) -> Generator[Path]:
        """A file with `body`, on the disk, under a name of its own; removed at the end if still there."""
        draft = self._drafts / f"{new_nonce()}.draft"
        try:
            self._make_folder(self._drafts)
            self._make_folder(final.parent)
            _write_durably(draft, body)
        except OSError as error:
            self._durable_folders.clear()
            _remove(draft)
            raise mapped(error, final, "writing") from error
        try:
            yield draft
        finally:
            _remove(draft)

    def _make_folder(self, folder: Path) -> None:
        """Make `folder` and what lies above it, and sync every level from the root down to it, once."""
        if folder in self._durable_folders:
            return
        above_root = [one for one in (self._root, *self._root.parents) if not one.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        # Even a folder that was there already may be another process's, not yet synced.
        levels = [*above_root, *(one for one in (folder, *folder.parents) if self._root in one.parents)]
        for level in levels:
            _sync_folder(level.parent)
        self._durable_folders.add(folder)

    def _sync_after_commit(self, final: Path) -> None:
        try:
            _sync_folder(final.parent)
        except OSError as error:
            raise OutcomeUnknown(f"{final} is in place, but may not outlive a power cut: {error}") from error

    @contextmanager
    def _lock(self, final: Path) -> Generator[None]:
        # Each turn opens the file anew, so threads exclude each other too; a killed holder lets go at once.
        try:
            self._make_folder(self._drafts)
            lock = os.open(self._drafts / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise mapped(error, final, "locking") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _etag(self, file: Path) -> str | None:
        try:
            return _etag_of(file.stat())
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise mapped(error, file, "reading") from error

    def _entries(self, folder: Path) -> "Sequence[os.DirEntry[str]]":
        try:
            with os.scandir(folder) as entries:
                return [entry for entry in entries if folder != self._root or entry.name != DRAFTS]
        except OSError as error:
            told = mapped(error, folder, "listing")
            if isinstance(told, NotFound):
                return []
            raise told from error

    def _sweep(self, clock: Clock) -> None:
        # What a killed writer left. A failure here harms nobody: the next opening tries again.
        with suppress(OSError):
            for draft in self._drafts.glob("*.draft"):
                if clock.now() - draft.stat().st_mtime > DRAFT_AGE_SECONDS_MAX:
                    _remove(draft)


def _write_durably(file: Path, body: bytes) -> None:
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(handle, rest) :]
        _stamp(handle)
        os.fsync(handle)
    finally:
        os.close(handle)


def _stamp(handle: int) -> None:
    # The kernel's clock ticks every few milliseconds and inodes are used again, so two versions within a tick
    # could bear one etag. Random digits below the millisecond tell them apart.
    found = os.fstat(handle)
    millisecond = found.st_mtime_ns // 1_000_000 * 1_000_000
    os.utime(handle, ns=(found.st_atime_ns, millisecond + secrets.randbelow(1_000_000)))


def _etag_of(found: os.stat_result) -> str:
    return f"{found.st_ino:x}-{found.st_mtime_ns:x}-{found.st_size:x}"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)
