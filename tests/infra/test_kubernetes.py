"""The manifests are valid for Kubernetes, confined, and name only what the project has."""

from __future__ import annotations

import importlib.resources
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from batch.cli.run import run as run_command
from batch.spec import make_job, read_job
from batch.submit.kubernetes import describe_request
from service.observe.lane_metrics import COUNTED
from tests.infra.conftest import ROOT

FOLDER = ROOT / "infra" / "kubernetes"
VERSION = "1.34"
Manifest = dict[str, Any]


def manifests() -> dict[str, Manifest]:
    """`file kind` -> what it holds, of every file that a kustomization names, and of none that none names."""
    found: dict[str, Manifest] = {}

    def gather(folder: Path) -> None:
        for name in yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]:
            if (folder / name).is_dir():
                gather(folder / name)
                continue
            for content in yaml.safe_load_all((folder / name).read_text()):
                found[f"{(folder / name).relative_to(FOLDER)} {content['kind']}"] = content

    gather(FOLDER)
    return found


ALL = manifests()


def pods() -> Iterator[tuple[str, Manifest]]:
    for name, content in ALL.items():
        if content["kind"] in ("Job", "Deployment"):
            yield name, content["spec"]["template"]["spec"]


def test_every_file_belongs_to_a_kustomization() -> None:
    known = {name.split()[0] for name in ALL}
    there = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert there - known == {"job/tandem.yaml", "prometheus-adapter.yaml"}


@pytest.mark.parametrize("name", ALL)
def test_a_manifest_is_what_kubernetes_takes(name: str) -> None:
    kubernetes_validate.validate(ALL[name], VERSION, strict=True)


def test_a_field_that_is_misspelt_is_found() -> None:
    wrong = json.loads(json.dumps(ALL["job/job.yaml Job"]))
    wrong["spec"]["backoffLimitPerIndx"] = 5
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_what_is_submitted_is_what_kubernetes_takes_and_of_the_form_of_the_file() -> None:
    job = make_job({"model": "s3://b/m", "input": "s3://b/i/", "output": "s3://b/o/", "runtime": "onnx"})
    made = describe_request(job, machines=20, image="tandem:0.1.0", namespace="tandem", service_account="tandem-job")
    kubernetes_validate.validate(made, VERSION, strict=True)
    file = ALL["job/job.yaml Job"]
    for key in ("completionMode", "completions", "backoffLimitPerIndex", "podFailurePolicy", "ttlSecondsAfterFinished"):
        assert file["spec"][key] == made["spec"][key], key
    ours, theirs = file["spec"]["template"]["spec"], made["spec"]["template"]["spec"]
    assert ours["securityContext"] == theirs["securityContext"]
    assert ours["containers"][0]["securityContext"] == theirs["containers"][0]["securityContext"]


@pytest.mark.parametrize(("name", "pod"), list(pods()))
def test_a_pod_is_confined(name: str, pod: Manifest) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    # What is written goes to a volume of its own.
    (scratch,) = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
    assert {entry["value"] for entry in container["env"] if entry["name"] == "HOME"} == {scratch} == {"/tmp"}


def test_users_are_those_of_the_images() -> None:
    users = {name: pod["securityContext"]["runAsUser"] for name, pod in pods()}
    files = {"job/job.yaml Job": "batch.Dockerfile", "endpoint/deployment.yaml Deployment": "service.Dockerfile"}
    for name, file in files.items():
        assert f"--uid {users[name]} " in (ROOT / "infra" / "containers" / file).read_text()


def test_images_are_those_that_the_pages_build() -> None:
    pages = (ROOT / "infra/README.md").read_text() + (ROOT / "infra/containers/service.md").read_text()
    for _, pod in pods():
        assert f"-t {pod['containers'][0]['image']}" in pages


def test_a_job_of_the_file_is_a_job_and_its_arguments_are_flags_of_tandem_run() -> None:
    read_job(FOLDER / "job" / "tandem.yaml", {})
    spec = ALL["job/job.yaml Job"]["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    command, file, *flags = container["args"]
    assert (command, file) == ("run", "/etc/tandem/tandem.yaml")
    asked = dict(zip(flags[::2], flags[1::2], strict=True))
    known = {option for parameter in run_command.params for option in parameter.opts}
    assert asked.keys() <= known
    assert asked == {"--engine": "array", "--array-size": str(spec["completions"])}


def test_probes_ask_what_the_endpoint_answers() -> None:
    (pod,) = [pod for name, pod in pods() if "deployment" in name]
    (container,) = pod["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": 3000}]
    asked = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert asked == {"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    assert pod["terminationGracePeriodSeconds"] >= 8 + 30 + 3  # preStop, TANDEM_STOP_TIMEOUT_S, the end
    variables = {entry["name"] for entry in container["env"]}
    page = (ROOT / "infra/containers/service.md").read_text()
    assert {name for name in variables if name.startswith(("TANDEM", "BENTOML"))} <= set(re.findall(r"\w+", page))


def test_the_autoscaler_reads_what_the_adapter_makes_of_metrics_that_are_there() -> None:
    (rule,) = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())["rules"]["custom"]
    (metric,) = ALL["endpoint/scaling.yaml HorizontalPodAutoscaler"]["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    named = set(re.findall(r"tandem_\w+", rule["metricsQuery"] + rule["seriesQuery"]))
    histograms = {family.name for family in COUNTED if family.kind == "histogram"}
    assert named == {f"{name}_{end}" for name in histograms & {"tandem_lane_wait_seconds"} for end in ("sum", "count")}


def test_everything_that_selects_selects_pods_that_are_there() -> None:
    templates = [content["spec"]["template"] for content in ALL.values() if "template" in content.get("spec", {})]
    labels = [template["metadata"]["labels"] for template in templates]
    for name, content in ALL.items():
        for selector in selectors(content):
            assert any(selector.items() <= of.items() for of in labels), f"{name} selects nothing: {selector}"


def selectors(content: Manifest) -> Iterator[Mapping[str, str]]:
    """What a Service, a policy or a budget selects."""
    spec = content.get("spec", {})
    if content["kind"] == "Service":
        yield spec["selector"]
    if content["kind"] in ("PodDisruptionBudget", "Deployment"):
        yield spec["selector"]["matchLabels"]
    if content["kind"] == "NetworkPolicy":
        yield spec["podSelector"]["matchLabels"]


def test_the_schemas_are_of_the_version_that_is_asked_for() -> None:
    schemas = importlib.resources.files("kubernetes_validate").joinpath("kubernetes-json-schema")
    assert f"v{VERSION}.0-local-strict" in {path.name for path in schemas.iterdir()}
