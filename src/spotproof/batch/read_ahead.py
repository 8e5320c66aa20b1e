"""Runs an iterator in a thread of its own, a few items ahead of whoever uses it."""

import queue
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class ReadAhead(Generic[T]):
    """Iterate over `source` with up to `depth` items made in advance; its errors are raised at their place.

    Close it when leaving early: the thread then ends at the next item.
    """

    def __init__(self, source: Iterator[T], depth: int) -> None:
        self._queue: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(maxsize=depth)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._fill, args=(source,), name="spotproof-read", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while True:
            what, item = self._queue.get()
            if what == "item":
                yield item  # type: ignore[misc]
            elif what == "error":
                assert isinstance(item, BaseException)
                raise item
            else:
                return

    def close(self) -> None:
        """Stop reading; wait for the thread, which may be in the middle of an item."""
        self._closed.set()
        while self._thread.is_alive():
            with suppress(queue.Empty):
                self._queue.get_nowait()  # a thread that waits for room sees at once that it may end
            self._thread.join(0.005)

    def _fill(self, source: Iterator[T]) -> None:
        try:
            for item in source:
                if not self._put(("item", item)):
                    return
            self._put(("end", None))
        except BaseException as error:
            self._put(("error", error))

    def _put(self, entry: tuple[str, T | BaseException | None]) -> bool:
        while not self._closed.is_set():
            try:
                self._queue.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False
