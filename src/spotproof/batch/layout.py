"""The names of things below a job's root. Each holds only what must be known before it is written."""

JOB = "job.json"
SCHEMA = "schema.json"
SUCCESS = "_SUCCESS"
PARTS = "parts"
FAILED = "failed"
RETRIED = "retried"
COMPACTED = "compacted"


def shard_parts(shard: int) -> str:
    """The folder of one shard's parts."""
    return f"{PARTS}/{shard:05d}"


def part(shard: int, start: int) -> str:
    """The part of `shard` whose first input row is `start`."""
    return f"{shard_parts(shard)}/{start:012d}.parquet"


def failed(shard: int, nonce: str) -> str:
    """Refused rows of one commit; the part that names it makes it count."""
    return f"{FAILED}/{shard:05d}/{nonce}.parquet"


def retried(shard: int, start: int, round_number: int) -> str:
    """What a later try made of the refused rows of one part."""
    return f"{RETRIED}/{shard:05d}/{start:012d}.{round_number:03d}.parquet"


def parse_part(path: str) -> tuple[int, int] | None:
    """(shard, start) of a part's path; None for any other object."""
    pieces = path.split("/")
    if len(pieces) != 3 or pieces[0] != PARTS or not pieces[2].endswith(".parquet"):
        return None
    shard, start = pieces[1], pieces[2].removesuffix(".parquet")
    if not (shard.isdecimal() and start.isdecimal()) or path != part(int(shard), int(start)):
        return None
    return int(shard), int(start)
