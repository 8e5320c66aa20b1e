"""Kill -9 audit of batch tools: make input, run, kill, restart, check every row.

The harness is the one that the peers were put through (README.md); spotproof is one more tool in it.

  audit.py make-input                         200,000 rows in 20 Parquet files + the expected answers
  audit.py clean  TOOL [N]                    N clean runs
  audit.py kill   TOOL SEED [K]               one seeded run with K kill -9 of the whole process group
  audit.py commit TOOL SEED [K]               the same, each kill aimed at the moment a new output file appears
  audit.py poison TOOL raise|segv             one bad id; launched up to 3 times
  audit.py two    TOOL STAGGER_S              two drivers on one output, the second STAGGER_S later
  audit.py endkill TOOL                       kill between "all rows written" and process exit, launch once more
  audit.py resume TOOL                        kill once half-way, restart alone: time to first new id, driver RSS
  audit.py table                              summary of all results

Every process of a run carries AUDIT_TAG=<tag> in its environment and lives in a session this script created;
only those pids are ever signalled. One JSON per run goes to $AUDIT_ROOT/results.
"""

import collections
import glob
import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

ROOT = os.environ["AUDIT_ROOT"]
HERE = os.path.dirname(os.path.abspath(__file__))
INPUT, EXPECTED = f"{ROOT}/input", f"{ROOT}/expected.parquet"
ROWS, FILES = 200_000, 20
POISON_ID_INDEX = 75_000  # file 7, row 5,000: the middle of one input file
TIMEOUT = 240  # seconds for an attempt that must finish
POISON_TIMEOUT = 120  # an attempt longer than this on a poison row counts as "hangs"

VENV = {
    "spotproof": "spotproof",
    "bare": "datatrove",
    "naive": "datatrove",
    "datatrove": "datatrove",
    "ray": "ray",
    "daft": "daft",
}
TOOLS = {  # name: (script, extra args)
    "spotproof": ("tool_spotproof.py", []),
    "bare": ("tool_bare.py", []),
    "naive": ("tool_naive.py", ["10", "out-first"]),
    "naive-posfirst": ("tool_naive.py", ["10", "pos-first"]),
    "datatrove": ("tool_datatrove.py", ["parquet"]),
    "datatrove-jsonl": ("tool_datatrove.py", ["jsonl"]),
    "ray": ("tool_ray.py", ["ckpt", "20"]),  # one block per input file, 10,000 rows
    "ray-default": ("tool_ray.py", ["ckpt", "0"]),  # Ray picks: 1 block for these 30 MB
    "ray-200blocks": ("tool_ray.py", ["ckpt", "200"]),
    "ray-skiperr": ("tool_ray.py", ["ckpt", "20", "-1"]),
    "ray-nockpt": ("tool_ray.py", ["nockpt", "20"]),
    "daft": ("tool_daft.py", []),
    "daft-s3": ("tool_daft.py", []),
}


def python_of(tool):
    """The tool's own virtual environment beside the results, or this Python if there is none."""
    own = f"{ROOT}/venv-{VENV[tool.split('-')[0]]}/bin/python"
    return own if os.path.exists(own) else sys.executable


def row_id(i):
    return "doc-%06d-%04x" % (i, (i * 2654435761) >> 7 & 0xFFFF)


def make_input():
    import pyarrow as pa
    import pyarrow.parquet as pq
    import work

    rng = random.Random(42)
    syl = [
        "ba",
        "be",
        "bi",
        "bo",
        "bu",
        "ca",
        "ce",
        "ci",
        "co",
        "cu",
        "da",
        "de",
        "di",
        "do",
        "du",
        "la",
        "le",
        "li",
        "lo",
        "lu",
        "ma",
        "me",
        "mi",
        "mo",
        "mu",
        "na",
        "ne",
        "ni",
        "no",
        "nu",
        "ra",
        "re",
        "ri",
        "ro",
        "ru",
        "sa",
        "se",
        "si",
        "so",
        "su",
        "ta",
        "te",
        "ti",
        "to",
        "tu",
    ]
    vocab = ["".join(rng.choices(syl, k=rng.randint(1, 4))) for _ in range(5000)]
    os.makedirs(INPUT, exist_ok=True)
    ids, embs, per = [], [], ROWS // FILES
    for f in range(FILES):
        fid = [row_id(i) for i in range(f * per, (f + 1) * per)]
        txt = [" ".join(rng.choices(vocab, k=36)) for _ in fid]
        pq.write_table(pa.table({"id": fid, "text": txt}), f"{INPUT}/in-{f:03d}.parquet")
        ids += fid
        embs += [work.embed_text(t) for t in txt]
    assert len(set(ids)) == ROWS
    pq.write_table(pa.table({"id": ids, "emb": embs}), EXPECTED)
    print("rows", ROWS, "mean text", sum(map(len, txt)) / len(txt))


