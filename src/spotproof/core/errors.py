"""The error tree, sorted by what the caller can do.

    SpotproofError
    ├── ConfigError                 the job file, a flag or an argument is wrong: mend it
    ├── InputError                  the input cannot be found or read: mend the input
    ├── JobChanged                  the root holds another job: use another root, or undo the change
    ├── FunctionError               the user's function broke its contract: mend the function
    │   └── TooManyRefused          more rows refused than the job allows
    ├── RootDamaged                 an object in the root is not what it says: see `spotproof verify`
    ├── StorageError                the store did not do what was asked
    │   ├── AlreadyExists           the name is taken (nothing was changed)
    │   ├── NotFound                no object has this name
    │   ├── Stale                   a compare-and-swap lost (nothing was changed)
    │   ├── OutcomeUnknown          a write may or may not have happened: read back before trusting either
    │   ├── StorageUnavailable      no answer, or refused for now: try again later
    │   ├── StorageDenied           credentials or permissions: mend them
    │   └── UnsafeStore             the store failed its self-test: do not use it for a root
    ├── CoordinationError           leases cannot be had; work may go on without them
    └── Interrupted                 told to leave; everything computed is committed: run again to resume

Every message says what happened, to what, and what to do next.
"""


class SpotproofError(Exception):
    """Root of every error that spotproof raises on purpose."""


class ConfigError(SpotproofError):
    """A job file, flag, environment variable or argument is wrong."""


class InputError(SpotproofError):
    """Input cannot be found, or cannot be read as what it claims to be."""


class JobChanged(SpotproofError):
    """The root belongs to a job whose fingerprint differs from the one given."""


class FunctionError(SpotproofError):
    """The user's function did not keep its contract (not a row that it refused)."""


class TooManyRefused(FunctionError):
    """More rows were refused than the job's `errors` budget allows."""


class RootDamaged(SpotproofError):
    """An object in the root is torn, corrupt, or contradicts the plan."""


class StorageError(SpotproofError):
    """A store did not do what was asked."""


class AlreadyExists(StorageError):
    """Create found the name taken; nothing was changed. May also be said of one's own lost write."""


class NotFound(StorageError):
    """No object has this name."""


class Stale(StorageError):
    """The object is no longer at the version given; nothing was changed."""


class OutcomeUnknown(StorageError):
    """A write was sent and its outcome is not known: it may have happened, or may still happen."""


class StorageUnavailable(StorageError):
    """The store did not answer, or refused for now; the call may be tried again."""


class StorageDenied(StorageError):
    """The store refused these credentials."""


class UnsafeStore(StorageError):
    """The store failed its self-test; rows could be lost or doubled on it."""


class CoordinationError(SpotproofError):
    """The lease store cannot answer. Leases only save work: a worker may go on without."""


class Interrupted(SpotproofError):
    """The run was told to leave; what was computed is committed. Run the same command to resume."""
