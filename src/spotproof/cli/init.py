"""`spotproof init`: a commented job file to start from."""

from pathlib import Path

import typer

from spotproof.cli import show
from spotproof.core.errors import ConfigError

_HELP = """Write a commented job file.

\b
Examples:
    spotproof init
    spotproof init jobs/tonight.yaml
"""

TEMPLATE = """\
# A spotproof job. `spotproof run {path}` runs it, and resumes it after an interruption.
name: nightly

# Where the job is kept: its output, its progress, its events. Nothing else is needed to resume on another machine.
root: ./{stem}-root                     # or s3://bucket/jobs/nightly, gs://..., az://...

input:
  path: "texts/*.parquet"               # Parquet, JSONL, CSV or text; .gz and .zst too; local, s3://, gs://, az://
  carry: [id]                           # columns to copy to the output; [] gives `file` and `row` instead

# What to compute: the vectors of a text column ...
embed:
  model: all-MiniLM-L6-v2               # a folder, a model carried by a PyPI package, or a hub name
  text_column: text
# ... or any function of a batch (a dict of numpy arrays in, the same out):
# function: my_module:Embed

workers: auto                           # one a GPU, else by cores

commit: {{seconds: 30, rows: 50000}}      # at most so much work is done again after a kill without notice

# Rows that the function refuses are put aside with their errors; the job stops only above these limits.
# errors: {{rows: 100, fraction: 0.01}}
# grace_seconds: 25                     # between SIGTERM and SIGKILL on your platform (Kubernetes: 30, less a margin)
"""


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("init", help=_HELP)(_init)


def _init(
    job_file: Path = typer.Argument(Path("nightly.yaml"), metavar="[JOB.yaml]", help="The file to write."),
    force: bool = typer.Option(False, "--force", help="Replace a file that is there."),
) -> None:
    if job_file.exists() and not force:
        raise ConfigError(f"{job_file} exists already: give another name, or --force to replace it")
    try:
        job_file.parent.mkdir(parents=True, exist_ok=True)
        job_file.write_text(TEMPLATE.format(path=job_file, stem=job_file.stem), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{job_file} cannot be written: {error}") from error
    typer.echo(f"wrote {job_file}: set `input.path` and `root`, then")
    show.next_command("Run it", "run", str(job_file))
