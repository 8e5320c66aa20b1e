"""docs/reference/settings.md is made of the settings themselves: `python -m tests.unit.test_settings_reference`."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from spotproof.batch.job import Job

PAGE = Path(__file__).parents[2] / "docs/reference/settings.md"
HEAD = """# Settings

Made of `src/spotproof/batch/job.py`. The same names hold in the job file, in Python (`sp.Job`, `sp.Input`, `sp.Embed`,
`sp.Commit`, `sp.Errors`), in the environment (`SPOTPROOF_COMMIT__SECONDS=10`) and for `spotproof run --set
commit.seconds=10`. A later one of these wins over an earlier one. Unknown names are refused.

| setting | default | meaning |
|---|---|---|
"""


def rows(model: type[BaseModel], prefix: str = "") -> list[str]:
    found: list[str] = []
    for name, field in model.model_fields.items():
        inner = nested(field)
        if inner is not None:
            found += rows(inner, f"{prefix}{name}.")
        else:
            found.append(f"| `{prefix}{name}` | {default(field)} | {field.description or MEANINGS[name]} |")
    return found


MEANINGS = {"name": "Of the job, for people."}


def nested(field: FieldInfo) -> type[BaseModel] | None:
    kinds: list[Any] = [field.annotation, *getattr(field.annotation, "__args__", ())]
    return next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value in (None, "", []) else f"`{value}`"


def page() -> str:
    return HEAD + "\n".join(rows(Job)) + "\n"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == page(), "write it again: python -m tests.unit.test_settings_reference"


if __name__ == "__main__":
    PAGE.write_text(page())
