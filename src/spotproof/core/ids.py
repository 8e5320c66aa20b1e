"""Names that are given once: job ids, worker ids, nonces, and who a process is."""

import os
import re
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil
from ulid import ULID


def new_id() -> str:
    """A ULID: unique, and sorted by the time it was made (26 characters)."""
    return str(ULID())


def new_nonce() -> str:
    """128 random bits as 32 hexadecimal digits: tells one writer's object from another's."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class ProcessIdentity:
    """Names one process for ever: a pid alone is given out again."""

    host: str
    boot: str
    pid: int
    started: float

    @classmethod
    def current(cls) -> "ProcessIdentity":
        """The calling process."""
        return cls(_host(), _boot(), os.getpid(), psutil.Process().create_time())

    def is_dead(self) -> bool | None:
        """True or False for a process of this machine; None where it cannot be known (another machine)."""
        if self.host != _host():
            return None
        if self.boot != _boot():
            return True
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < 1.0
            return not same or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True
        except psutil.Error:
            return None


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9.-]", "-", socket.gethostname()) or "host"


def _boot() -> str:
    # Without this file (not Linux) the boot time names the boot well enough.
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))
