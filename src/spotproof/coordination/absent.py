"""No coordination: everybody may work on everything. The part protocol alone keeps the rows right."""

from collections.abc import Iterable

from spotproof.coordination.lease import Lease, LeaseState


class NoCoordinator:
    """Grants every claim, at epoch 0; each owner begins elsewhere, so that two rarely meet."""

    def acquire(self, shards: Iterable[int], owner: str) -> Lease | None:
        """See `Coordinator.acquire`."""
        candidates = list(shards)
        if not candidates:
            return None
        return Lease(candidates[sum(owner.encode()) % len(candidates)], owner, 0)

    def renew(self, lease: Lease, position: int) -> bool:  # noqa: ARG002
        """Always held."""
        return True

    def release(self, lease: Lease) -> None:
        """Nothing is held."""

    def states(self) -> list[LeaseState]:
        """None."""
        return []

    def close(self) -> None:
        """Nothing is open."""
