"""Job files: every mistake is named with its place, and later sources win over earlier ones."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from spotproof.batch.job import Commit, Embed, Errors, Input, Job
from spotproof.batch.job_file import load_job, parse_flag
from spotproof.cli.init import TEMPLATE
from spotproof.core.errors import ConfigError

GOOD: dict[str, Any] = {"root": "./root", "input": {"path": "in/*.parquet"}, "function": "work:compute"}
SECTIONS: dict[str, type[BaseModel]] = {"input": Input, "embed": Embed, "commit": Commit, "errors": Errors}


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    return tmp_path / "nightly.yaml"


def load(path: Path, *, environment: dict[str, str] | None = None, flags: dict[str, Any] | None = None) -> Job:
    return load_job(path, environment or {}, flags or {})


def written(path: Path, **changes: Any) -> Path:
    path.write_text(yaml.safe_dump({**GOOD, **changes}))
    return path


def refusal(path: Path, **sources: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, **sources)
    message = str(caught.value)
    assert str(path) in message
    return message


def test_a_small_file_is_enough(job_file: Path) -> None:
    job = load(written(job_file))
    assert job.root == "./root"
    assert job.input.paths == ["in/*.parquet"]
    assert job.function == "work:compute"
    assert (job.commit.seconds, job.commit.rows, job.workers) == (30.0, 50_000, "auto")


@pytest.mark.parametrize(
    ("changes", "place", "meant"),
    [
        ({"rooot": "x"}, "rooot", "root"),
        ({"wokers": 3}, "wokers", "workers"),
        ({"comit": {"rows": 5}}, "comit", "commit"),
        ({"commit": {"second": 5}}, "commit.second", "seconds"),
        ({"errors": {"max_crash": 5}}, "errors.max_crash", "max_crashes"),
        ({"input": {"path": "x", "cary": ["id"]}}, "input.cary", "carry"),
        ({"function": None, "embed": {"model": "m", "text_colum": "t"}}, "embed.text_colum", "text_column"),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_name(
    job_file: Path, changes: dict[str, Any], place: str, meant: str
) -> None:
    message = refusal(written(job_file, **changes))
    assert f"{place}: there is no such setting; did you mean {meant!r}?" in message


def test_unknown_key_like_no_other_lists_what_there_is(job_file: Path) -> None:
    message = refusal(written(job_file, commit={"zzz": 5}))
    assert "commit.zzz: there is no such setting; known here: rows, seconds" in message


@pytest.mark.parametrize(
    ("changes", "place", "given"),
    [
        ({"workers": 0}, "workers", "0"),
        ({"workers": "many"}, "workers", "'many'"),
        ({"commit": {"seconds": "soon"}}, "commit.seconds", "'soon'"),
        ({"commit": {"seconds": 0}}, "commit.seconds", "0"),
        ({"commit": {"rows": 1.5}}, "commit.rows", "1.5"),
        ({"commit": 5}, "commit", "5"),
        ({"errors": {"fraction": 2}}, "errors.fraction", "2"),
        ({"input": {"path": "x", "format": "xml"}}, "input.format", "'xml'"),
        ({"input": {"path": "x", "carry": "id"}}, "input.carry", "'id'"),
        ({"input": {"path": "x", "delimiter": "||"}}, "input.delimiter", "'||'"),
        ({"root": ["a"]}, "root", "['a']"),
        ({"name": ""}, "name", "''"),
        ({"coordination": "zookeeper"}, "coordination", "'zookeeper'"),
    ],
)
def test_wrong_value_is_named_with_its_place(job_file: Path, changes: dict[str, Any], place: str, given: str) -> None:
    lines = refusal(written(job_file, **changes)).splitlines()[1:]
    assert lines
    for line in lines:
        assert line.startswith(f"  {place}: "), line
        assert line.endswith(f"(given: {given})"), line


def test_wrong_type_inside_a_list_is_named_with_its_number(job_file: Path) -> None:
    assert "  input.carry.1: " in refusal(written(job_file, input={"path": "x", "carry": ["id", 5]}))


@pytest.mark.parametrize("missing", ["root", "input"])
def test_what_is_needed_is_said(job_file: Path, missing: str) -> None:
    job_file.write_text(yaml.safe_dump({key: value for key, value in GOOD.items() if key != missing}))
    assert f"  {missing}: is needed" in refusal(job_file)


def test_input_needs_a_path(job_file: Path) -> None:
    assert "  input.path: is needed" in refusal(written(job_file, input={"carry": ["id"]}))


def test_one_thing_is_to_be_computed(job_file: Path) -> None:
    neither = refusal(written(job_file, function=None))
    both = refusal(written(job_file, embed={"model": "m"}))
    for message in (neither, both):
        assert "give exactly one of `embed` and `function`" in message


def test_all_mistakes_are_told_at_once(job_file: Path) -> None:
    message = refusal(written(job_file, wokers=3, commit={"seconds": -1}, errors={"rows": "x"}))
    assert [line.split(":")[0].strip() for line in message.splitlines()[1:]] == [
        "commit.seconds",
        "errors.rows",
        "wokers",
    ]


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n- b\n", "just words\n", "5\n"])
def test_a_file_without_settings_is_refused(job_file: Path, text: str) -> None:
    job_file.write_text(text)
    message = refusal(job_file)
    assert "must hold settings as `key: value`" in message and "spotproof init" in message


def test_invalid_yaml_is_refused_with_the_line(job_file: Path) -> None:
    job_file.write_text("root: x\ninput: {path: [unclosed\n")
    message = refusal(job_file)
    assert "is not valid YAML" in message and re.search(r"line \d", message)


def test_a_file_that_is_not_there_says_how_to_get_one(job_file: Path) -> None:
    assert f"does not exist: write one with `spotproof init {job_file}`" in refusal(job_file)


def test_a_folder_or_a_binary_file_cannot_be_read(job_file: Path, tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path)
    job_file.write_bytes(b"\xff\xfe\x00root")
    assert "cannot be read" in refusal(job_file)


def test_environment_over_file_and_flags_over_environment(job_file: Path) -> None:
    written(job_file, commit={"seconds": 30, "rows": 7}, workers=1)
    environment = {"SPOTPROOF_COMMIT__SECONDS": "10", "SPOTPROOF_WORKERS": "2", "SPOTPROOF_ROOT": "s3://bucket/x"}
    from_environment = load(job_file, environment=environment)
    assert (from_environment.commit.seconds, from_environment.commit.rows) == (10, 7)
    assert (from_environment.workers, from_environment.root) == (2, "s3://bucket/x")
    from_flags = load(job_file, environment=environment, flags={"commit.seconds": 1.5, "root": "here"})
    assert (from_flags.commit.seconds, from_flags.commit.rows) == (1.5, 7)
    assert (from_flags.workers, from_flags.root) == (2, "here")


def test_environment_makes_sections_and_lists(job_file: Path) -> None:
    environment = {"SPOTPROOF_ERRORS__ROWS": "0", "SPOTPROOF_INPUT__CARRY": "[id, text]"}
    job = load(written(job_file), environment=environment)
    assert job.errors.rows == 0
    assert (job.input.carry, job.input.paths) == (["id", "text"], ["in/*.parquet"])


def test_environment_gives_what_the_file_lacks(job_file: Path) -> None:
    job_file.write_text(yaml.safe_dump({key: value for key, value in GOOD.items() if key != "root"}))
    assert load(job_file, environment={"SPOTPROOF_ROOT": "given"}).root == "given"


def test_a_wrong_variable_is_refused_too(job_file: Path) -> None:
    message = refusal(written(job_file), environment={"SPOTPROOF_COMMIT__SECOND": "5"})
    assert "commit.second: there is no such setting; did you mean 'seconds'?" in message


def test_what_workers_are_given_is_no_setting(job_file: Path) -> None:
    given = {"SPOTPROOF_JOB_ID": "x", "SPOTPROOF_ATTEMPT": "3", "SPOTPROOF_WORKER": "0", "PATH": "/bin", "ROOT": "no"}
    assert load(written(job_file), environment=given) == load(job_file)


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("commit.seconds=5", "commit.seconds", 5),
        ("root=s3://b/x=y", "root", "s3://b/x=y"),
        ("input.carry=[id]", "input.carry", ["id"]),
        ("embed.normalize=true", "embed.normalize", True),
        ("embed.prompt=query: ", "embed.prompt", "query: "),
        ("embed.prompt=query:", "embed.prompt", "query:"),
        ("input={path: x}", "input", {"path": "x"}),
        ("name=2026-11-24", "name", "2026-11-24"),
        ("input.columns=null", "input.columns", None),
        ("name={", "name", "{"),
    ],
)
def test_a_flag(text: str, key: str, value: Any) -> None:
    assert parse_flag(text) == (key, value)


@pytest.mark.parametrize("text", ["commit.seconds", "=5", " =5", ""])
def test_a_flag_without_key_or_value_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="give KEY=VALUE"):
        parse_flag(text)


def test_what_init_writes_loads(job_file: Path) -> None:
    job_file.write_text(TEMPLATE.format(path=job_file, stem=job_file.stem))
    job = load(job_file)
    assert job.root == "./nightly-root"
    assert job.embed is not None and job.embed.text_column == "text"
    assert (job.commit.seconds, job.commit.rows) == (30, 50_000)


def test_every_key_that_init_writes_is_real_also_in_its_comments() -> None:
    text = TEMPLATE.format(path="x.yaml", stem="x")
    # A commented-out setting is `# key: value`; a sentence has no such form.
    settings = re.sub(r"^# (?=[a-z_]+: )", "", text, flags=re.MULTILINE)
    found = yaml.safe_load(settings)
    assert {"embed", "function", "errors", "grace_seconds"} <= set(found)
    _check_keys(found, Job)
    # With either of the two ways to say what is computed, the rest is valid.
    Job.model_validate({key: value for key, value in found.items() if key != "embed"})
    Job.model_validate({key: value for key, value in found.items() if key != "function"})


def _check_keys(settings: dict[str, Any], model: type[BaseModel]) -> None:
    assert set(settings) <= set(model.model_fields), set(settings) - set(model.model_fields)
    for key, value in settings.items():
        if isinstance(value, dict):
            _check_keys(value, SECTIONS[key])
