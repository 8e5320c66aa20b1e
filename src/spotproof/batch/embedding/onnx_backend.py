"""The transformer on ONNX Runtime; what follows it (pooling and so on) stays with sentence-transformers."""

import os
import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from spotproof.batch.embedding.devices import kind_of
from spotproof.batch.embedding.model_files import find_model, model_fingerprint
from spotproof.batch.embedding.torch_backend import Vectors, run_modules
from spotproof.core.errors import ConfigError

_OUTPUTS = ("last_hidden_state", "token_embeddings")
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_OPSET = 17


class OnnxBackend:
    """One session on the exported transformer of `model`, then the model's other modules on the CPU."""

    def __init__(self, session: Any, model: Any) -> None:
        self._session = session
        self._inputs = [one.name for one in session.get_inputs()]
        outputs = [one.name for one in session.get_outputs()]
        self._output = next((name for name in _OUTPUTS if name in outputs), None)
        if self._output is None or not set(self._inputs) <= set(_INPUTS):
            raise ConfigError(
                f"the ONNX file takes {self._inputs} and gives {outputs}; it must take some of {list(_INPUTS)} "
                f"and give one of {list(_OUTPUTS)}. Use backend: torch"
            )
        modules: list[Any] = list(model.eval().cpu().children())[1:]
        self._modules = modules
        self._truncate_dim: int | None = getattr(model, "truncate_dim", None)

    @classmethod
    def of(cls, name: str, model: Any, device: str, threads: int | None) -> "OnnxBackend":
        """Of the model's own ONNX file, or of one exported once into the user's cache. Raises `ConfigError`."""
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError(f"the onnx backend needs: pip install 'spotproof[onnx]' ({error})") from error
        options: Any = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
        wanted = ["CUDAExecutionProvider"] if kind_of(device) == "cuda" else []
        there: list[str] = onnxruntime.get_available_providers()
        providers = [one for one in wanted if one in there] + ["CPUExecutionProvider"]
        path = onnx_file(find_model(name), model)
        return cls(onnxruntime.InferenceSession(str(path), options, providers=providers), model)

    def forward(self, features: Mapping[str, Any]) -> torch.Tensor:
        ids = np.asarray(features["input_ids"])
        given = {name: np.asarray(features[name]) if name in features else np.zeros_like(ids) for name in self._inputs}
        (tokens,) = self._session.run([self._output], given)
        with torch.inference_mode():
            mask = torch.from_numpy(np.asarray(features["attention_mask"]))
            made = {**features, "attention_mask": mask, "token_embeddings": torch.from_numpy(tokens)}
            return run_modules(self._modules, made, self._truncate_dim)

    def gather(self, outputs: Sequence[torch.Tensor]) -> Vectors:
        return torch.cat(list(outputs)).numpy()

    def free(self) -> None:
        """ONNX Runtime keeps its arena; there is nothing to hand back."""


def onnx_file(where: Path | str, model: Any) -> Path:
    """`onnx/model.onnx` of the model's folder, else an export in the cache, made now if it is not there."""
    if isinstance(where, Path) and (where / "onnx" / "model.onnx").is_file():
        return where / "onnx" / "model.onnx"
    key = f"{model_fingerprint(where).replace(':', '-')}-opset{_OPSET}"
    folder = _cache() / key
    if not (folder / "model.onnx").is_file():
        _export_into(folder, model)
    return folder / "model.onnx"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "spotproof" / "onnx"


def _export_into(folder: Path, model: Any) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".export-", dir=folder.parent))
    try:
        _export(draft / "model.onnx", model)
        try:
            draft.rename(folder)  # all of it or nothing; large models have their weights in files beside
        except OSError:
            if not (folder / "model.onnx").is_file():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class _HiddenState(torch.nn.Module):
    def __init__(self, model: Any, names: Sequence[str]) -> None:
        super().__init__()
        self._model, self._names = model, names

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return self._model(**dict(zip(self._names, values, strict=True)), return_dict=True).last_hidden_state


def _export(path: Path, model: Any) -> None:
    first = model[0]
    text: Any = getattr(first, "modality_config", {}).get("text", {})
    if text.get("method") != "forward" or text.get("method_output_name") != "last_hidden_state":
        raise ConfigError("this model's first module is not a plain text transformer; use backend: torch")
    transformer = first.auto_model.cpu().eval()
    # The fused attention does not survive the export; the plain one gives the same numbers.
    transformer.set_attn_implementation("eager")
    names = [name for name in _INPUTS if name in first.tokenizer.model_input_names]
    # Two rows of unequal length: nothing about the example may look like a constant.
    ids = torch.full((2, 9), int(first.tokenizer.unk_token_id or 1))
    mask = torch.ones_like(ids)
    mask[1, 5:] = 0
    values = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
    axes = {name: {0: "rows", 1: "tokens"} for name in [*names, _OUTPUTS[0]]}
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracing exporter is old and says so; the new one needs onnxscript
        torch.onnx.export(
            _HiddenState(transformer, names), tuple(values[name] for name in names), str(path),
            input_names=names, output_names=[_OUTPUTS[0]], dynamic_axes=axes, opset_version=_OPSET, dynamo=False,
        )  # fmt: skip
