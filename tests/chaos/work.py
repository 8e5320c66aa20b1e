"""What the jobs of these tests compute: known for every row, with rows that vanish, multiply and raise."""

import time

import numpy as np

import spotproof as sp

BATCH_ROWS = 100
SECONDS_PER_BATCH = 0.02


def copies(number: int) -> int:
    """Output rows of input row `number`."""
    return 0 if number % 7 == 0 else 2 if number % 5 == 0 else 1


def is_refused(number: int) -> bool:
    """Whether the function raises for this row."""
    return number % 997 == 13


@sp.batch_function(batch_rows=BATCH_ROWS)
def compute(batch):
    numbers = batch["number"]
    bad = [int(number) for number in numbers if is_refused(int(number))]
    if bad:
        raise ValueError(f"row {bad[0]} is refused on purpose")
    time.sleep(SECONDS_PER_BATCH * len(numbers) / BATCH_ROWS)
    origin = np.repeat(np.arange(len(numbers)), [copies(int(number)) for number in numbers])
    return {"square": numbers[origin] ** 2, "origin": origin}
