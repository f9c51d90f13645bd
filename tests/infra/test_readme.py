"""infra/README.md names what is there: files, resources, parameters, outputs, exit codes."""

import inspect
import re
from fnmatch import fnmatch
from typing import Any

import batch.errors
from batch.errors import JobError
from tests.infra.conftest import ROOT

PARAMETER = r"\b([A-Z][a-z]\w+)=(?!=)"
README = (ROOT / "infra" / "README.md").read_text()


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_every_file_of_the_room_is_explained() -> None:
    infra = ROOT / "infra"
    files = {str(path.relative_to(infra)) for path in infra.rglob("*") if path.is_file() and path.name != "README.md"}
    named = set(re.findall(r"^\| `([^`]+)`", README.split("\n## ")[0], flags=re.MULTILINE))
    named.remove("../.dockerignore")
    assert [file for file in files if not any(fnmatch(file, name) for name in named)] == []
    assert [name for name in named if not any(fnmatch(file, name) for file in files)] == []


def test_every_resource_of_the_stack_is_explained(template: dict[str, Any]) -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", section("What the stack creates"), flags=re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(template["Resources"])


def test_every_resource_of_the_pipeline_is_explained(pipeline: dict[str, Any]) -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", section("When a file lands"), flags=re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == set(pipeline["Resources"])


def test_every_parameter_and_output_that_a_command_names_exists(
    template: dict[str, Any], pipeline: dict[str, Any]
) -> None:
    lands = section("When a file lands")
    assert set(re.findall(PARAMETER, lands)) <= set(pipeline["Parameters"])
    parameters = set(re.findall(PARAMETER, README.replace(lands, "")))
    assert parameters >= {"VpcId", "SubnetIds"}
    assert parameters <= set(template["Parameters"])
    outputs = set(re.findall(r"\$\(output (\w+)", README))
    assert outputs >= {"RepositoryUri", "JobQueueArn"}
    assert outputs <= set(template["Outputs"])


def test_what_must_be_given_is_given_in_the_deploy_command(template: dict[str, Any]) -> None:
    needed = {name for name, parameter in template["Parameters"].items() if "Default" not in parameter}
    assert needed == set(re.findall(PARAMETER, section("Deploy").split("```")[1]))


def test_a_submitted_job_names_the_parameters_of_the_definition(template: dict[str, Any]) -> None:
    command = section("Submit a job").split("--parameters ")[1].splitlines()[0]
    definition = template["Resources"]["JobDefinition"]["Properties"]
    assert set(re.findall(r"[\",](\w+)=", command)) == set(definition["Parameters"])


def test_every_exit_code_of_a_job_is_in_the_table() -> None:
    kinds = [kind for _, kind in inspect.getmembers(batch.errors, inspect.isclass) if issubclass(kind, JobError)]
    codes = {str(kind.exit_code) for kind in kinds} | {"0"}
    assert set(re.findall(r"^\| (\d+) \|", section("Submit a job"), flags=re.MULTILINE)) == codes
