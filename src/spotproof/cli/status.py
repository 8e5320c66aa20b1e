"""`spotproof status`: where a job stands, from its root alone."""

from dataclasses import asdict
from datetime import UTC, datetime

import typer

from spotproof.batch.status import Status, read_status
from spotproof.cli import show
from spotproof.cli.roots import open_job_root
from spotproof.core.clock import SystemClock

_HELP = """Where a job stands. Reads the root only, so it works from any machine, while the job runs or after.

\b
Examples:
    spotproof status s3://bucket/jobs/nightly
    spotproof status ./nightly --json | jq .rows_done
"""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("status", help=_HELP)(_status)


def _status(
    root: str = typer.Argument(..., metavar="ROOT", help="The job's root: a folder, s3://, gs:// or az://."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    clock = SystemClock()
    status = read_status(open_job_root(root), clock)
    if as_json:
        show.as_json(asdict(status))
        return
    show.table(
        [
            ("state", f"{status.state} ({status.reason})"),
            ("job", f"{status.name} ({status.job_id})"),
            ("rows", _rows(status)),
            ("refused", f"{status.rows_failed:,}"),
            ("shards", f"{status.shards_done:,} of {status.shards:,} done"),
            ("parts", f"{status.parts:,} ({show.size(status.bytes)})"),
            ("interruptions", f"{status.interruptions:,} in {show.count(status.attempts, 'attempt')}"),
            ("last commit", _ago(status.last_commit_at, clock.now())),
        ]
    )
    if status.state == "SUCCEEDED":
        show.next_command("Check that every row stands exactly once", "verify", root)
    elif status.state == "FAILED" and status.rows_failed:
        show.next_command("See the refused rows", "failed", root)


def _rows(status: Status) -> str:
    if status.rows_total is None:
        return f"{status.rows_done:,} done; the total is known when the input has been read"
    about = "about " if status.rows_total_estimated else ""
    share = f" ({status.rows_done / status.rows_total:.1%})" if status.rows_total else ""
    return f"{status.rows_done:,} of {about}{status.rows_total:,}{share}"


def _ago(at: float | None, now: float) -> str:
    if at is None:
        return "none yet"
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC, {max(0.0, now - at):,.0f} s ago"
