"""A job's fingerprint: everything that changes its results. A resume with another one is refused."""

from collections.abc import Sequence
from typing import Any

from spotproof.batch.function import FunctionReference
from spotproof.batch.inputs.slices import InputFile
from spotproof.batch.job import Job

_EMBED_SETTINGS = ("text_column", "output_column", "dtype", "normalize", "prompt", "backend", "precision")
_INPUT_SETTINGS = ("carry", "columns", "format", "delimiter", "quoted_newlines", "max_row_bytes")


def fingerprint(job: Job, files: Sequence[InputFile]) -> dict[str, Any]:
    """Input files with size and version, the settings that change results, and what computes them."""
    settings = job.input.model_dump()
    mark: dict[str, Any] = {f"input.{name}": settings[name] for name in _INPUT_SETTINGS}
    mark["files"] = [[file.uri, file.size, file.etag] for file in files]
    if job.embed is not None:
        from spotproof.batch.embedding.model_files import find_model, model_fingerprint

        embed = job.embed.model_dump()
        mark |= {f"embed.{name}": embed[name] for name in _EMBED_SETTINGS}
        mark["embed.model"] = model_fingerprint(find_model(job.embed.model))
    else:
        assert job.function is not None
        reference = FunctionReference.of(job.function)
        mark["function"] = str(reference)
        mark["function.source"] = reference.source_hash()
    return mark
