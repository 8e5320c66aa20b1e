"""`spotproof verify`: every input row exactly once, and every byte as it was written."""

from dataclasses import asdict

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from spotproof.batch.verify import Report, verify
from spotproof.cli import show
from spotproof.cli.roots import open_job_root
from spotproof.core.exits import Exit
from spotproof.storage.store import Store

_HELP = """Check a job: every input row stands exactly once (in the output or refused), and all checksums hold.

\b
Reads every part. Exit status 0: all holds. 3: rows are missing, twice or damaged, or the job is not finished.
Examples:
    spotproof verify s3://bucket/jobs/nightly
    spotproof verify ./nightly --json
"""
_PROBLEMS_SHOWN = 20


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("verify", help=_HELP)(_verify)


def _verify(
    root: str = typer.Argument(..., metavar="ROOT", help="The job's root: a folder, s3://, gs:// or az://."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    report = _with_bar(open_job_root(root))
    if as_json:
        show.as_json(asdict(report))
    else:
        _print(report, root)
    if not report.ok:
        raise typer.Exit(int(Exit.NOT_VERIFIED))


def _with_bar(store: Store) -> Report:
    columns = (TextColumn("verifying parts"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None)
        return verify(store, lambda done, parts: bar.update(task, completed=done, total=parts))


def _print(report: Report, root: str) -> None:
    rows_in = f"{report.rows_in:,}" if report.rows_in is not None else "not known until all input is read"
    show.table(
        [
            ("verified", "yes: every input row stands exactly once" if report.ok else "NO"),
            ("rows in", rows_in),
            ("rows done", f"{report.rows_done:,}"),
            ("rows refused", f"{report.rows_failed:,}"),
            ("rows missing", f"{report.rows_missing:,}"),
            ("rows twice", f"{report.rows_twice:,}"),
            ("rows out", f"{report.rows_out:,}"),
            ("parts", f"{report.parts:,}"),
        ]
    )
    for problem in report.problems[:_PROBLEMS_SHOWN]:
        typer.echo(f"  {problem}")
    if len(report.problems) > _PROBLEMS_SHOWN:
        typer.echo(f"  ... and {len(report.problems) - _PROBLEMS_SHOWN} more; --json lists all")
    if report.ok and report.rows_failed:
        show.next_command("See the refused rows", "failed", root)
