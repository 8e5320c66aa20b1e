"""The main program of a worker process: load, wait for the plan, work, report; leave when the parent is gone."""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

from spotproof.core.clock import SystemClock
from spotproof.core.errors import (
    ConfigError,
    FunctionError,
    InputError,
    SpotproofError,
    StorageError,
)
from spotproof.core.events import Event, Recorded, WorkerReady, to_json
from spotproof.core.exits import Exit
from spotproof.engines.local.channel import Message, Sender, receive

_GRACE_WITHOUT_PARENT_SECONDS = 10.0  # the parent's death leaves no one to obey: commit and go
_MARGIN_SECONDS = 0.5  # before a deadline: what is not committed by then would be torn by the machine anyway
_TELL_EVERY_SECONDS = 0.1  # how often rows computed are told; a fast function would flood the parent
_FAILURE_EXITS: tuple[tuple[type[SpotproofError], Exit], ...] = (
    (ConfigError, Exit.USAGE),
    (FunctionError, Exit.FAILED),
    (InputError, Exit.INPUT),
    (StorageError, Exit.STORAGE),
)


def main() -> None:
    """Run as `python -m spotproof.engines.local.worker_process READ_FD WRITE_FD`."""
    began = time.monotonic()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    messages = receive(int(sys.argv[1]))
    sender = Sender(int(sys.argv[2]))
    try:
        code = _Process(messages, sender, began).run()
    except SpotproofError as error:
        code = next((code for kind, code in _FAILURE_EXITS if isinstance(error, kind)), Exit.FAILED)
        sender.send({"is": "failed", "error": type(error).__name__, "message": str(error), "exit": int(code)})
    except Exception as error:
        text = "".join(traceback.format_exception(error))
        sender.send({"is": "failed", "error": type(error).__name__, "message": text, "exit": int(Exit.FAILED)})
        code = Exit.FAILED
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: threads of user libraries that never end must not keep a finished worker alive.
    os._exit(int(code))


class _Process:
    def __init__(self, messages: Iterator[Message], sender: Sender, began: float) -> None:
        self._messages = messages
        self._sender = sender
        self._began = began
        self._clock = SystemClock()
        self._worker: Any = None
        # Reentrant: the handler of a signal runs in the main thread, in the middle of anything.
        self._lock = threading.RLock()
        self._log: Any = None
        self._untold_rows = 0
        self._told_at = 0.0

    def run(self) -> Exit:
        hello = next(self._messages)
        signal.signal(signal.SIGTERM, lambda *_: self._on_sigterm(hello["grace_seconds"]))
        from spotproof.engines.local.travel import job_of, load_embed, load_function

        job = job_of(hello)
        computation = load_embed(job, hello) if job.embed is not None else None
        named = self._expect("identity")
        os.environ["SPOTPROOF_JOB_ID"] = named["job_id"]
        os.environ["SPOTPROOF_ATTEMPT"] = str(named["attempt"])
        if computation is None:
            computation = load_function(hello)
        self._sender.send({"is": "ready", "seconds": round(time.monotonic() - self._began, 3)})
        go = self._expect("go")
        return self._work(job, hello, named, go, computation)

    def _work(self, job: Any, hello: Message, named: Message, go: Message, computation: Any) -> Exit:
        from spotproof.batch.record import read_record
        from spotproof.batch.refusals import RefusalBudget
        from spotproof.batch.suspects import Suspect
        from spotproof.batch.worker import Outcome, Place, Worker
        from spotproof.coordination.event_log import EventLog
        from spotproof.coordination.select import open_coordinator
        from spotproof.core.ids import ProcessIdentity
        from spotproof.storage.uri import open_store

        store = open_store(job.root)
        self._log = EventLog(store, hello["worker"], named["attempt"], self._clock)
        self._log.record(WorkerReady(round(time.monotonic() - self._began, 3)), now=True)
        place = Place(store, read_record(store), job, hello["worker"], named["attempt"])
        coordinator = open_coordinator(
            job.coordination, store, job.lease_seconds, self._clock, ProcessIdentity.current()
        )
        worker = Worker(
            place,
            computation,
            coordinator,
            self._clock,
            self,
            RefusalBudget(job.errors, go["rows_seen"], go["rows_refused"]),
            go["done"],
            [Suspect(*fields) for fields in go["suspects"]],
        )
        with self._lock:
            self._worker = worker
        threading.Thread(target=self._listen, name="spotproof-listen", daemon=True).start()
        try:
            outcome = worker.run()
            self._tell_rows()
            self._sender.send({"is": "end", "outcome": outcome.value})
            return Exit.OK if outcome is Outcome.COMPLETE else Exit.INTERRUPTED
        finally:
            self._log.close()
            coordinator.close()

    # What the worker reports, passed to the event log and to the parent.

    def event(self, event: Event) -> None:
        self._log.record(event)
        recorded = Recorded(self._clock.now(), "", 0, event)
        self._sender.send({"is": "event", "event": to_json(recorded)})

    def in_hand(self, shard: int, ranges: Sequence[tuple[int, int]]) -> None:
        self._sender.send({"is": "hand", "shard": shard, "ranges": [list(r) for r in ranges]})

    def computed(self, rows: int) -> None:
        self._untold_rows += rows
        if self._clock.monotonic() - self._told_at >= _TELL_EVERY_SECONDS:
            self._tell_rows()

    def _tell_rows(self) -> None:
        self._told_at = self._clock.monotonic()
        self._sender.send({"is": "computed", "rows": self._untold_rows})
        self._untold_rows = 0

    # What the parent and the platform say.

    def _expect(self, kind: str) -> Message:
        for message in self._messages:
            if message["is"] == "stop":
                os._exit(int(Exit.INTERRUPTED))  # nothing is computed yet, so nothing can be lost
            if message["is"] == kind:
                return message
        os._exit(int(Exit.INTERRUPTED))

    def _listen(self) -> None:
        from spotproof.batch.suspects import Suspect

        for message in self._messages:
            if message["is"] == "stop":
                self._stop(message)
            elif message["is"] == "suspects":
                self._worker.suspect([Suspect(*fields) for fields in message["suspects"]])
        self._stop({"source": "parent", "action": "gone", "grace_seconds": _GRACE_WITHOUT_PARENT_SECONDS})

    def _on_sigterm(self, grace_seconds: float) -> None:
        stop = {"source": "SIGTERM", "action": "terminate", "grace_seconds": grace_seconds}
        with self._lock:
            if self._worker is None:
                os._exit(int(Exit.INTERRUPTED))
        # In a thread: a signal handler runs inside whatever the main thread holds, its locks included.
        threading.Thread(target=self._stop, args=(stop,), daemon=True).start()

    def _stop(self, stop: Message) -> None:
        from spotproof.notices.notice import Notice

        deadline = self._clock.monotonic() + stop["grace_seconds"]
        self._worker.notice(Notice(stop["source"], stop["action"], deadline))
        threading.Thread(target=self._leave_at, args=(deadline,), daemon=True).start()

    def _leave_at(self, deadline: float) -> None:
        """The batch in hand may outlast the grace; what came before it was committed when the notice came."""
        self._clock.sleep(max(0.0, deadline - _MARGIN_SECONDS - self._clock.monotonic()))
        os._exit(int(Exit.INTERRUPTED))


if __name__ == "__main__":
    main()
