"""What the model runs on, in which precision, and how it says that memory ran out."""

from typing import Any

from spotproof.batch.job import Embed
from spotproof.core.errors import ConfigError

_OUT_OF_MEMORY = (
    "out of memory", "defaultcpuallocator", "can't allocate memory", "cannot allocate memory",
    "failed to allocate memory", "bad_alloc", "bad allocation", "status_alloc_failed",
)  # fmt: skip
_TOKENS = {"cuda": 65_536, "mps": 16_384, "cpu": 2_048}  # in one forward pass, padding counted
# Rows a call, for a model up to so many parameters; fewer for a larger one. A notice waits for the call in hand, so
# on its device a call should take a few seconds at most.
_ROWS = {"cuda": (8_192, 400e6), "mps": (2_048, 100e6), "cpu": (512, 25e6)}
_FEWEST_ROWS = 32


def choose_device(setting: str) -> str:
    """`setting`, or for `auto` the best there is. Raises `ConfigError` for a device this machine does not have."""
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if setting == "auto":
        return "cuda" if cuda else "mps" if mps else "cpu"
    try:
        kind, index = torch.device(setting).type, torch.device(setting).index or 0
    except RuntimeError as error:
        raise ConfigError(f"embed.device is {setting!r}; say auto, cpu, cuda, cuda:1 or mps") from error
    there = {"cuda": cuda and index < torch.cuda.device_count(), "mps": mps, "cpu": True}
    if not there.get(kind, False):
        raise ConfigError(f"embed.device is {setting!r}, which torch does not see on this machine; say auto or cpu")
    return setting


def choose_precision(settings: Embed, device: str) -> str:
    """fp32, bf16 or fp16. `auto` goes below fp32 on CUDA only. Raises `ConfigError` for ONNX below fp32."""
    if settings.backend == "onnx":
        if settings.precision not in ("auto", "fp32"):
            raise ConfigError(f"embed.precision is {settings.precision}; the onnx backend runs fp32 only")
        return "fp32"
    if settings.precision != "auto":
        return settings.precision
    if kind_of(device) != "cuda":
        return "fp32"
    import torch

    return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"


def kind_of(device: str) -> str:
    """`cuda` of `cuda:1`."""
    return device.partition(":")[0]


def default_tokens(device: str) -> int:
    """Padded tokens in one forward pass."""
    return _TOKENS.get(kind_of(device), _TOKENS["cpu"])


def default_rows(device: str, parameters: int) -> int:
    """Rows tokenised, packed and committed together, for a model with so many parameters."""
    rows, natural = _ROWS.get(kind_of(device), _ROWS["cpu"])
    return max(_FEWEST_ROWS, min(rows, int(rows * natural / max(1, parameters))))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a smaller batch may help: MemoryError, torch's own type, or the words runtimes use for it."""
    if isinstance(error, MemoryError):
        return True
    kind = next((c for c in type(error).__mro__ if c.__name__ == "OutOfMemoryError"), None)
    return kind is not None or (isinstance(error, Exception) and any(w in str(error).lower() for w in _OUT_OF_MEMORY))


def free_cached_memory(device: str) -> None:
    """Hand back what a failed batch left in the allocator's cache."""
    import torch

    cache: Any = {"cuda": torch.cuda, "mps": torch.mps}.get(kind_of(device))
    if cache is not None:
        cache.empty_cache()
