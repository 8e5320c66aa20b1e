"""Options of the chaos tests: how many kills, and from which seed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import S3Server, seaweed_server


@pytest.fixture(scope="session")
def kills() -> int:
    """Kills in one run: CHAOS_KILLS (docs/testing.md: 200 before a release)."""
    return int(os.environ.get("CHAOS_KILLS", "12"))


@pytest.fixture(scope="session")
def seed() -> int:
    """Of everything random; a failing test prints it."""
    return int(os.environ.get("CHAOS_SEED", "1"))


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server."""
    with seaweed_server(Path(tmp_path_factory.mktemp("seaweed"))) as server:
        yield server
