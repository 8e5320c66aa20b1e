"""Processes that take turns on one machine, so that a ratio of their speeds does not depend on its moods."""

import os
import signal
import subprocess
import time
from collections.abc import Mapping

TURN_SECONDS = 2.0

Turns = list[tuple[float, float]]  # (start, stop) of each turn, in seconds since the epoch


def take_turns(running: "Mapping[str, subprocess.Popen[str]]", seconds: float = TURN_SECONDS) -> dict[str, Turns]:
    """Let each run for `seconds` while the others are stopped, until all have ended. Each leads a process group."""
    turns: dict[str, Turns] = {name: [] for name in running}
    for process in running.values():
        _signal(process, signal.SIGSTOP)
    while any(process.poll() is None for process in running.values()):
        for name, process in running.items():
            if process.poll() is not None:
                continue
            start = time.time()
            _signal(process, signal.SIGCONT)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGSTOP)
            turns[name].append((start, time.time()))
    return turns


def active_seconds(turns: Turns, begin: float, end: float) -> float:
    """How much of the time between `begin` and `end` fell into `turns`."""
    return sum(max(0.0, min(stop, end) - max(start, begin)) for start, stop in turns)


def _signal(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)
