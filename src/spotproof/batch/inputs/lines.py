"""Lines of a file, plain or compressed, by slices that are cut anywhere: a line belongs to the slice it begins in."""

import gzip
import io
import zlib
from collections.abc import Iterator
from typing import BinaryIO, cast

import pyarrow as pa

from spotproof.batch.inputs.remote_files import is_remote, open_remote
from spotproof.batch.inputs.slices import InputFile
from spotproof.core.errors import InputError

_CHUNK_BYTES = 2**20
_DECOMPRESSED_BYTES = 64 * 2**10
_BOM = b"\xef\xbb\xbf"


class TooLong:
    """Stands for a line that is longer than allowed; it was passed over, never held."""


TOO_LONG = TooLong()
Line = bytes | TooLong


def is_compressed(uri: str) -> bool:
    """By its name."""
    return uri.lower().endswith((".gz", ".zst", ".zstd"))


def open_plain(file: InputFile) -> BinaryIO:
    """The file's bytes as stored. Raises `InputError`."""
    if is_remote(file.uri):
        return open_remote(file.uri, file.size)
    try:
        return open(file.uri, "rb")  # noqa: PTH123 (the caller closes it)
    except OSError as error:
        raise InputError(f"{file.uri}: cannot be read: {error.strerror}") from error


def read_lines(file: InputFile, start: int, stop: int, line_bytes_max: int) -> Iterator[Line]:
    """The lines that begin in bytes [start, stop), without their ends; a compressed file is read whole.

    Ends are \\n and \\r\\n. Raises `InputError` where the file is damaged, after the lines before the damage.
    """
    with open_plain(file) as stored:
        if is_compressed(file.uri):
            yield from _whole(_decompressed(file, stored), line_bytes_max)
        else:
            yield from _slice(stored, start, stop, line_bytes_max)


def _whole(chunks: Iterator[bytes], line_bytes_max: int) -> Iterator[Line]:
    for _, line in _split(chunks, 0, line_bytes_max, until=None):
        yield line


def _slice(stored: BinaryIO, start: int, stop: int, line_bytes_max: int) -> Iterator[Line]:
    # From one byte before: if that is a line end, the slice's first line begins exactly at its start.
    at = max(0, start - 1)
    stored.seek(at)
    lines = _split(_chunks(stored), at, line_bytes_max, until=stop)
    for begins, line in lines:
        if begins >= start:
            yield line


def _split(chunks: Iterator[bytes], at: int, line_bytes_max: int, until: int | None) -> Iterator[tuple[int, Line]]:
    """(byte at which it begins, line) for each line that begins before `until`."""
    held, held_bytes, begins, is_first = [b""], 0, at, at == 0
    for chunk in chunks:
        *ended, rest = chunk.split(b"\n")
        for piece in ended:
            if until is not None and begins >= until:
                return
            size = held_bytes + len(piece)
            line = TOO_LONG if size > line_bytes_max else _cleaned(b"".join(held) + piece, is_first)
            yield begins, line
            begins += size + 1
            held, held_bytes, is_first = [], 0, False
        held_bytes += len(rest)
        if held_bytes <= line_bytes_max:
            held.append(rest)
        else:
            held = []
        if until is not None and begins >= until:
            return
    if held_bytes:
        yield begins, TOO_LONG if held_bytes > line_bytes_max else _cleaned(b"".join(held), is_first)


def _cleaned(line: bytes, is_first: bool) -> bytes:
    if is_first:
        line = line.removeprefix(_BOM)
    return line[:-1] if line.endswith(b"\r") else line


def _chunks(stored: BinaryIO) -> Iterator[bytes]:
    while chunk := stored.read(_CHUNK_BYTES):
        yield chunk


def _decompressed(file: InputFile, stored: BinaryIO) -> Iterator[bytes]:
    if not file.size:
        return
    is_gzip = file.uri.lower().endswith(".gz")
    # read1 and small reads: what a damaged file gave before the damage must not be lost with the error.
    read = gzip.GzipFile(fileobj=stored).read1 if is_gzip else _zstd(stored).read
    try:
        while chunk := read(_DECOMPRESSED_BYTES):
            yield bytes(chunk)
    except (EOFError, OSError, zlib.error, pa.ArrowException) as error:
        raise InputError(
            f"{file.uri}: is truncated or damaged ({error}): the rows before are kept; replace the file, "
            "and use a new root"
        ) from error


def _zstd(stored: BinaryIO) -> io.BufferedIOBase:
    return cast(io.BufferedIOBase, pa.CompressedInputStream(pa.PythonFile(stored, mode="r"), "zstd"))
