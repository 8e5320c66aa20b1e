"""Rows suspected of killing the process: found by what a dead worker had in hand, narrowed until one row is left.

A batch in hand at `max_crashes` deaths is taken apart: what precedes it is committed, then each half is computed by
itself, so that the next death tells which half holds the poison. A row that was alone in hand at two deaths, and at
`max_crashes` in all, is refused. Two, because an operator's `kill -9` looks the same once; not twice at one row.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

DEATHS_ALONE = 2


@dataclass(frozen=True)
class Suspect:
    """Rows [start, stop) of a shard that were in hand at `deaths` deaths, `alone` of them as a single row."""

    shard: int
    start: int
    stop: int
    deaths: int
    alone: int = 0


def after_death(suspects: Sequence[Suspect], ranges: Iterable[tuple[int, int, int]]) -> list[Suspect]:
    """The suspects after one more death with these (shard, start, stop) in hand.

    A range that overlaps a suspect narrows it to what both hold: the poison was in hand both times.
    """
    result = list(suspects)
    in_hand = list(ranges)
    for shard, start, stop in in_hand:
        # One row of several that were read ahead is not alone: any of them may be why.
        alone = 1 if len(in_hand) == 1 and stop - start == 1 else 0
        for i, known in enumerate(result):
            if known.shard == shard and known.start < stop and start < known.stop:
                low, high = max(known.start, start), min(known.stop, stop)
                was_alone = known.alone if known.stop - known.start == 1 else 0
                result[i] = Suspect(shard, low, high, known.deaths + 1, was_alone + alone)
                break
        else:
            result.append(Suspect(shard, start, stop, 1, alone))
    return result


@dataclass(frozen=True)
class Step:
    """Compute rows [start, stop) as one call; `commit_first` what came before; or refuse them unseen."""

    start: int
    stop: int
    commit_first: bool = False
    refuse: bool = False


def steps(start: int, stop: int, suspects: Sequence[Suspect], max_crashes: int) -> list[Step]:
    """How to go through rows [start, stop) of a shard, given its suspects: whole, or taken apart around them."""
    plan: list[Step] = []
    at = start
    for suspect in sorted(suspects, key=lambda s: s.start):
        low, high = max(suspect.start, at), min(suspect.stop, stop)
        if suspect.deaths < max_crashes or low >= high:
            continue
        if at < low:
            plan.append(Step(at, low))
        if high - low == 1:
            plan.append(Step(low, high, commit_first=True, refuse=suspect.alone >= DEATHS_ALONE))
        else:
            middle = (low + high) // 2
            plan.append(Step(low, middle, commit_first=True))
            plan.append(Step(middle, high, commit_first=True))
        at = high
    if at < stop:
        plan.append(Step(at, stop, commit_first=at > start))
    return plan
