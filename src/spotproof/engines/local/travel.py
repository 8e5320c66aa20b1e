"""How a job travels from the parent to a worker process: described in one message, loaded on the other side.

Nothing heavy is imported before it is needed: the parent describes a job without loading its function, and a worker
imports the model's libraries while the parent still looks at the input.
"""

import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from spotproof.batch.computation import Computation, UserFunction
from spotproof.batch.function import FunctionReference
from spotproof.batch.job import Job
from spotproof.core.errors import FunctionError, SpotproofError
from spotproof.engines.local.channel import Message


def describe(job: Job, threads: int | None) -> Message:
    """The message from which `job_of` and the loaders make the same job in another process."""
    function = None if job.function is None else list(asdict(FunctionReference.of(job.function)).values())
    return {"is": "job", "job": job.portable(), "threads": threads, "function": function, "path": _import_path()}


def job_of(described: Message) -> Job:
    """The job; its function is only named."""
    return Job.model_validate(described["job"])


def load_embed(job: Job, described: Message) -> Computation:
    """The job's model, loaded."""
    assert job.embed is not None
    from spotproof.batch.embedding.computation import EmbedComputation

    return EmbedComputation(job.embed, threads=described["threads"])


def load_function(described: Message) -> Computation:
    """The job's own function, imported and built. Raises `FunctionError` with the end of its traceback."""
    for folder in reversed(described["path"]):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    reference = FunctionReference(*described["function"])
    function = reference.load()
    try:
        return UserFunction(function)
    except SpotproofError:
        raise
    except Exception as error:
        raise FunctionError(
            f"{reference} could not be built: {type(error).__name__}: {error}\n{traceback.format_exc(limit=-4)}"
        ) from error


def _import_path() -> Sequence[str]:
    # The empty entry means the folder that the parent runs in, wherever the worker will run.
    return [str(Path(folder or ".").resolve()) for folder in sys.path]
