"""Python imports this by itself when its folder is on PYTHONPATH: workers then kill themselves at a named point.

KILL_POINT is a name below, with `-after` to die when the call is done instead of before it; KILL_BUDGET a file to which
each death appends a byte, and KILL_DEATHS how many there may be; KILL_SEED makes the choice of the call repeatable.
"""

import functools
import importlib.abc
import importlib.util
import os
import random
import signal
import sys

POINTS = {
    "compute": ("spotproof.batch.computation", "to_computed"),
    "tokenise": ("spotproof.batch.embedding.function", "EmbedTexts.prepare"),
    "encode": ("spotproof.batch.chain", "encode_part"),
    "refusals": ("spotproof.batch.chain", "encode_refusals"),
    "create": ("spotproof.batch.chain", "create_once"),
    "upload": ("obstore", "put"),
    "fsync": ("os", "fsync"),
    "link": ("os", "link"),
}
CALLS_MAX = 4


def deadly(function, after):
    before = os.path.getsize(os.environ["KILL_BUDGET"]) if os.path.exists(os.environ["KILL_BUDGET"]) else 0
    place = f"{os.environ['KILL_SEED']} {os.environ['SPOTPROOF_WORKER']} {before}"
    calls_left = random.Random(place).randint(1, CALLS_MAX)

    def call(*args, **kwargs):
        nonlocal calls_left
        calls_left -= 1
        if calls_left == 0 and not after:
            die()
        result = function(*args, **kwargs)
        if calls_left == 0 and after:
            die()
        return result

    return call


def die():
    budget = os.environ["KILL_BUDGET"]
    if os.path.exists(budget) and os.path.getsize(budget) >= int(os.environ["KILL_DEATHS"]):
        return
    fd = os.open(budget, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(fd, b"x")
    os.close(fd)
    os.kill(os.getpid(), signal.SIGKILL)


def set_trap(module, path, after):
    *folders, name = path.split(".")
    owner = functools.reduce(getattr, folders, module)
    setattr(owner, name, deadly(getattr(owner, name), after))


class Arm(importlib.abc.MetaPathFinder):
    """Puts the trap in place as soon as the module that holds the point is imported."""

    def __init__(self, module, name, after):
        self.module, self.name, self.after = module, name, after

    def find_spec(self, fullname, path, target=None):
        if fullname != self.module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            set_trap(module, self.name, self.after)

        spec.loader.exec_module = exec_module
        return spec


def arm():
    point = os.environ.get("KILL_POINT")
    if not point or "SPOTPROOF_WORKER" not in os.environ:
        return
    after = point.endswith("-after")
    module, name = POINTS[point.removesuffix("-after")]
    if module in sys.modules:
        set_trap(sys.modules[module], name, after)
    else:
        sys.meta_path.insert(0, Arm(module, name, after))


arm()
