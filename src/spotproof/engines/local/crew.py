"""The worker processes of one parent: started, told, counted, started again, and never left behind."""

import queue
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from spotproof.batch.function import FunctionReference
from spotproof.batch.job import Job
from spotproof.engines.local.channel import Message
from spotproof.engines.local.sizing import threads_per_worker, worker_environment
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


Happening = Said | Left | Signalled


class Crew:
    """`size` worker processes for one job. What happens to them arrives in `happenings`."""

    def __init__(self, job: Job, size: int, on_line: Callable[[str, str], None]) -> None:
        self.happenings: queue.SimpleQueue[Happening] = queue.SimpleQueue()
        self.size = size
        self.living: dict[str, WorkerHandle] = {}
        self._job = job
        self._on_line = on_line
        self._hello = _hello(job, size)
        self._told: list[Message] = []

    def start(self, index: int) -> WorkerHandle:
        """Start worker number `index` (again), and tell it all that the others were told."""
        worker = WorkerHandle(
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
        """Send to all living workers, and to those that will be started later: one message of each kind, the last."""
        self._told = [told for told in self._told if told["is"] != message["is"]] + [message]
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


def _hello(job: Job, size: int) -> Message:
    settings = job.model_dump(mode="json", exclude={"function"})
    function: list[Any] | None = None
    if job.function is not None:
        reference = FunctionReference.of(job.function)
        settings["function"] = f"{reference.module}:{reference.qualname}"
        function = list(asdict(reference).values())
    return {
        "is": "job",
        "job": settings,
        "grace_seconds": job.grace_seconds,
        "threads": threads_per_worker(size),
        "function": function,
        "path": _import_path(),
    }


def _import_path() -> Sequence[str]:
    # The empty entry means the folder that the parent runs in, wherever the worker will run.
    return [str(Path(folder or ".").resolve()) for folder in sys.path]
