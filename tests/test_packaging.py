"""The three ordinary names are ours alone, and everything that is installed is pinned."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PINNED = re.compile(r"^([A-Za-z0-9._-]+)(\[[^]]*\])?==(\S+)$")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [PINNED.match(line) for line in lines if line and not line.startswith("#")]
    assert all(found), "every line of constraints.txt is name==version"
    return {normal(match[1]): match[3] for match in found if match}


@pytest.mark.parametrize("name", ["service", "batch", "models"])
def test_no_dependency_owns_a_name_of_ours(name: str) -> None:
    assert set(packages_distributions().get(name, [])) <= {"tandem-inference"}


def test_every_requirement_is_pinned() -> None:
    project = PROJECT["project"]
    lines = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    names = {normal(re.split(r"[\[<>=~! ;]", line)[0]) for line in lines} - {"tandem-inference"}
    assert sorted(names - pins().keys()) == []


def test_the_base_installation_has_no_torch_transformers_or_bentoml() -> None:
    names = {normal(re.split(r"[\[<>=~! ;]", line)[0]) for line in PROJECT["project"]["dependencies"]}
    assert not names & {"torch", "transformers", "bentoml", "ray", "openvino"}
    assert {"torch", "serve", "openvino", "ray", "demo", "dev"} <= PROJECT["project"]["optional-dependencies"].keys()
    assert pins()["torch"] == "2.13.0"
