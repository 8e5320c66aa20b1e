"""From a setting to the coordinator behind it."""

from pathlib import Path
from typing import Literal

from spotproof.coordination.absent import NoCoordinator
from spotproof.coordination.lease import Coordinator
from spotproof.coordination.objects import ObjectCoordinator
from spotproof.coordination.sqlite import SqliteCoordinator
from spotproof.core.clock import Clock
from spotproof.core.errors import ConfigError
from spotproof.core.ids import ProcessIdentity
from spotproof.storage.store import Store

Kind = Literal["auto", "sqlite", "objects", "none"]


def open_coordinator(
    kind: Kind, store: Store, ttl_seconds: float, clock: Clock, identity: ProcessIdentity
) -> Coordinator:
    """`auto` is SQLite in a local root and lease objects elsewhere. Raises `ConfigError` for SQLite elsewhere."""
    if kind == "none":
        return NoCoordinator()
    if kind == "objects" or (kind == "auto" and not store.is_local):
        return ObjectCoordinator(store, ttl_seconds, clock, identity)
    if not store.is_local:
        raise ConfigError(
            f"coordination: sqlite needs a root in a folder of this machine, not {store.uri}; use objects"
        )
    return SqliteCoordinator(Path(store.uri) / "coordination.sqlite", ttl_seconds, clock, identity)
