"""`spotproof demo`: the whole promise in a few minutes, on this machine: a real model, three interruptions."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import typer
import yaml

from spotproof.batch.scan import scan
from spotproof.cli import demo_corpus, show
from spotproof.cli.demo_report import Interruption, gather, show_report, show_search
from spotproof.core.errors import ConfigError, SpotproofError
from spotproof.core.exits import Exit
from spotproof.storage.uri import open_store

_HELP = """Embed the documentation of Python's standard library, be interrupted three times, lose nothing, prove it.

\b
Takes about three minutes on 2 cores. Needs the extra: pip install 'spotproof[demo]'
Examples:
    spotproof demo
    spotproof demo --folder /tmp/look-at-it-later
"""
_QUERY = "read a compressed file line by line"
# How far each run may come, as a share of all rows; and how it ends. SIGKILL is a machine gone without a word.
_PLAN = ((0.15, signal.SIGTERM), (0.25, signal.SIGKILL), (0.25, signal.SIGTERM))
_LOOK_EVERY_SECONDS = 0.2


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("demo", help=_HELP)(_demo)


@dataclass(frozen=True)
class _Place:
    """Where the demo keeps what."""

    folder: Path

    @property
    def job_file(self) -> Path:
        return self.folder / "demo.yaml"

    @property
    def root(self) -> Path:
        return self.folder / "root"

    @property
    def counter(self) -> Path:
        return self.folder / "computed.txt"


def _demo(
    folder: Path | None = typer.Option(None, help="Where to keep it. Default: a new temporary folder."),
) -> None:
    _check_installed()
    place = _Place((folder or Path(tempfile.mkdtemp(prefix="spotproof-demo-"))).resolve())
    if place.root.exists():
        raise ConfigError(f"{place.root} exists: give a --folder that no demo ran in before")
    rows = _write_job(place)
    typer.echo(f"{rows:,} passages of the standard library's documentation, all-MiniLM-L6-v2, 2 workers, {place.root}")
    began = time.monotonic()
    interruptions = _run_interrupted(place, rows)
    seconds = time.monotonic() - began
    facts = gather(open_store(str(place.root)), place.counter, interruptions, seconds)
    show_report(facts)
    show_search(str(place.root), _QUERY)
    show.next_command("Look at it yourself", "status", str(place.root))
    if not facts.verified.ok:
        raise typer.Exit(int(Exit.NOT_VERIFIED))


def _check_installed() -> None:
    missing = [name for name in ("torch", "sentence_transformers") if find_spec(name) is None]
    if missing:
        raise ConfigError(f"the demo needs {', '.join(missing)}: pip install 'spotproof[demo]'")


def _write_job(place: _Place) -> int:
    passages = demo_corpus.passages()
    (place.folder / "texts").mkdir(parents=True, exist_ok=True)
    table = pa.table({"name": [f"{p.module}.{p.name}" for p in passages], "text": [p.text for p in passages]})
    pq.write_table(table, place.folder / "texts" / "stdlib.parquet")
    job = {
        "name": "demo",
        "root": str(place.root),
        # Carried so that the answers of the search can be read; the shards are small so that two workers end together.
        "input": {"path": str(place.folder / "texts" / "*.parquet"), "carry": ["name", "text"], "shard_bytes": 2**17},
        # Small batches, since on a CPU a batch takes long, and a notice waits for the one in hand.
        "embed": {"model": "all-MiniLM-L6-v2", "text_column": "text", "batch_rows": 64},
        "workers": 2,
        "commit": {"seconds": 5},
    }
    place.job_file.write_text(yaml.safe_dump(job, sort_keys=False), encoding="utf-8")
    return table.num_rows


def _run_interrupted(place: _Place, rows: int) -> list[Interruption]:
    interruptions: list[Interruption] = []
    for share, number in _PLAN:
        process = _start(place)
        try:
            if not _wait_for_more(process, place, round(share * rows)):
                raise SpotproofError(f"the demo's job ended with status {process.returncode} before it was interrupted")
            name = signal.Signals(number).name
            what = "no notice, all its processes at once" if number == signal.SIGKILL else "a notice"
            typer.echo(f"--- {name} ({what}) ---", err=True)
            sent = time.monotonic()
            _send(process, number)
            code = process.wait()
        except BaseException:
            _send(process, signal.SIGKILL)
            raise
        interruptions.append(Interruption(name, time.monotonic() - sent, code))
        typer.echo("--- gone; the same command again ---", err=True)
    process = _start(place)
    try:
        code = process.wait()
    except BaseException:
        _send(process, signal.SIGTERM)
        raise
    if code != Exit.OK:
        raise SpotproofError(f"the demo's last run ended with status {code}")
    return interruptions


def _start(place: _Place) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "spotproof.cli.demo_run", str(place.job_file), str(place.counter)]
    return subprocess.Popen(command, start_new_session=True)


def _send(process: "subprocess.Popen[bytes]", number: int) -> None:
    if process.poll() is not None:
        return
    if number == signal.SIGKILL:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)


def _wait_for_more(process: "subprocess.Popen[bytes]", place: _Place, rows: int) -> bool:
    """Until so many more rows are committed than were when the run began; False if it ends before."""
    store = open_store(str(place.root))
    before = scan(store).rows_done
    while process.poll() is None:
        if scan(store).rows_done >= before + rows:
            return True
        time.sleep(_LOOK_EVERY_SECONDS)
    return False
