"""The stores and servers that integration tests run against."""

import pytest

from spotproof.storage.local import LocalStore
from spotproof.storage.memory import MemoryStore
from spotproof.storage.store import Store
from spotproof.storage.uri import open_store
from tests.servers import S3Server


@pytest.fixture(params=["memory", "local", "s3"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store of each kind."""
    return store_of(request.param, request)


def store_of(kind: str, request: pytest.FixtureRequest) -> Store:
    """An empty store of one kind."""
    if kind == "memory":
        return MemoryStore()
    if kind == "local":
        return LocalStore(request.getfixturevalue("tmp_path") / "root")
    server: S3Server = request.getfixturevalue("s3")
    for name, value in server.environment().items():
        request.getfixturevalue("monkeypatch").setenv(name, value)
    return open_store(f"s3://{server.bucket()}/some/prefix")
