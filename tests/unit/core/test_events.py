"""Every event kind survives its journey through the log."""

import json
from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spotproof.core.events import EVENT_FORMAT, KINDS, Event, Recorded, from_json, to_json

_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(),
    int: st.integers(-(2**62), 2**62),
    float: st.floats(allow_nan=False, allow_infinity=False),
    list[list[int]]: st.lists(st.lists(st.integers(), max_size=3), max_size=3),
    dict[str, int]: st.dictionaries(st.text(), st.integers(), max_size=3),
}


def events(kind: type[Event]) -> st.SearchStrategy[Event]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{f.name: _VALUES[hints[f.name]] for f in fields(kind)})


@given(
    event=st.one_of([events(kind) for kind in KINDS.values()]), at=st.integers(0, 2**40), worker=st.text(),
    attempt=st.integers(0),
)  # fmt: skip
def test_round_trip(event: Event, at: int, worker: str, attempt: int) -> None:
    recorded = Recorded(at / 1000, worker, attempt, event)
    line = json.dumps(to_json(recorded))
    assert from_json(json.loads(line)) == recorded


def test_every_kind_is_listed_under_its_name() -> None:
    assert set(Event.__subclasses__()) == set(KINDS.values())
    assert all(name == kind.kind and name for name, kind in KINDS.items())


def test_the_head_of_a_line_is_not_overwritten() -> None:
    for kind in KINDS.values():
        assert not {f.name for f in fields(kind)} & {"v", "kind", "at", "worker", "attempt"}


def test_unknown_kinds_and_formats_are_skipped() -> None:
    known = {"v": EVENT_FORMAT, "at": 1.0, "worker": "w", "attempt": 1, "kind": "worker.ready", "seconds": 1.0}
    assert from_json(known) is not None
    assert from_json({**known, "new_field": 1}) == from_json(known)
    assert from_json({**known, "kind": "worker.danced"}) is None
    assert from_json({**known, "v": EVENT_FORMAT + 1}) is None
    del known["seconds"]
    with pytest.raises(KeyError):
        from_json(known)
