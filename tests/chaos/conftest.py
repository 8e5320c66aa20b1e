"""Options of the chaos tests: how many kills, and from which seed."""

import os

import pytest


@pytest.fixture(scope="session")
def kills() -> int:
    """Kills in one run: CHAOS_KILLS (docs/testing.md: 200 before a release)."""
    return int(os.environ.get("CHAOS_KILLS", "12"))


@pytest.fixture(scope="session")
def seed() -> int:
    """Of everything random; a failing test prints it."""
    return int(os.environ.get("CHAOS_SEED", "1"))
