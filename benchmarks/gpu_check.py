"""Everything that needs a GPU, in one command: `python -m benchmarks.gpu_check [--rows N] [--repeat R]`.

Runs the tests marked `gpu`, then times `spotproof run` against `SentenceTransformer.encode` at bf16 and fp16. Without a
CUDA device it says so in one line and exits 0. Exits 1 if a test fails or ours is the slower of the two.
"""

import argparse
import subprocess
import sys
from typing import Any

from rich.console import Console
from rich.table import Table


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        print("no CUDA device on this machine: GPU checks not run")
        return 0
    tests = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "gpu"], check=False).returncode
    results = [_measure(precision, args.rows, args.repeat) for precision in ("bf16", "fp16")]
    _show(torch.cuda.get_device_name(), results)
    slower = any(result["of_encode"] < 1 for result in results)
    return 1 if tests or slower else 0


def _measure(precision: str, rows: int, repeat: int) -> dict[str, Any]:
    from benchmarks.embedding import measure

    return {"precision": precision, **measure(rows, repeat, {"device": "cuda", "precision": precision})}


def _show(device: str, results: list[dict[str, Any]]) -> None:
    table = Table(title=f"{results[0]['rows']:,} rows on {device}: rows a second")
    for name in ("precision", "bare loop", "spotproof", "encode(32)", "spotproof / bare", "spotproof / encode"):
        table.add_column(name, justify="right")
    for result in results:
        speed = result["rows_per_second"]
        cells = [f"{speed[name]:,.0f}" for name in ("bare", "spotproof", "encode")]
        table.add_row(result["precision"], *cells, f"{result['of_bare']:.3f}", f"{result['of_encode']:.3f}")
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
