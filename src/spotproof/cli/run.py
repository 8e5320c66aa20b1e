"""`spotproof run`: run a job, or resume it."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from spotproof.batch.job_file import load_job, parse_flag
from spotproof.cli import show
from spotproof.engines.local.run import run

_HELP = """Run a job, or resume it where it was taken down. The same command for both, on any machine.

\b
Examples:
    spotproof run nightly.yaml
    spotproof run nightly.yaml --workers 4 --set commit.seconds=10
    SPOTPROOF_ROOT=s3://bucket/jobs/tonight spotproof run nightly.yaml

Settings come from the file, then from SPOTPROOF_* variables (SPOTPROOF_COMMIT__SECONDS=10), then from flags.
Exit status 75 means: interrupted, everything computed is committed, run the same command to resume.
"""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("run", help=_HELP)(_run)


def _run(
    job_file: Path = typer.Argument(..., metavar="JOB.yaml", help="The job; `spotproof init` writes one."),
    root: str | None = typer.Option(None, help="Where the job is kept, instead of the file's `root`."),
    workers: str | None = typer.Option(None, help="Worker processes: a number, or auto."),
    setting: list[str] = typer.Option([], "--set", metavar="KEY=VALUE", help="Any setting, such as commit.seconds=10."),
    quiet: bool = typer.Option(False, "--quiet", "-q", help="Show no progress."),
    as_json: bool = typer.Option(False, "--json", help="Print the result as JSON."),
) -> None:
    flags: dict[str, Any] = dict(parse_flag(one) for one in setting)
    if root is not None:
        flags["root"] = root
    if workers is not None:
        flags["workers"] = int(workers) if workers.isdigit() else workers
    job = load_job(job_file, os.environ, flags)
    # A function is looked for beside the job file, then where the command was given.
    sys.path[:0] = [str(job_file.resolve().parent), str(Path.cwd())]
    result = run(job, progress=not quiet)
    if as_json:
        show.as_json(asdict(result))
        return
    typer.echo(
        f"done: {show.count(result.rows, 'row')} in, {result.rows_out:,} out, {result.failed:,} refused, "
        f"{show.count(result.parts, 'part')} in {result.root}"
    )
    if result.failed:
        show.next_command("See the refused rows", "failed", result.root)
    show.next_command("Check that every row stands exactly once", "verify", result.root)
