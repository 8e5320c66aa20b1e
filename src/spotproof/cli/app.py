"""The `spotproof` command: its subcommands, and the one place where errors become exit statuses."""

import os
import sys

import click
import typer
from rich.console import Console

from spotproof.cli import compact, demo, failed, init, run, status, verify
from spotproof.core.errors import (
    ConfigError,
    InputError,
    Interrupted,
    JobChanged,
    NotFound,
    SpotproofError,
    StorageError,
    UnsafeStore,
)
from spotproof.core.exits import Exit
from spotproof.version import VERSION

# The first kind that fits; an error of no kind here is a plain failure.
_EXITS: tuple[tuple[type[SpotproofError], Exit], ...] = (
    (Interrupted, Exit.INTERRUPTED),
    (ConfigError, Exit.USAGE),
    (JobChanged, Exit.JOB_CHANGED),
    (InputError, Exit.INPUT),
    (UnsafeStore, Exit.UNSAFE_STORE),
    (NotFound, Exit.USAGE),
    (StorageError, Exit.STORAGE),
)

app = typer.Typer(
    name="spotproof",
    help="Batch GPU jobs on spot instances: an interruption costs seconds of work, never a row.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _spotproof(  # pyright: ignore[reportUnusedFunction] (typer calls it)
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        typer.echo(f"spotproof {VERSION}")
        raise typer.Exit


for command in (init, run, status, verify, failed, compact, demo):
    command.add_to(app)


def main() -> None:
    """The console script. Exit statuses: core/exits.py."""
    try:
        code = app(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except Interrupted as error:
        _tell(error)
        sys.stdout.flush()
        sys.stderr.flush()
        # Not sys.exit: it waits for threads that may be in the middle of listing a large input, and time is short.
        os._exit(Exit.INTERRUPTED)
    except SpotproofError as error:
        _tell(error)
        sys.exit(exit_of(error))
    except click.exceptions.Exit as leaving:
        sys.exit(leaving.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(Exit.USAGE)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(Exit.INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has seen enough (`spotproof failed ROOT | head`).
        sys.stderr.close()
        sys.exit(Exit.OK)


def exit_of(error: SpotproofError) -> Exit:
    """The exit status that tells a script what kind of error this was."""
    return next((code for kind, code in _EXITS if isinstance(error, kind)), Exit.FAILED)


def _tell(error: SpotproofError) -> None:
    word = "interrupted" if isinstance(error, Interrupted) else "error"
    Console(stderr=True, soft_wrap=True).print(f"{word}: {error}", markup=False, highlight=False)
