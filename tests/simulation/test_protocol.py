"""Ten thousand interleavings of the part protocol; and the same with its commit broken on purpose, which must show."""

import collections
import inspect
import os
import types

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spotproof.batch import chain
from spotproof.core.errors import AlreadyExists, OutcomeUnknown, StorageUnavailable
from tests.simulation.world import World

INTERLEAVINGS = 10_000
TROUBLES = ["crash", "zombie", "lost reply", "late", "conflict", "landed on a taken name"]
SEEDS_TO_CATCH = 400
# A loser that goes on behind the winner without dropping the rows that the winner holds.
KEEPS_ALL = (
    "results = Results(tip.position, max(results.stop, tip.position), results.table, results.origin, "
    "results.refused, results.final)"
)


def test_ten_thousand_interleavings() -> None:
    totals: collections.Counter[str] = collections.Counter()
    first = int(os.environ.get("SIMULATION_SEED", "0"))
    for seed in range(first, first + INTERLEAVINGS):
        world = World(seed).run()
        assert not world.problems, f"SIMULATION_SEED={seed}: {world.problems}"
        totals.update(world.counts)
    print(f"{INTERLEAVINGS:,} interleavings: {dict(totals)}")
    for trouble in TROUBLES:
        assert totals[trouble] > 500, f"{trouble} hardly ever happened: {totals}"


@settings(max_examples=300, deadline=None, print_blob=True)
@given(st.integers(min_value=10**6, max_value=10**12))
def test_interleavings_that_hypothesis_picks(seed: int) -> None:
    assert not World(seed).run().problems


def overwrite(store, path, body, nonce, read_nonce, clock, give_up_after_seconds=300.0):
    """No create-if-absent at all."""
    store.delete(path)
    store.create(path, body)
    return True


def trusting_exists(store, path, body, nonce, read_nonce, clock, give_up_after_seconds=300.0):
    """Takes every "exists" for its own."""
    return _tried(store, path, body, on_exists=True)


def trusting_silence(store, path, body, nonce, read_nonce, clock, give_up_after_seconds=300.0):
    """Takes no answer for a yes."""
    return _tried(store, path, body, on_exists=False, on_unknown=True)


def _tried(store, path, body, on_exists, on_unknown=False):
    for _ in range(20):
        try:
            store.create(path, body)
        except AlreadyExists:
            return on_exists
        except OutcomeUnknown:
            if on_unknown:
                return True
            continue
        except StorageUnavailable:
            continue
        return True
    raise StorageUnavailable("gave up")


def is_caught() -> bool:
    for seed in range(SEEDS_TO_CATCH):
        try:
            if World(seed).run().problems:
                return True
        except Exception:
            return True
    return False


@pytest.mark.parametrize("broken", [overwrite, trusting_exists, trusting_silence])
def test_a_broken_create_is_caught(monkeypatch: pytest.MonkeyPatch, broken) -> None:
    monkeypatch.setattr(chain, "create_once", broken)
    assert is_caught()


@pytest.mark.parametrize(
    "line, instead",
    [
        ("ours = create_once(", "ours = True or create_once("),
        ("results = results.from_row(tip.position)", KEEPS_ALL),
    ],
)
def test_the_commit_line_broken_in_its_source_is_caught(monkeypatch: pytest.MonkeyPatch, line, instead) -> None:
    source = inspect.getsource(chain.commit)
    assert "# The commit:" in source and source.count(line) == 1
    broken = types.ModuleType("broken")
    vars(broken).update(vars(chain))
    exec(source.replace(line, instead), vars(broken))
    monkeypatch.setattr(chain, "commit", broken.commit)
    assert is_caught()
