"""What a parent tells whoever shows the job to a person."""

from typing import Protocol

from spotproof.core.events import Event


class Progress(Protocol):
    """Called from the parent's main thread, except `line`, which any thread may call."""

    def planned(self, rows_total: int | None, rows_done: int, rows_failed: int, interruptions: int) -> None:
        """What the root held when this run began. `rows_total` None: only reading the input will tell."""
        ...

    def computed(self, rows: int) -> None:
        """So many more input rows have gone through a worker; not yet durable."""
        ...

    def event(self, worker: str, event: Event) -> None:
        """Something happened, to be told in a word or a number."""
        ...

    def line(self, worker: str, text: str) -> None:
        """A worker process printed a line."""
        ...


class Silent:
    """Shows nothing."""

    def planned(self, rows_total: int | None, rows_done: int, rows_failed: int, interruptions: int) -> None:
        pass

    def computed(self, rows: int) -> None:
        pass

    def event(self, worker: str, event: Event) -> None:
        pass

    def line(self, worker: str, text: str) -> None:
        pass
