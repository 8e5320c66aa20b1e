"""One worker process as its parent sees it: what it was told, what it says, how it ended."""

import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress

import psutil

from spotproof.core.ids import new_nonce
from spotproof.engines.local.channel import Message, Sender, receive

_LINES_KEPT = 30  # of a worker's output, for the error message if it dies
_LINE_BYTES_MAX = 4000
_LAST_WORDS_SECONDS = 2.0  # for what a dead worker had sent to arrive


class WorkerHandle:
    """Starts a worker process; tells `on_message` what it says, `on_exit` its exit code once, `on_line` its output.

    `program` is the module to run; it is given the two ends of the channel. The three callbacks come from threads of
    this handle. `hand` is what the worker last said it had in hand, as (shard, start, stop).
    """

    def __init__(
        self,
        program: str,
        index: int,
        environment: Mapping[str, str],
        on_message: Callable[["WorkerHandle", Message], None],
        on_exit: Callable[["WorkerHandle", int], None],
        on_line: Callable[["WorkerHandle", str], None],
    ) -> None:
        self.index = index
        self.name = f"w{index}-{new_nonce()[:6]}"
        self.hand: list[tuple[int, int, int]] = []
        self.ready = False
        self.outcome: str | None = None
        self.last_lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self._on_message = on_message
        self._on_exit = on_exit
        self._on_line = on_line
        orders_read, orders_write = os.pipe()
        reports_read, reports_write = os.pipe()
        output_read, output_write = os.pipe()
        # The worker holds the reading end of its own output too: when the parent is gone, a print of the user's
        # function fills a pipe that nobody empties instead of raising BrokenPipeError, which would refuse the row.
        kept = (orders_read, reports_write, output_read)
        command = [sys.executable, "-m", program, str(orders_read), str(reports_write)]
        self._process = subprocess.Popen(
            command,
            pass_fds=kept,
            stdin=subprocess.DEVNULL,
            stdout=output_write,
            stderr=output_write,
            env={**os.environ, **environment},
        )
        for fd in (orders_read, reports_write, output_write):
            os.close(fd)
        self._sender = Sender(orders_write)
        self._listener = self._thread(self._listen, reports_read)
        self._thread(self._print, output_read)
        self._thread(self._wait)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """Tell the worker something; nothing happens if it is dead."""
        self._sender.send(message)

    def kill(self) -> None:
        """SIGKILL the worker and what it started."""
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    child.kill()
        self._process.kill()

    def _thread(self, target: Callable[..., None], *arguments: int) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, name=f"{self.name}-{target.__name__}", daemon=True)
        thread.start()
        return thread

    def _listen(self, fd: int) -> None:
        for message in receive(fd):
            self._on_message(self, message)

    def _print(self, fd: int) -> None:
        with os.fdopen(fd, "rb") as pipe:
            while line := pipe.readline(_LINE_BYTES_MAX):
                text = line.decode(errors="replace").rstrip()
                self.last_lines.append(text)
                self._on_line(self, text)

    def _wait(self) -> None:
        code = self._process.wait()
        # Not the end of the pipe but the end of the process: a child that it forked may hold the pipe open.
        self._listener.join(_LAST_WORDS_SECONDS)
        self._sender.close()
        self._on_exit(self, code)
