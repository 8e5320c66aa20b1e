"""What the operating system's refusals mean to the caller of a local store."""

import errno
from pathlib import Path

from spotproof.core.errors import NotFound, StorageDenied, StorageError, StorageUnavailable

NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_DENIED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
_IMPOSSIBLE = frozenset({errno.ENAMETOOLONG, errno.EINVAL, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP})


def mapped(error: OSError, file: Path, doing: str) -> StorageError:
    """The `StorageError` to raise for `error`, met while `doing` (reading, writing, ...) something to `file`."""
    told = f"{doing} {file}: {error.strerror or error}"
    if error.errno in _ABSENT and doing in ("reading", "listing"):
        return NotFound(f"{file} does not exist")
    if error.errno in _FULL:
        return StorageUnavailable(f"{told}: disk full (or over quota): free some space, then try again")
    if error.errno in _DENIED:
        return StorageDenied(f"{told}: check the owner and mode of the folder, and whether it is mounted read-only")
    if error.errno in _IMPOSSIBLE:
        return StorageError(f"{told}: a file system cannot hold this name here; choose another")
    return StorageUnavailable(f"{told}: look at the disk or mount, then try again")
