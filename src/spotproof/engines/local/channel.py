"""Messages between the parent and a worker: one JSON object a line, over pipes that die with either."""

import json
import os
import threading
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]


class Sender:
    """Writes messages to a pipe. Thread-safe. Silent when the other side is gone: its death is noticed by reading."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, message: Message) -> None:
        """Write one message, whole."""
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except (BrokenPipeError, OSError):
                return

    def close(self) -> None:
        """Close the pipe; the reader sees the end."""
        with self._lock:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1


def receive(fd: int) -> Iterator[Message]:
    """Messages until the other side is gone. A line cut by its death is dropped."""
    with os.fdopen(fd, "rb") as pipe:
        for line in pipe:
            if line.endswith(b"\n"):
                yield json.loads(line)
