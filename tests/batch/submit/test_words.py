"""The words that a container is given are the job, setting for setting; the name is the same for the same job."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batch.cli.run import job_from, run
from batch.errors import UsageError
from batch.spec import JobSpec, make_job
from batch.submit.command import ENGINES_OWN, NAMING, job_name, output_of, run_words

PLACES = {"model": "s3://b/m", "input": "s3://b/in/", "output": "s3://b/out/my rows/"}
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)
COLUMN = TEXT.filter(lambda name: "," not in name and "=" not in name and name.strip() == name)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "column": st.dictionaries(COLUMN, TEXT, min_size=1, max_size=2),
        "keep": st.lists(COLUMN, min_size=1, max_size=3),
        "where": TEXT,
        "limit": st.integers(1, 1 << 53),
        "label": TEXT,
        "on_long": st.sampled_from(["error", "chunk"]),
        "shard_mb": st.floats(0.001, 4096),
        "part_size": st.sampled_from(["256MB", "2GB"]),
        "tolerance": st.one_of(st.just("int8"), st.floats(1e-9, 1)),
        "workers": st.one_of(st.just("auto"), st.integers(1, 256)),
        "compile": st.booleans(),
        "promote": st.booleans(),
        "max_error_rate": st.floats(0, 1),
        "allow_uri": st.just(["s3://pictures/2024/", "s3://more/"]),
        "price": st.floats(0.01, 10),
        "log": st.just("json"),
    },
)


def as_run_reads(words: list[str]) -> JobSpec:
    assert words[0] == "run"
    with run.make_context("run", words[1:]) as context:
        flags = dict(context.params)
    for own in ("replace", "profile"):
        flags.pop(own)
    return job_from(flags.pop("file"), flags)


@given(SETTINGS)
@settings(max_examples=60, deadline=None)
def test_a_run_with_these_words_is_the_job(more: dict[str, Any]) -> None:
    job = make_job(PLACES | more)
    assert as_run_reads(run_words(job, machines=1)) == job


def test_several_machines_are_an_array_of_their_number_and_one_is_none() -> None:
    job = make_job(PLACES)
    assert run_words(job, machines=20)[:5] == ["run", "--engine", "array", "--array-size", "20"]
    assert "--engine" not in run_words(job, machines=1)
    assert as_run_reads(run_words(job, machines=20)) == make_job(PLACES | {"engine": "array", "array_size": 20})
    assert run_words(job, machines=20)[5:] == run_words(job, machines=1)[1:]


def test_the_output_is_found_in_the_words() -> None:
    assert output_of(run_words(make_job(PLACES), machines=3)) == PLACES["output"]
    assert output_of(["run"]) is None


@pytest.mark.parametrize("keep", [["a,b"], [" a"]])
def test_a_column_that_no_flag_can_name_is_refused(keep: list[str]) -> None:
    with pytest.raises(UsageError, match="cannot be named as a flag"):
        run_words(make_job(PLACES | {"keep": keep}), machines=1)


def test_words_too_long_for_a_container_are_refused() -> None:
    with pytest.raises(UsageError, match="7,000"):
        run_words(make_job(PLACES | {"where": "lang = 'en' OR " * 600}), machines=1)


def test_the_same_job_has_the_same_name_however_it_is_run() -> None:
    name = job_name(make_job(PLACES))
    assert re.fullmatch(r"tandem-my-rows-[0-9a-f]{12}", name)
    assert name == job_name(make_job(PLACES | {"workers": 4, "log": "json", "output": "s3://b/out/my rows"}))
    others: list[dict[str, Any]] = [
        {"where": "id > 1"},
        {"output": "s3://b/else/my rows/"},
        {"model": "s3://b/m2"},
        {"limit": 5},
    ]
    assert len({name, *(job_name(make_job(PLACES | other)) for other in others)}) == 5


def test_names_fit_every_scheduler() -> None:
    """The strictest: 63 letters, digits and hyphens, with a number behind them."""
    for output in ("s3://b/" + "x" * 300, "s3://b/ÄÖ/", "s3://b/-.-/", "s3://b/A_b.c/"):
        name = job_name(make_job(PLACES | {"output": output}))
        assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name)
        assert len(name) <= 58


def test_every_setting_is_known_to_say_which_job_it_is_or_not() -> None:
    """Who adds a setting decides here, too, whether two jobs that differ in it are one."""
    only_how = {
        *(
            "device",
            "compile",
            "threads",
            "workers",
            "window_rows",
            "memory",
            "promote",
            "max_error_rate",
            "max_errors",
        ),
        *("stall_s", "log", "metrics_port", "metrics_host", "price", "max_minutes", "max_cost", "allow_uri", "sse"),
        *("sse_key_id", "region", "aws_profile"),
    }
    assert set(JobSpec.model_fields) - ENGINES_OWN == only_how | set(NAMING)
