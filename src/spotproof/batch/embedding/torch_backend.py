"""The model on torch: its sentence-transformers modules, run on features that are ready."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from spotproof.batch.embedding.devices import free_cached_memory

Vectors = npt.NDArray[np.float32]
_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Backend(Protocol):
    """Runs packed batches. `forward` may return before the device is done; `gather` waits."""

    def forward(self, features: Mapping[str, Any]) -> Any:
        """One batch; what it returns goes to `gather`. Raises whatever the runtime does when memory runs out."""
        ...

    def gather(self, outputs: Sequence[Any]) -> Vectors:
        """The vectors of all batches, one below the other."""
        ...

    def free(self) -> None:
        """Hand back memory that a failed batch left cached."""
        ...


class TorchBackend:
    """All modules of `model` on `device`. Below fp32 only the transformer is; what follows it stays in fp32."""

    def __init__(self, model: Any, device: str, precision: str) -> None:
        model.eval()
        self._modules: list[Any] = list(model.children())
        self._device = device
        self._truncate_dim: int | None = getattr(model, "truncate_dim", None)
        if precision in _HALVES:
            self._modules[0].to(_HALVES[precision])

    def forward(self, features: Mapping[str, Any]) -> torch.Tensor:
        with torch.inference_mode():
            given = {name: self._to_device(value) for name, value in features.items()}
            return run_modules(self._modules, given, self._truncate_dim)

    def gather(self, outputs: Sequence[torch.Tensor]) -> Vectors:
        with torch.inference_mode():
            return torch.cat(list(outputs)).cpu().numpy()

    def free(self) -> None:
        free_cached_memory(self._device)

    def _to_device(self, value: Any) -> Any:
        tensor = torch.from_numpy(value) if isinstance(value, np.ndarray) else value
        return tensor.to(self._device, non_blocking=True) if isinstance(tensor, torch.Tensor) else tensor


def run_modules(modules: Sequence[Any], features: dict[str, Any], truncate_dim: int | None) -> torch.Tensor:
    """The sentence embeddings in fp32, after all `modules`."""
    for at, module in enumerate(modules):
        features = module(features)
        # Pooling adds up in fp32 by itself; any other module after the transformer has fp32 weights.
        names = ["sentence_embedding"] if _pools(modules, at + 1) else ["sentence_embedding", "token_embeddings"]
        for name in names:
            value = features.get(name)
            if isinstance(value, torch.Tensor) and value.dtype in _HALVES.values():
                features[name] = value.float()
    return features["sentence_embedding"][:, :truncate_dim].float()


def _pools(modules: Sequence[Any], at: int) -> bool:
    return at < len(modules) and type(modules[at]).__name__ == "Pooling"
