"""What an object store's refusals mean to the caller: obstore's errors, mapped at the edge."""

import re

from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    NotSupportedError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from spotproof.core.errors import (
    AlreadyExists,
    ConfigError,
    NotFound,
    OutcomeUnknown,
    SpotproofError,
    Stale,
    StorageDenied,
    StorageUnavailable,
    UnsafeStore,
)

# Everything that obstore raises. ValueError and OSError are said to come from it too.
Foreign = (BaseError, OSError, ValueError)

# obstore tells a refused listing, and spent credentials, only in words.
_DENIED = re.compile(
    r"40[13] (Forbidden|Unauthorized)|ExpiredToken|InvalidAccessKeyId|SignatureDoesNotMatch|TokenRefreshRequired"
)
_NO_BUCKET = re.compile(r"NoSuchBucket|ContainerNotFound|bucket does not exist|container does not exist", re.I)


def read_error(error: Exception, what: str, doing: str) -> SpotproofError:
    """The error to raise when `doing` (reading, listing, deleting) `what` met `error`."""
    told = _common(error, what, doing)
    return told or StorageUnavailable(f"{doing} {what}: no answer, or refused for now ({_first_line(error)})")


def write_error(error: Exception, what: str) -> SpotproofError:
    """The error to raise when one conditional PUT of `what` met `error`; nothing was changed if it is clear."""
    if isinstance(error, AlreadyExistsError):
        return AlreadyExists(f"{what} exists, or a write to it is under way: nothing was changed")
    if isinstance(error, PreconditionError):
        return Stale(f"{what} is no longer at the version given: nothing was changed; read it again")
    if isinstance(error, NotSupportedError):
        return UnsafeStore(f"{what}: this store has no conditional writes: put the root on another store")
    told = _common(error, what, "writing")
    return told or OutcomeUnknown(f"writing {what}: it may or may not have happened ({_first_line(error)})")


def _common(error: Exception, what: str, doing: str) -> SpotproofError | None:
    text = str(error)
    if _NO_BUCKET.search(text):
        return ConfigError(f"{doing} {what}: there is no such bucket or container: make it, or mend the URI")
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{what} does not exist")
    if isinstance(error, PermissionDeniedError | UnauthenticatedError) or _DENIED.search(text):
        return StorageDenied(
            f"{doing} {what}: the store refused these credentials ({_first_line(error)}): they need to read, write, "
            "list and delete there (without the right to list, S3 answers 403 for an object that is absent)"
        )
    return None


def _first_line(error: Exception) -> str:
    line = str(error).strip().split("\n", 1)[0]
    return line if len(line) <= 300 else line[:300] + "..."
