"""What a finished job left behind, for the program that ran it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spotproof.batch import layout
from spotproof.batch.finish import Totals
from spotproof.batch.output_schema import read_schema
from spotproof.batch.retried import read_rounds
from spotproof.storage.arrow import arrow_files
from spotproof.storage.store import Store
from spotproof.storage.uri import open_store

if TYPE_CHECKING:
    import pyarrow.dataset


@dataclass(frozen=True)
class Result:
    """`rows` are input rows, `failed` those of them that are refused still, `parts` the files of the output."""

    root: str
    rows: int
    failed: int
    parts: int
    rows_out: int

    @classmethod
    def of(cls, store: Store, totals: Totals) -> "Result":
        """The result of a job that came to `totals`, retries included."""
        rounds = [one for tried in read_rounds(store).values() for one in tried] if totals.rows_failed else []
        return cls(
            root=store.uri,
            rows=totals.rows_in,
            failed=totals.rows_failed - sum(len(one.resolved) for one in rounds),
            parts=totals.parts,
            rows_out=totals.rows_out + sum(one.rows_out for one in rounds),
        )

    def dataset(self) -> "pyarrow.dataset.Dataset":
        """All output rows, in no promised order: carried columns first, then what the function gave."""
        return open_dataset(open_store(self.root))


def open_dataset(store: Store) -> "pyarrow.dataset.Dataset":
    """The output of the job in `store` as a pyarrow dataset. Raises `NotFound` before anything was computed."""
    import pyarrow.dataset

    paths = sorted(info.path for folder in (layout.PARTS, layout.RETRIED) for info in store.list(folder))
    filesystem, files = arrow_files(store.uri, paths)
    return pyarrow.dataset.dataset(files, schema=read_schema(store), format="parquet", filesystem=filesystem)
