"""Clock, ids, errors, exit codes."""

import inspect
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from spotproof.core import errors
from spotproof.core.clock import Clock, ManualClock, SystemClock
from spotproof.core.errors import SpotproofError
from spotproof.core.exits import Exit
from spotproof.core.ids import ProcessIdentity, new_id, new_nonce


def test_manual_clock_moves_only_when_told() -> None:
    clock = ManualClock(start=100.0)
    assert (clock.now(), clock.monotonic()) == (100.0, 0.0)
    clock.sleep(2.5)
    clock.advance(1.0)
    assert (clock.now(), clock.monotonic()) == (103.5, 3.5)
    clock.jump(-50.0)
    assert (clock.now(), clock.monotonic()) == (53.5, 3.5)


def test_system_clock() -> None:
    clock: Clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.009
    assert clock.now() > 1_700_000_000


def test_names_are_given_once() -> None:
    ids = [new_id() for _ in range(200)]
    assert len(set(ids)) == 200 and all(len(one) == 26 for one in ids)
    nonces = {new_nonce() for _ in range(200)}
    assert len(nonces) == 200 and all(re.fullmatch("[0-9a-f]{32}", one) for one in nonces)


class TestProcessIdentity:
    def test_this_process_lives(self) -> None:
        me = ProcessIdentity.current()
        assert me.pid == os.getpid()
        assert me == ProcessIdentity.current()
        assert me.is_dead() is False

    def test_a_pid_given_out_again_is_another_process(self) -> None:
        assert replace(ProcessIdentity.current(), started=1.0).is_dead() is True

    def test_another_boot_is_dead_and_another_machine_unknown(self) -> None:
        me = ProcessIdentity.current()
        assert replace(me, boot="before").is_dead() is True
        assert replace(me, host="elsewhere").is_dead() is None
        assert replace(me, host="elsewhere", boot="before").is_dead() is None

    def test_a_zombie_is_dead(self) -> None:
        told = "from spotproof.core.ids import ProcessIdentity as P; p = P.current(); print(p.started, flush=True)"
        with subprocess.Popen([sys.executable, "-c", told + "; input()"], stdin=-1, stdout=-1, text=True) as child:
            assert child.stdout is not None and child.stdin is not None
            identity = replace(ProcessIdentity.current(), pid=child.pid, started=float(child.stdout.readline()))
            assert identity.is_dead() is False
            child.kill()
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
            assert identity.is_dead() is True
        assert identity.is_dead() is True


def _tree_of_doc() -> dict[str, str | None]:
    """{error: its parent} as the module's text draws it."""
    found: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.match(r"^( {4}[ │├└─]*)([A-Z][A-Za-z]+)(  |$)", line)
        if match:
            depth, name = len(match[1]), match[2]
            above = [(d, n) for d, n in above if d < depth]
            found[name] = above[-1][1] if above else None
            above.append((depth, name))
    return found


def test_the_drawn_error_tree_is_the_real_one() -> None:
    real = {
        name: cls.__bases__[0].__name__ if cls is not SpotproofError else None
        for name, cls in inspect.getmembers(errors, inspect.isclass)
        if issubclass(cls, SpotproofError)
    }
    assert _tree_of_doc() == real
    assert all(inspect.getdoc(getattr(errors, name)) for name in real)


@pytest.mark.parametrize(
    ("code", "number"),
    [
        ("OK", 0), ("FAILED", 1), ("USAGE", 2), ("NOT_VERIFIED", 3), ("JOB_CHANGED", 4), ("UNSAFE_STORE", 5),
        ("INPUT", 6), ("STORAGE", 7), ("INTERRUPTED", 75),
    ],
)  # fmt: skip
def test_exit_codes_never_change(code: str, number: int) -> None:
    assert Exit[code] == number
    assert len(Exit) == 9
