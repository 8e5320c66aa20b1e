"""Whatever is lost, refused or late: of all writers of a name exactly one believes that it won, and it did."""

from hypothesis import given, settings
from hypothesis import strategies as st

from spotproof.core.clock import ManualClock
from spotproof.core.errors import AlreadyExists, OutcomeUnknown, StorageUnavailable
from spotproof.storage.create import create_once
from spotproof.storage.memory import MemoryStore

FAULTS = ["none", "lost before", "lost after", "409 before", "exists after", "away", "late"]


class Faulty(MemoryStore):
    """Answers creates as a network would, by a script; what is `late` lands at the next call of anyone."""

    def __init__(self, script: list[str]) -> None:
        super().__init__()
        self._script = script
        self._late: list[tuple[str, bytes]] = []

    def create(self, path: str, body: bytes) -> None:
        late, self._late = self._late, []
        for one in late:
            self._land(*one)
        fault = self._script.pop(0) if self._script else "none"
        if fault == "lost before":
            raise OutcomeUnknown("reset")
        if fault == "409 before":
            raise AlreadyExists("conflict")
        if fault == "away":
            raise StorageUnavailable("503")
        if fault == "late":
            self._late.append((path, body))
            raise OutcomeUnknown("time-out")
        super().create(path, body)
        if fault == "lost after":
            raise OutcomeUnknown("reset")
        if fault == "exists after":
            raise AlreadyExists("of the retry")

    def _land(self, path: str, body: bytes) -> None:
        try:
            super().create(path, body)
        except AlreadyExists:
            return


@settings(max_examples=500, deadline=None)
@given(script=st.lists(st.sampled_from(FAULTS), max_size=12), writers=st.integers(1, 4))
def test_exactly_one_writer_wins(script: list[str], writers: int) -> None:
    store, clock = Faulty(script), ManualClock()
    won = [
        nonce
        for nonce in (f"nonce {number}" for number in range(writers))
        if create_once(store, "name", nonce.encode(), nonce, lambda: store.read("name").decode(), clock)
    ]
    assert won == [store.read("name").decode()]
