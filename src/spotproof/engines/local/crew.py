"""The worker processes of one parent: started, told, counted, started again, and never left behind."""

import queue
from collections.abc import Callable
from dataclasses import dataclass

from spotproof.batch.job import Job
from spotproof.engines.local.channel import Message
from spotproof.engines.local.sizing import threads_per_worker, worker_environment
from spotproof.engines.local.travel import describe
from spotproof.engines.local.worker_handle import WorkerHandle


@dataclass(frozen=True)
class Said:
    """A worker sent a message."""

    worker: WorkerHandle
    message: Message


@dataclass(frozen=True)
class Left:
    """A worker process ended; `code` as subprocess has it (negative: the signal)."""

    worker: WorkerHandle
    code: int


@dataclass(frozen=True)
class Signalled:
    """This process was sent a signal."""

    number: int


@dataclass(frozen=True)
class Woken:
    """Something else that the parent waits for is done."""


Happening = Said | Left | Signalled | Woken


class Crew:
    """`size` worker processes for one job. What happens to them arrives in `happenings`."""

    def __init__(self, job: Job, size: int, on_line: Callable[[str, str], None]) -> None:
        self.happenings: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self.size = size
        self.living: dict[str, WorkerHandle] = {}
        self._job = job
        self._on_line = on_line
        self._hello = {**describe(job, threads_per_worker(size)), "grace_seconds": job.grace_seconds}
        self._told: list[Message] = []

    def start(self, index: int) -> WorkerHandle:
        """Start worker number `index` (again), and tell it all that the others were told."""
        worker = WorkerHandle(
            "spotproof.engines.local.worker_process",
            index,
            worker_environment(self._job, index, self.size),
            on_message=lambda worker, message: self.happenings.put(Said(worker, message)),
            on_exit=lambda worker, code: self.happenings.put(Left(worker, code)),
            on_line=lambda worker, text: self._on_line(worker.name, text),
        )
        self.living[worker.name] = worker
        worker.send({**self._hello, "worker": worker.name})
        for message in self._told:
            worker.send(message)
        return worker

    def tell(self, message: Message) -> None:
        """Send to all that live, and to those that will be started later."""
        self.tell_later(message)
        self.tell_living(message)

    def tell_later(self, message: Message) -> None:
        """Send to those that will be started, in place of the earlier message of this kind."""
        kinds = [told["is"] for told in self._told]
        if message["is"] in kinds:
            self._told[kinds.index(message["is"])] = message
        else:
            self._told.append(message)

    def tell_living(self, message: Message) -> None:
        """Send to all that live now."""
        for worker in self.living.values():
            worker.send(message)

    def stop(self, source: str, action: str, grace_seconds: float) -> None:
        """Tell all to leave within the grace."""
        for worker in self.living.values():
            worker.send({"is": "stop", "source": source, "action": action, "grace_seconds": grace_seconds})

    def kill(self) -> None:
        """SIGKILL all that live."""
        for worker in list(self.living.values()):
            worker.kill()
