"""Import and load, lean: this is what a resume waits for."""

import os
from typing import Any

from spotproof.batch.embedding.devices import kind_of
from spotproof.batch.embedding.model_files import find_model
from spotproof.batch.job import Embed
from spotproof.core.errors import ConfigError


def load_model(settings: Embed, device: str) -> Any:
    """The `SentenceTransformer`, on `device`. Raises `ConfigError` naming what to install or mend."""
    # On a CPU the tokenizer's threads would take cores from the forward pass; a GPU outruns one tokenizing thread.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false" if kind_of(device) == "cpu" else "true")
    where = find_model(settings.model)
    try:
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging
    except ImportError as error:
        raise ConfigError(f"embedding needs sentence-transformers: pip install 'spotproof[embed]' ({error})") from error
    logging.disable_progress_bar()
    try:
        return SentenceTransformer(str(where), device=device, local_files_only=not isinstance(where, str))
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise ConfigError(f"the model {settings.model!r} ({where}) cannot be loaded: {error}") from error


def prompt_of(model: Any, settings: Embed) -> str | None:
    """The prompt `SentenceTransformer.encode` would use: ours, else the model's default."""
    if settings.prompt:
        return settings.prompt
    name = getattr(model, "default_prompt_name", None)
    return model.prompts.get(name) if name is not None else None
