"""A store's objects as pyarrow sees files: for datasets over a root."""

from typing import Any

import pyarrow.fs

from spotproof.storage.uri import join_uri


def arrow_files(uri: str, paths: list[str]) -> tuple[pyarrow.fs.FileSystem, list[str]]:
    """(filesystem, names in it) of the objects `paths` below the store at `uri`."""
    if "://" not in uri:
        return pyarrow.fs.LocalFileSystem(), [join_uri(uri, path) for path in paths]
    from obstore.fsspec import FsspecStore

    from spotproof.storage.clients import open_clients
    from spotproof.storage.remote import CONNECT_TIMEOUT, REQUEST_TIMEOUT

    scheme, _, place = uri.partition("://")
    client: Any = open_clients(uri, {}, None, REQUEST_TIMEOUT, CONNECT_TIMEOUT).patient
    # The same endpoint, credentials and time-outs as all else; the bucket comes from the names below.
    config = {key: value for key, value in client.config.items() if "bucket" not in key and "container" not in key}
    open_files: Any = FsspecStore
    files = open_files(
        scheme, config=config, client_options=client.client_options, credential_provider=client.credential_provider
    )
    return pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(files)), [join_uri(place, path) for path in paths]
