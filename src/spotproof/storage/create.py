"""Give a name away once: the one primitive on which parts, plans, leases and manifests are built."""

from collections.abc import Callable
from dataclasses import dataclass

from spotproof.core.clock import Clock
from spotproof.core.errors import AlreadyExists, NotFound, OutcomeUnknown, StorageError, StorageUnavailable
from spotproof.storage.store import Store

BACKOFF_SECONDS_FIRST = 0.1
BACKOFF_SECONDS_MAX = 10.0


def create_once(
    store: Store,
    path: str,
    body: bytes,
    nonce: str,
    read_nonce: Callable[[], str | None],
    clock: Clock,
    give_up_after_seconds: float = 300.0,
    deadline: float | None = None,
) -> bool:
    """Put `body` at `path` unless the name is taken. True: our object stands there. False: another's does.

    `nonce` lies inside `body`; `read_nonce` returns the nonce inside whatever stands at `path` (None if that
    has none) and raises `NotFound` if nothing does. Every unclear answer is resolved by that reading, so a lost
    reply, a 409, and a request that lands after its time-out all come out right.

    Raises `StorageUnavailable` after `give_up_after_seconds`, or at `deadline` (by `clock.monotonic`), if the
    store never gave a clear answer: the object may then stand, or still land; calling again is safe.
    `StorageDenied` and whatever else `read_nonce` raises pass through at once.
    """
    end = clock.monotonic() + give_up_after_seconds
    patience = _Patience(store, path, clock, end if deadline is None else min(end, deadline))
    while True:
        try:
            # The commit: readers see no object at `path` before, and the whole of one writer's after.
            store.create(path, body)
            return True
        except (AlreadyExists, OutcomeUnknown) as unclear:
            told: StorageError = unclear
        except StorageUnavailable as silence:
            patience.wait(silence)
            continue
        try:
            return read_nonce() == nonce
        except NotFound:
            # "Exists" with nothing there is a 409, or was deleted since; a lost request may still land. The name
            # is the same and so is the body, so asking again harms nothing in any of these cases.
            patience.wait(told)
        except StorageUnavailable as silence:
            patience.wait(silence)


@dataclass
class _Patience:
    store: Store
    path: str
    clock: Clock
    end: float
    backoff: float = BACKOFF_SECONDS_FIRST

    def wait(self, because: StorageError) -> None:
        """Sleep before the next try; raise `StorageUnavailable` if the time is used up."""
        left = self.end - self.clock.monotonic()
        if left <= 0:
            raise StorageUnavailable(
                f"{self.store.uri}/{self.path} could not be created: no clear answer in the time given "
                f"(last: {because}). Check the store and the network, then run the same command again: it is safe"
            ) from because
        self.clock.sleep(min(self.backoff, left))
        self.backoff = min(2 * self.backoff, BACKOFF_SECONDS_MAX)
