"""Servers that are started once for all tests that want them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import S3Server, seaweed_server


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    with seaweed_server(Path(tmp_path_factory.mktemp("seaweed"))) as server:
        yield server
