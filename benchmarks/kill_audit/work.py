"""The per-batch work every tool runs, standard library only, so every venv can import it.

One batch costs a fixed amount of CPU (a hash chain per row) plus a fixed sleep,
and is then appended to the side log with ONE O_APPEND write:
    "<unix time> <attempt> <pid> <id>,<id>,...\n"
The log is how recomputation is counted: a row logged twice was computed twice.
Environment: AUDIT_LOG (path), AUDIT_ATTEMPT (int), AUDIT_POISON ("raise:<id>" | "segv:<id>").
"""

import hashlib
import os
import signal
import time

BATCH = 500  # rows per batch; 200,000 rows = 400 batches
ROUNDS = 60  # hash rounds per row: ~0.025 s CPU per batch on this machine
SLEEP = 0.175  # seconds per batch; 400 * 0.2 s / 2 workers = ~40 s


class Poison(Exception):
    pass


def embed_text(text):
    h = text.encode()
    for _ in range(ROUNDS):
        h = hashlib.blake2b(h, digest_size=16).digest()
    return h.hex()


def embed_batch(ids, texts):
    """ids, texts: lists of str -> list of str. Slices anything larger than BATCH."""
    out = []
    for s in range(0, len(ids), BATCH):
        out.extend(_one(ids[s : s + BATCH], texts[s : s + BATCH]))
    return out


def _one(ids, texts):
    kind, _, bad = os.environ.get("AUDIT_POISON", "").partition(":")
    if bad and bad in ids:
        if kind == "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        raise Poison(bad)
    res = [embed_text(t) for t in texts]
    time.sleep(SLEEP)
    line = "%.3f %s %d %s\n" % (time.time(), os.environ.get("AUDIT_ATTEMPT", "0"), os.getpid(), ",".join(ids))
    fd = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(fd, line.encode())
    finally:
        os.close(fd)
    return res
