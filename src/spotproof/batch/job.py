"""What a user asks for: the job, in the names of nightly.yaml and of Python alike."""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from spotproof.batch.function import FunctionReference
from spotproof.batch.inputs.slices import Format


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Input(_Settings):
    """Where the rows come from."""

    path: str | list[str] = Field(
        description="A file, folder or glob: local, s3://, gs:// or az://; or a list of them."
    )
    carry: list[str] = Field(
        default_factory=list,
        description="Columns to copy to the output. Without any, `file` and `row` identify each output row.",
    )
    columns: list[str] | None = Field(
        default=None,
        description="Columns the function is given. Default: every column (embed: its text column).",
    )
    format: Literal["auto", "parquet", "jsonl", "csv", "text"] = Field(
        default="auto",
        description="auto goes by the file name (.parquet, .jsonl, .csv, .txt; also .gz and .zst).",
    )
    delimiter: str = Field(
        default=",", min_length=1, max_length=1, description="Between CSV fields. .tsv files use a tab."
    )
    quoted_newlines: bool = Field(
        default=False, description="CSV fields may hold line breaks; such large files are then not split."
    )
    shard_bytes: int | None = Field(
        default=None, ge=1, description="Aim for the size of a shard. Default: 64 MiB, less for small inputs."
    )
    max_row_bytes: int = Field(default=64 * 2**20, ge=1, description="A longer line is refused, not read into memory.")

    def __init__(self, path: str | list[str] | None = None, **more: Any) -> None:
        super().__init__(**({"path": path} if path is not None else {}), **more)

    @property
    def paths(self) -> list[str]:
        """The path setting as a list."""
        return [self.path] if isinstance(self.path, str) else list(self.path)

    def format_of(self, uri: str) -> Format | None:
        """The format of one file by the setting or its name; None where the name does not tell."""
        if self.format != "auto":
            return self.format
        name = uri.lower().removesuffix(".gz").removesuffix(".zst").removesuffix(".zstd")
        kinds: dict[str, Format] = {
            ".parquet": "parquet", ".pq": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
            ".csv": "csv", ".tsv": "csv", ".txt": "text", ".text": "text",
        }  # fmt: skip
        return next((kind for ending, kind in kinds.items() if name.endswith(ending)), None)


class Embed(_Settings):
    """Texts to vectors with a sentence-transformers model."""

    model: str = Field(
        description="A local folder, a model carried by a PyPI package (all-MiniLM-L6-v2), or a hub name."
    )
    text_column: str = Field(default="text", description="The column that holds the texts.")
    output_column: str = Field(default="embedding", description="The column that will hold the vectors.")
    dtype: Literal["float32", "float16"] = Field(default="float32", description="Of the vectors written.")
    normalize: bool = Field(
        default=False, description="Scale every vector to length 1 (in addition to the model's own)."
    )
    prompt: str = Field(default="", description="Put before every text, as some models want.")
    backend: Literal["torch", "onnx"] = Field(default="torch", description="What runs the model.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        default="auto", description="auto: bf16 or fp16 on a GPU that has it, fp32 elsewhere."
    )
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, mps.")
    batch_rows: int | None = Field(
        default=None, ge=1, description="Rows packed and committed together. Default: by device."
    )
    batch_tokens: int | None = Field(default=None, ge=1, description="Tokens in one forward pass. Default: by device.")

    def __init__(self, model: str | None = None, **more: Any) -> None:
        super().__init__(**({"model": model} if model is not None else {}), **more)


class Commit(_Settings):
    """How much work an interruption without notice may cost. A part is committed at whichever comes first."""

    seconds: float = Field(default=30.0, gt=0, description="Commit at least this often while rows are being computed.")
    rows: int = Field(default=50_000, ge=1, description="Commit when this many input rows are waiting.")


class Errors(_Settings):
    """What rows that cannot be computed may cost. Interruptions never count here."""

    rows: int = Field(default=100, ge=0, description="So many refused rows never stop a job.")
    fraction: float = Field(
        default=0.01, ge=0, le=1, description="Above `rows`, stop when more than this share is refused."
    )
    max_crashes: int = Field(
        default=3,
        ge=1,
        description="A batch that killed its process this often is taken apart to find the row.",
    )


class Job(_Settings):
    """A batch job: read rows, hand them to a function, write what it gives, each input row exactly once."""

    name: str = Field(default="job", min_length=1, max_length=200)
    root: str = Field(description="The job's folder: s3://, gs://, az:// or a local path. All progress is in it.")
    input: Input
    embed: Embed | None = None
    function: str | Callable[..., Any] | None = Field(default=None, description="module:name of a function or class.")
    workers: int | Literal["auto"] = Field(
        default="auto", description="Worker processes. auto: one a GPU, else by cores."
    )
    commit: Commit = Field(default_factory=Commit)
    errors: Errors = Field(default_factory=Errors)
    coordination: Literal["auto", "sqlite", "objects", "none"] = Field(
        default="auto",
        description="Who works on what. auto: SQLite for a local root, lease objects elsewhere.",
    )
    lease_seconds: float = Field(
        default=30.0, gt=0, description="A silent worker's shard is taken over after this long."
    )
    grace_seconds: float = Field(default=25.0, gt=0, description="Time between SIGTERM and SIGKILL on this platform.")

    @field_validator("workers")
    @classmethod
    def _some_workers(cls, value: int | str) -> int | str:
        if isinstance(value, int) and value < 1:
            raise ValueError("must be 1 or more, or auto")
        return value

    @model_validator(mode="after")
    def _one_function(self) -> "Job":
        if (self.embed is None) == (self.function is None):
            raise ValueError("give exactly one of `embed` and `function`")
        return self

    def portable(self) -> dict[str, Any]:
        """The settings as plain JSON; a function as `module:name`."""
        settings = self.model_dump(mode="json", exclude={"function"})
        if self.function is not None:
            reference = FunctionReference.of(self.function)
            settings["function"] = f"{reference.module}:{reference.qualname}"
        return settings
