"""`spotproof compact`: the output in files of one size."""

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from spotproof.batch.compact import compact
from spotproof.cli import show
from spotproof.cli.roots import open_job_root
from spotproof.core.clock import SystemClock
from spotproof.storage.uri import join_uri

_HELP = """Write the output of a finished job as files of about one size, into ROOT/compacted/. The parts stay.

\b
Examples:
    spotproof compact s3://bucket/jobs/nightly
    spotproof compact ./nightly --target-mib 1024
"""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("compact", help=_HELP)(_compact)


def _compact(
    root: str = typer.Argument(..., metavar="ROOT", help="The job's root: a folder, s3://, gs:// or az://."),
    target_mib: int = typer.Option(256, min=1, help="Size of a file, in MiB."),
) -> None:
    store = open_job_root(root)
    console = Console(stderr=True)
    columns = (TextColumn("compacting"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None)
        done = compact(
            store, target_mib * 2**20, SystemClock(), lambda files, of: bar.update(task, completed=files, total=of)
        )
    typer.echo(
        f"{show.count(done.rows_out, 'row')} in {show.count(done.files, 'file')}, {show.size(done.bytes)}: "
        f"{join_uri(store.uri, 'compacted')}"
    )
