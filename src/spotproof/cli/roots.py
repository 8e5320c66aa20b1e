"""Opening the root that a person named."""

from spotproof.batch import layout
from spotproof.core.errors import ConfigError, NotFound
from spotproof.storage.store import Store
from spotproof.storage.uri import open_store


def open_job_root(root: str) -> Store:
    """The store of an existing job. Raises `ConfigError` where there is none."""
    store = open_store(root)
    try:
        store.read_tail(layout.JOB, 1)
    except NotFound:
        raise ConfigError(
            f"{store.uri} holds no job (there is no {layout.JOB}): give the `root` of a job file that has been run"
        ) from None
    return store