# ---------------------------------------------------------------- processes
class Run:
    """One run directory, its tag, and the processes that carry the tag."""

    def __init__(self, tool, name, out=None, state=None, tag=None):
        self.tool, self.name = tool, name
        self.dir = f"{ROOT}/runs/{name}"
        shutil.rmtree(self.dir, ignore_errors=True)
        self.out, self.state = out or self.dir + "/out", state or self.dir + "/state"
        os.makedirs(self.dir)
        for p in (self.out, self.state):
            if "://" not in p:
                os.makedirs(p, exist_ok=True)
        self.log = self.dir + "/side.log"
        open(self.log, "w").close()
        self.tag = tag or f"audit-{name}-{os.getpid()}"
        self.attempts = []
        self._known = {}

    def pids(self):
        """Live pids (not zombies) whose environment carries our tag, so daemons and re-sessioned children too."""
        need, found = b"AUDIT_TAG=" + self.tag.encode() + b"\0", []
        for p in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{p}/stat", "rb") as f:
                    st = f.read().rsplit(b")", 1)[1].split()
                if st[0] in (b"Z", b"X"):
                    continue
                key = (p, st[19])
                if key not in self._known:
                    with open(f"/proc/{p}/environ", "rb") as f:
                        self._known[key] = need in f.read()
                if self._known[key]:
                    found.append(int(p))
            except (OSError, IndexError):
                pass
        return found

    def launch(self, poison=""):
        n = len(self.attempts)
        script, extra = TOOLS[self.tool]
        raytmp = os.path.join(ROOT, "r", f"{os.getpid():x}-{n}")
        os.makedirs(raytmp, exist_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
        env.update(
            AUDIT_TAG=self.tag,
            AUDIT_LOG=self.log,
            AUDIT_ATTEMPT=str(n),
            AUDIT_POISON=poison,
            AUDIT_RAYTMP=raytmp,
            PYTHONPATH=HERE,
            RAY_USAGE_STATS_ENABLED="0",
            PYTHONUNBUFFERED="1",
            DO_NOT_TRACK="1",
            DAFT_ANALYTICS_ENABLED="0",
        )
        err = open(f"{self.dir}/attempt-{n}.txt", "w")
        p = subprocess.Popen(
            [python_of(self.tool), f"{HERE}/{script}", INPUT, self.out, self.state, *extra],
            stdout=err,
            stderr=err,
            stdin=subprocess.DEVNULL,
            env=env,
            cwd=self.dir,
            start_new_session=True,
        )
        a = Attempt(self, n, p, raytmp)
        self.attempts.append(a)
        return a

    def kill_all(self):
        """SIGKILL the sessions we made, then every pid that still carries our tag."""
        victims = self.pids()
        for a in self.attempts:
            if a.proc.poll() is None:
                try:
                    os.killpg(a.proc.pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        for _ in range(100):
            for p in victims:
                try:
                    os.kill(p, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.02)
            victims = self.pids()
            if not victims:
                break
        for a in self.attempts:
            a.finish()
        assert not self.pids(), "survivors"

    def log_rows(self):
        with open(self.log) as f:
            for line in f:
                t, att, pid, ids = line.rstrip("\n").split(" ", 3)
                yield float(t), int(att), int(pid), ids.split(",")


class Attempt:
    """One launched driver; a thread samples its log progress and memory."""

    def __init__(self, run, n, proc, raytmp):
        self.run, self.n, self.proc, self.raytmp = run, n, proc, raytmp
        self.t0 = time.time()
        self.rec = {"n": n, "driver_rss_mb": 0, "group_rss_mb": 0, "first_batch_s": None}
        self._size0 = os.path.getsize(run.log)
        self._stop = threading.Event()
        self._th = threading.Thread(target=self._sample, daemon=True)
        self._th.start()

    def _sample(self):
        i = 0
        while not self._stop.is_set():
            if self.rec["first_batch_s"] is None and os.path.getsize(self.run.log) > self._size0:
                self.rec["first_batch_s"] = round(time.time() - self.t0, 2)
            try:
                with open(f"/proc/{self.proc.pid}/status") as f:
                    hwm = [l for l in f if l.startswith("VmHWM")]
                if hwm:
                    self.rec["driver_rss_mb"] = max(self.rec["driver_rss_mb"], int(hwm[0].split()[1]) // 1024)
            except (OSError, IndexError):
                pass
            if i % 10 == 0:
                tot = 0
                for p in self.run.pids():
                    try:
                        with open(f"/proc/{p}/statm") as f:
                            tot += int(f.read().split()[1]) * 4096
                    except OSError:
                        pass
                self.rec["group_rss_mb"] = max(self.rec["group_rss_mb"], tot >> 20)
            i += 1
            self._stop.wait(0.1)

    def wait(self, timeout):
        """True when the driver ended by itself; ends leftovers of the group either way."""
        try:
            self.proc.wait(timeout)
            done = True
        except subprocess.TimeoutExpired:
            done = False
        return done

    def finish(self):
        if "rc" in self.rec:
            return
        self.proc.wait()
        self._stop.set()
        self._th.join()
        self.rec.update(rc=self.proc.returncode, wall_s=round(time.time() - self.t0, 2))
        shutil.rmtree(self.raytmp, ignore_errors=True)


# ---------------------------------------------------------------- checks
def read_out_file(path):
    """-> (ids, embs, problem) ; problem is None, or why (part of) the file does not read."""
    import pyarrow.parquet as pq

    if path.endswith(".parquet"):
        try:
            t = pq.read_table(path, columns=["id", "emb"])
            return t["id"].to_pylist(), t["emb"].to_pylist(), None
        except Exception as e:
            return [], [], type(e).__name__ + ": " + str(e)[:80]
    if ".jsonl" in path:
        ids, embs, bad = [], [], None
        try:
            with (gzip.open if path.endswith(".gz") else open)(path, "rb") as f:
                for line in f:
                    try:
                        r = json.loads(line)
                        ids.append(r["id"]), embs.append(r["emb"])
                    except ValueError:
                        bad = "torn line(s)" if bad is None else bad
        except Exception as e:
            bad = type(e).__name__ + ": " + str(e)[:80]
        return ids, embs, bad
    return [], [], "not a data file"


def out_files(run):
    if run.tool == "spotproof":  # the root also holds job.json, events and leases; the rows are in parts/
        return sorted(p for p in glob.glob(run.out + "/parts/**/*", recursive=True) if os.path.isfile(p))
    if run.tool.startswith("daft"):
        return sorted(glob.glob(run.out + "/*.parquet"))
    return sorted(p for p in glob.glob(run.out + "/**/*", recursive=True) if os.path.isfile(p))


def live_files(run):
    """The files a reader of the finished output would read. For Delta: the table's own list."""
    files = out_files(run)
    if run.tool.startswith("daft"):
        code = "import sys,deltalake;print('\\n'.join(deltalake.DeltaTable(sys.argv[1]).file_uris()))"
        r = subprocess.run([f"{ROOT}/venv-daft/bin/python", "-c", code, run.out], capture_output=True, text=True)
        live = {os.path.basename(l) for l in r.stdout.split()}
        return [f for f in files if os.path.basename(f) in live], [f for f in files if os.path.basename(f) not in live]
    return files, []


def check(run):
    import pyarrow.parquet as pq

    exp = pq.read_table(EXPECTED)
    want = dict(zip(exp["id"].to_pylist(), exp["emb"].to_pylist()))
    seen, wrong, problems, empty = collections.Counter(), 0, {}, 0
    files, unlisted = live_files(run)
    for p in files:
        ids, embs, bad = read_out_file(p)
        if bad:
            problems[os.path.relpath(p, run.out)] = bad
        elif not ids:
            empty += 1
        seen.update(ids)
        wrong += sum(want.get(i) != e for i, e in zip(ids, embs))
    logged = collections.Counter()
    for *_, ids in run.log_rows():
        logged.update(ids)
    state = [os.path.relpath(p, run.state) for p in glob.glob(run.state + "/**/*", recursive=True) if os.path.isfile(p)]
    return {
        "missing": sum(i not in seen for i in want),
        "duplicate": sum(c - 1 for c in seen.values()),
        "wrong": wrong,
        "rows": sum(seen.values()),
        "files": len(files),
        "unreadable": problems,
        "empty_files": empty,
        "unlisted_files": len(unlisted),
        "computed": sum(logged.values()),
        "recomputed": sum(c - 1 for c in logged.values()),
        "missing_ids": [i for i in want if i not in seen][:3],
        "state_files": len(state),
        "state_pending": sum("pending" in s for s in state),
    }


def first_new(run):
    """Per attempt: seconds from process start to the first logged batch holding an id no earlier attempt logged."""
    seen, res = set(), {}
    rows = sorted(run.log_rows(), key=lambda r: r[0])
    for n, a in enumerate(run.attempts):
        mine = [r for r in rows if r[1] == n]
        hit = next((r[0] for r in mine if any(i not in seen for i in r[3])), None)
        res[n] = None if hit is None else round(hit - a.t0, 2)
        for r in mine:
            seen.update(r[3])
    return res


def partial_now(run):
    """Output files that do not read at this moment (what a concurrent reader would trip on)."""
    return sum(read_out_file(p)[2] is not None for p in out_files(run))


def save(run, kind, **extra):
    for a in run.attempts:
        a.finish()
    fn = first_new(run)
    res = {
        "tool": run.tool,
        "kind": kind,
        **extra,
        "check": check(run),
        "attempts": [{**a.rec, "first_new_s": fn[a.n]} for a in run.attempts],
    }
    os.makedirs(f"{ROOT}/results", exist_ok=True)
    with open(f"{ROOT}/results/{run.name}.json", "w") as f:
        json.dump(res, f, indent=1)
    print(
        json.dumps(
            {
                **{k: v for k, v in res.items() if k != "attempts"},
                "att": [(a["rc"], a["wall_s"], a["first_new_s"], a["driver_rss_mb"]) for a in res["attempts"]],
            }
        )
    )
    return res


# ---------------------------------------------------------------- scenarios
def clean(tool, n=1):
    for i in range(n):
        run = Run(tool, f"clean-{tool}-{i}")
        a = run.launch()
        a.wait(TIMEOUT)
        a.rec["driver_wall_s"] = round(time.time() - a.t0, 2)
        run.kill_all()
        save(run, "clean")


def schedule(seed, k):
    """The same seeded kills for every tool: one in five lands U(0.2, 6) s after process start (so also inside
    start-up and recovery), the others U(0.5, 9) s after that attempt's first logged batch."""
    rng = random.Random(seed)
    return [("start", rng.uniform(0.2, 6)) if rng.random() < 0.2 else ("batch", rng.uniform(0.5, 9)) for _ in range(k)]


def kill(tool, seed, k=5):
    run = Run(tool, f"kill-{tool}-{seed}")
    t0, kills = time.time(), []
    for kind, delay in schedule(seed, k):
        a = run.launch()
        while kind == "batch" and a.rec["first_batch_s"] is None and a.proc.poll() is None and time.time() - a.t0 < 60:
            time.sleep(0.02)
        if a.wait(delay if kind == "start" else max(0.0, delay)):
            run.kill_all()
            kills.append((kind, round(delay, 2), "finished first"))
            break
        run.kill_all()
        kills.append((kind, round(delay, 2), {"partial_files": partial_now(run)}))
    a = run.launch()
    ok = a.wait(TIMEOUT)
    run.kill_all()
    save(run, "kill", seed=seed, kills=kills, total_s=round(time.time() - t0, 1), finished=ok)


def commit(tool, seed, k=5):
    """Kill when a new file appears in the output (or state) folder, after U(0, 30) ms: the window between
    'rows written' and 'rows recorded as written'."""
    run = Run(tool, f"commit-{tool}-{seed}")
    rng, kills = random.Random(seed), []

    def names():
        s = set()
        for d in (run.out, run.state):
            for e in glob.glob(d + "/**/*", recursive=True):
                s.add(e)
        return s

    for _ in range(k):
        a = run.launch()
        while a.rec["first_batch_s"] is None and a.proc.poll() is None:
            time.sleep(0.01)
        skip = rng.randint(0, 3)  # let this many new files pass first
        base = names()
        while a.proc.poll() is None:
            now = names()
            if len(now - base) > skip:
                break
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.03))
        done = a.proc.poll() is not None
        run.kill_all()
        kills.append("finished first" if done else {"partial_files": partial_now(run)})
        if done:
            break
    a = run.launch()
    ok = a.wait(TIMEOUT)
    run.kill_all()
    save(run, "commit", seed=seed, kills=kills, finished=ok)


def poison(tool, how, launches=3):
    run = Run(tool, f"poison-{how}-{tool}")
    steps = []
    for _ in range(launches):
        a = run.launch(poison=f"{how}:{row_id(POISON_ID_INDEX)}")
        ended = a.wait(POISON_TIMEOUT)
        t = time.time() - a.t0
        run.kill_all()
        c = check(run)
        steps.append(
            {
                "ended": ended,
                "rc": a.rec["rc"] if ended else "hang",
                "s": round(t, 1),
                "rows": c["rows"],
                "missing": c["missing"],
                "duplicate": c["duplicate"],
                "recomputed": c["recomputed"],
                "unreadable": len(c["unreadable"]),
            }
        )
        print("  step", steps[-1], flush=True)
        if (ended and a.rec["rc"] == 0) or not ended:
            break
    save(run, "poison", how=how, steps=steps)


def two(tool, stagger):
    run = Run(tool, f"two-{tool}-{stagger:g}")
    a = run.launch()
    time.sleep(stagger)
    b = run.launch()
    ends = [x.wait(TIMEOUT) and x.proc.returncode for x in (a, b)]
    walls = [round(time.time() - a.t0, 1)]
    run.kill_all()
    save(run, "two", stagger=stagger, rc=ends, wall=walls)


def resume(tool):
    """Kill once half the rows are logged, restart alone."""
    run = Run(tool, f"resume-{tool}")
    a = run.launch()
    while sum(len(r[3]) for r in run.log_rows()) < ROWS // 2 + 1000 and a.proc.poll() is None:
        time.sleep(0.1)
    run.kill_all()
    b = run.launch()
    b.wait(TIMEOUT)
    run.kill_all()
    save(run, "resume")


def endkill(tool):
    """Kill after the last row is safe but before the driver has exited (for Ray: right after it removed its
    checkpoint), then launch again, as a supervisor that saw exit -9 would."""
    run = Run(tool, f"endkill-{tool}")

    def n_state():
        return sum(os.path.isfile(p) for p in glob.glob(run.state + "/**/*", recursive=True))

    a = run.launch()
    while os.path.getsize(run.log) < ROWS * 16 and a.proc.poll() is None:
        time.sleep(0.02)
    most = n_state()
    while a.proc.poll() is None and time.time() - a.t0 < TIMEOUT:
        if tool == "spotproof" and os.path.exists(run.out + "/_SUCCESS"):
            break  # it has said that it is done, and has not exited yet
        n = n_state()
        most = max(most, n)
        if n < most and n == 0:
            break
        time.sleep(0.002)
    killed = a.proc.poll() is None
    run.kill_all()
    first = check(run)
    b = run.launch()
    b.wait(TIMEOUT)
    run.kill_all()
    save(run, "endkill", killed_before_exit=killed, after_first={k: first[k] for k in ("rows", "missing", "duplicate")})


def table():
    for p in sorted(glob.glob(f"{ROOT}/results/*.json")):
        r = json.load(open(p))
        c, at = r["check"], r["attempts"]
        nk = sum(1 for k in r.get("kills", []) if not (isinstance(k, str) or "finished first" in k))
        print(
            f"{os.path.basename(p)[:-5]:34} miss={c['missing']:<6} dup={c['duplicate']:<7} wrong={c['wrong']} "
            f"recomp={c['recomputed']:<7} kills={nk} /kill={c['recomputed'] / nk if nk else 0:<8.0f} files={c['files']:<4} "
            f"unread={len(c['unreadable'])} unlisted={c['unlisted_files']} state={c['state_files']} "
            f"last: rc={at[-1]['rc']} wall={at[-1]['wall_s']} first_new={at[-1]['first_new_s']} "
            f"rss={at[-1]['driver_rss_mb']}/{at[-1]['group_rss_mb']} {r.get('steps', '')}"
        )


if __name__ == "__main__":
    sys.path.insert(0, HERE)
    cmd, args = sys.argv[1], sys.argv[2:]
    if cmd == "make-input":
        make_input()
    elif cmd == "clean":
        clean(args[0], int(args[1]) if len(args) > 1 else 1)
    elif cmd == "kill":
        kill(args[0], int(args[1]), int(args[2]) if len(args) > 2 else 5)
    elif cmd == "commit":
        commit(args[0], int(args[1]), int(args[2]) if len(args) > 2 else 5)
    elif cmd == "poison":
        poison(args[0], args[1])
    elif cmd == "two":
        two(args[0], float(args[1]))
    elif cmd == "endkill":
        endkill(args[0])
    elif cmd == "resume":
        resume(args[0])
    elif cmd == "table":
        table()
    else:
        sys.exit(__doc__)
