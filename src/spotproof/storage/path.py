"""What a path inside a store may look like, checked in one place for every store."""

from spotproof.core.errors import StorageError


def check_path(path: str) -> str:
    """Return `path` if it is a plain `/`-separated name that stays below the root; raise StorageError if not."""
    # Control characters are legal in some stores, refused by others, and never meant.
    if any(ord(letter) < 32 or letter == "\x7f" for letter in path):
        raise StorageError(f"the path {path!r} holds a control character: choose another name")
    if "\\" in path or any(part in ("", ".", "..") for part in path.split("/")):
        raise StorageError(f"the path {path!r} is not a plain name below the root: use names joined by single /")
    return path


def check_prefix(prefix: str) -> str:
    """As `check_path`, but the empty prefix stands for the whole store; a closing / is dropped."""
    plain = prefix.removesuffix("/")
    return check_path(plain) if plain else ""
