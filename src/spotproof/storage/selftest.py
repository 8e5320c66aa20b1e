"""Stores lie: before a root is trusted, its store must prove that it gives a name away once."""

import threading
from collections.abc import Callable
from contextlib import suppress

from spotproof.core.errors import (
    AlreadyExists,
    NotFound,
    OutcomeUnknown,
    Stale,
    StorageError,
    StorageUnavailable,
    UnsafeStore,
)
from spotproof.core.ids import new_nonce
from spotproof.storage.store import Store

_TRIES_MAX = 3
_TOGETHER_SECONDS = 30.0  # a machine that cannot start all writers races those that it could
_ADVICE = "rows could be lost or doubled on it: update the server, or put the root on another store"
_WON, _LOST, _UNCLEAR = "won", "lost", "unclear"


def check_store(store: Store, concurrency: int = 16) -> None:
    """Return if `store` keeps the two promises that commits rest on; leaves nothing behind.

    `concurrency` writers at once: exactly one may create a name, and exactly one may win a compare-and-swap.
    Raises `UnsafeStore` naming the fault, `StorageUnavailable` if the store gave no clear answers, `StorageDenied`.
    """
    unclear: StorageError | None = None
    for _ in range(_TRIES_MAX):
        path = f".selftest/{new_nonce()}"
        try:
            _check_create(store, path, concurrency)
            _check_replace(store, path, concurrency)
            return
        except (OutcomeUnknown, StorageUnavailable, NotFound) as error:
            unclear = error
        finally:
            with suppress(StorageError):
                store.delete(path)
    raise StorageUnavailable(
        f"{store.uri} could not be tested, for it gave no clear answers ({unclear}): check it, then run again"
    ) from unclear


def _check_create(store: Store, path: str, concurrency: int) -> None:
    bodies = _bodies("create", concurrency)
    outcomes = _race(bodies, lambda body: store.create(path, body))
    _judge(store, path, outcomes, "creators of one name", "create-if-absent")
    try:
        store.create(path, _bodies("late", 1)[0])
    except AlreadyExists:
        return
    raise _unsafe(store, "a create of an existing name was accepted: create-if-absent is ignored")


def _check_replace(store: Store, path: str, concurrency: int) -> None:
    _, first = store.read_with_etag(path)
    outcomes = _race(_bodies("swap", concurrency), lambda body: store.replace(path, body, first))
    _judge(store, path, outcomes, "writers with one version", "compare-and-swap")
    body, current = store.read_with_etag(path)
    late = _bodies("late", 1)[0]
    _must_be_stale(store, path, late, first, "a replace with a stale version was accepted")
    _must_be_stale(store, path, late, None, "a replace of an existing object as if absent was accepted")
    if store.read(path) != body:
        raise _unsafe(store, "a replace that was refused changed the object")
    try:
        store.replace(path, late, current)
    except Stale as error:
        raise _unsafe(store, "a replace with the current version was refused") from error


def _must_be_stale(store: Store, path: str, body: bytes, etag: str | None, fault: str) -> None:
    try:
        store.replace(path, body, etag)
    except Stale:
        return
    raise _unsafe(store, f"{fault}: compare-and-swap is ignored")


def _race(bodies: list[bytes], write: Callable[[bytes], object]) -> dict[bytes, str]:
    """Each body's outcome, all written at the same moment."""
    start = threading.Barrier(len(bodies), timeout=_TOGETHER_SECONDS)
    unclear: list[StorageError] = []
    outcomes: dict[bytes, str] = {}
    failures: list[BaseException] = []

    def attempt(body: bytes) -> str:
        with suppress(threading.BrokenBarrierError):
            start.wait()
        try:
            write(body)
        except (AlreadyExists, Stale):
            return _LOST
        except (OutcomeUnknown, StorageUnavailable) as error:
            unclear.append(error)
            return _UNCLEAR
        return _WON

    def run(body: bytes) -> None:
        try:
            outcomes[body] = attempt(body)
        except BaseException as error:
            failures.append(error)

    # Not a pool: its threads are waited for when the interpreter ends, and these wait for one another.
    threads = [threading.Thread(target=run, args=(body,), daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    if len(unclear) == len(bodies):
        raise unclear[0]  # the store's own words, rather than that nothing was stored
    return outcomes


def _judge(store: Store, path: str, outcomes: dict[bytes, str], who: str, promise: str) -> None:
    """Raise `UnsafeStore` unless exactly one won and its body stands; `OutcomeUnknown` if that cannot be said."""
    winners = [body for body, outcome in outcomes.items() if outcome == _WON]
    if len(winners) > 1:
        fault = f"{len(winners)} of {len(outcomes)} {who} were told that they won: {promise} is not atomic"
        raise _unsafe(store, fault)
    try:
        stored = store.read(path)
    except NotFound:
        if winners:
            raise _unsafe(store, f"the winner's object cannot be read back: {promise} is not durable") from None
        raise
    if winners and stored != winners[0]:
        raise _unsafe(store, f"another body than the winner's is stored: {promise} is not atomic")
    if not winners and outcomes.get(stored) != _UNCLEAR:
        # A whole race refused, such as a store that answers 409 to everybody: nobody was harmed, nothing was shown.
        raise OutcomeUnknown(f"{store.uri}/{path}: none of {len(outcomes)} {who} won")


def _bodies(kind: str, count: int) -> list[bytes]:
    return [f"spotproof self-test {kind} {new_nonce()}".encode() for _ in range(count)]


def _unsafe(store: Store, fault: str) -> UnsafeStore:
    return UnsafeStore(f"{store.uri}: {fault}; {_ADVICE}")
