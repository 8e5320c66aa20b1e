"""Refused rows, tried again after a mend: in a process of its own, since a row may have been refused for killing it."""

import queue
from collections.abc import Callable
from dataclasses import dataclass

from spotproof.batch.job import Job
from spotproof.core.errors import FunctionError
from spotproof.engines.local.channel import Message
from spotproof.engines.local.sizing import core_count, worker_environment
from spotproof.engines.local.travel import describe
from spotproof.engines.local.worker_handle import WorkerHandle


@dataclass
class RetryReport:
    """What a retry came to, in input rows."""

    rows_resolved: int = 0
    rows_refused: int = 0


def retry_refused(job: Job, on_line: Callable[[str], None]) -> RetryReport:
    """Compute every refused row of the job's root again; results go to ROOT/retried/, one object a part.

    Raises `FunctionError` where the function cannot be loaded or breaks its contract.
    """
    report = RetryReport()
    handled: list[list[int]] = []
    killers: list[list[int]] = []
    while True:
        heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
        worker = WorkerHandle(
            "spotproof.engines.local.retry_process",
            0,
            worker_environment(job, 0, 1),
            on_message=lambda _, message, heard=heard: heard.put(message),
            on_exit=lambda _, code, heard=heard: heard.put({"is": "exit", "code": code}),
            on_line=lambda _, text: on_line(text),
        )
        try:
            worker.send({**describe(job, core_count()), "handled": handled, "killers": killers})
            row = _listen(heard, report, handled)
        finally:
            worker.kill()
        if row is None:
            return report
        killers.append(row)


def _listen(heard: "queue.SimpleQueue[Message]", report: RetryReport, handled: list[list[int]]) -> list[int] | None:
    """Follow one process to its end; the row at which it died, or None where it did not."""
    row: list[int] | None = None
    while True:
        message = heard.get()
        match message["is"]:
            case "row":
                row = [message["shard"], message["row"]]
            case "round":
                row = None
                handled.append([message["shard"], message["start"]])
                report.rows_resolved += message["resolved"]
                report.rows_refused += message["refused"]
            case "failed":
                raise FunctionError(f"the retry stopped: {message['message']}")
            case _:
                if message["code"] == 0:
                    return None
                if row is None:
                    raise FunctionError(
                        f"the retry's process ended with code {message['code']} before it computed a row"
                    )
                return row
