"""`spotproof failed`: the rows that were refused, with their errors; and to try them again."""

import sys
from pathlib import Path

import typer

from spotproof.batch.job import Job
from spotproof.batch.places import place_of
from spotproof.batch.record import read_record
from spotproof.batch.retried import unresolved
from spotproof.cli import show
from spotproof.cli.roots import open_job_root
from spotproof.engines.local.retry import retry_refused
from spotproof.storage.store import Store

_HELP = """Rows that the function refused, with their errors; with --retry, compute them again after a mend.

\b
Run --retry where the job's function can be imported. Rows that go through now join the output.
Examples:
    spotproof failed s3://bucket/jobs/nightly
    spotproof failed ./nightly --json | jq -r .rows[].error_type | sort | uniq -c
    spotproof failed ./nightly --retry
"""
_ROWS_SHOWN = 20


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("failed", help=_HELP)(_failed)


def _failed(
    root: str = typer.Argument(..., metavar="ROOT", help="The job's root: a folder, s3://, gs:// or az://."),
    retry: bool = typer.Option(False, "--retry", help="Compute the refused rows again."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON, every row with its whole error."),
) -> None:
    store = open_job_root(root)
    resolved = _retry(store, root) if retry else None
    rows = list_refused(store)
    if as_json:
        show.as_json({"rows_failed": len(rows), "rows_resolved": resolved, "rows": rows})
        return
    if resolved is not None:
        typer.echo(f"{show.count(resolved, 'row')} went through now, {len(rows):,} refused still")
    if not rows:
        typer.echo("no row is refused")
        return
    for row in rows[:_ROWS_SHOWN]:
        last = str(row["error"]).strip().splitlines()
        typer.echo(f"{row['file']} row {row['row']}: {last[-1] if last else row['error_type']}")
    if len(rows) > _ROWS_SHOWN:
        typer.echo(f"... and {len(rows) - _ROWS_SHOWN:,} more; --json lists all, with whole errors")
    if not retry:
        show.next_command("After a mend, compute them again", "failed", root, "--retry")


def list_refused(store: Store) -> list[dict[str, str | int]]:
    """Every row that is refused still: where it is in the input and in the plan, and why."""
    plan = read_record(store).plan
    rows: list[dict[str, str | int]] = []
    for left in unresolved(store):
        shard = plan.shards[left.part.shard]
        for refusal in left.refused:
            file, row = place_of(plan, shard, refusal.row)
            rows.append(
                {
                    "file": file,
                    "row": row,
                    "shard": shard.number,
                    "shard_row": refusal.row,
                    "error_type": refusal.error_type,
                    "error": refusal.error,
                }
            )
    return rows


def _retry(store: Store, root: str) -> int:
    settings = dict(read_record(store).settings)
    # The root may have been given another name since, such as after a move.
    job = Job.model_validate({**settings, "root": root})
    sys.path.insert(0, str(Path.cwd()))
    report = retry_refused(job, on_line=lambda line: typer.echo(f"retry | {line}", err=True))
    return report.rows_resolved
