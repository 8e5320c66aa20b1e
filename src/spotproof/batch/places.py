"""Where in the input a shard's row is, for people."""

from spotproof.batch.inputs.slices import Shard
from spotproof.batch.record import Plan


def place_of(plan: Plan, shard: Shard, row: int) -> tuple[str, int]:
    """(file, row in it, from 0) of row `row` of a shard; `file#BYTE` and the row from that byte on in a split file.

    Lines of many small files in one shard cannot be told apart by number: then the first file and the shard's row.
    """
    at = row
    for piece in shard.slices:
        if piece.unit == "rows":
            if at < piece.stop - piece.start:
                return plan.files[piece.file].uri, piece.start + at
            at -= piece.stop - piece.start
        elif len(shard.slices) == 1:
            uri = plan.files[piece.file].uri
            return (f"{uri}#{piece.start}" if piece.start else uri), at
        else:
            others = len(shard.slices) - 1
            return f"{plan.files[piece.file].uri} (or one of the {others} files after it)", row
    return "?", row
