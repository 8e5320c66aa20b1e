"""Leases: a worker's temporary claim on a shard. They save double work; no row depends on them.

Flushing them all at any moment costs only that some rows are computed twice; the part protocol still writes each once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Lease:
    """A claim on one shard. `epoch` grows by one at every acquisition of the shard (fencing)."""

    shard: int
    owner: str
    epoch: int


@dataclass(frozen=True)
class LeaseState:
    """A lease as others see it. `alive`: True, False, or None where it cannot be known."""

    lease: Lease
    expires_at: float
    position: int
    alive: bool | None


class Coordinator(Protocol):
    """Who works on which shard. Every method may raise `CoordinationError`: go on without leases."""

    def acquire(self, shards: Iterable[int], owner: str) -> Lease | None:
        """Claim the first of `shards` that is free, expired, or held by a process known dead; None if none is."""
        ...

    def renew(self, lease: Lease, position: int) -> bool:
        """Heartbeat, with the row reached. False: the lease is lost, another worker may have the shard."""
        ...

    def release(self, lease: Lease) -> None:
        """Give the shard back; silent if the lease is no longer held."""
        ...

    def states(self) -> list[LeaseState]:
        """Every lease on record, for `status` and for people."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
