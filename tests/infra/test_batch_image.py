"""infra/containers/batch.Dockerfile and the locks, read as text; tests/infra/containers/ runs what is built of them."""

import fnmatch
import json
import re
import tomllib
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.infra.conftest import ROOT

CONTAINERS = ROOT / "infra" / "containers"
DOCKERFILE = CONTAINERS / "batch.Dockerfile"
HEAVY = {"torch", "transformers", "bentoml"}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions in order, as (name, arguments), continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if line and not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def last_stage() -> list[tuple[str, str]]:
    found = instructions()
    begins = max(index for index, (name, _) in enumerate(found) if name == "FROM")
    return found[begins:]


def arguments(name: str) -> list[str]:
    return [rest for found, rest in last_stage() if found == name]


def test_the_image_is_slim_and_of_the_python_that_is_tested() -> None:
    assert {rest.split()[0] for name, rest in instructions() if name == "FROM"} == {"python:3.11-slim"}


def test_every_package_is_installed_by_its_digest_and_the_project_alone_without() -> None:
    shell = " && ".join(rest for name, rest in instructions() if name == "RUN" and not rest.startswith("["))
    installs = re.findall(r"-m pip [^&]*", shell)
    assert len(installs) == 4
    for install in installs:
        assert "--no-cache-dir" in install
        assert ("--require-hashes -r locks/" in install) != ("--no-deps" in install)


@pytest.mark.parametrize("name", ["cpu", "gpu", "service", "wheel", "lambda"])
def test_a_lock_holds_only_pins_that_are_tested_and_their_digests(name: str) -> None:
    tested = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    tested = {canonicalize_name(package.partition("[")[0]): version for package, version in tested.items()}
    text = (CONTAINERS / f"{name}.lock").read_text().replace("\\\n", " ")
    locked = {}
    for line in text.splitlines()[1:]:
        pin, *hashes = line.split()
        assert hashes, line
        assert all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", each) for each in hashes), line
        package, version = pin.split("==")
        locked[package] = version
    only_here = {package for package in locked if package not in tested}
    assert {package for package in only_here if not package.startswith("nvidia-")} <= {"onnxruntime-gpu"}
    assert {package: locked[package] for package in locked.keys() - only_here} == {
        package: tested[package] for package in locked.keys() - only_here
    }
    assert HEAVY & locked.keys() == ({"bentoml"} if name == "service" else set())


def test_the_locks_hold_all_that_the_project_needs_and_the_gpu_differs_in_the_runtime_only() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        wanted = {canonicalize_name(Requirement(each).name) for each in tomllib.load(file)["project"]["dependencies"]}
    cpu, gpu, service = (
        {line.split("==")[0]: line.split("==")[1].split()[0] for line in lines if "==" in line}
        for lines in ((CONTAINERS / f"{name}.lock").read_text().splitlines() for name in ("cpu", "gpu", "service"))
    )
    assert wanted <= cpu.keys()
    assert wanted <= service.keys()
    assert gpu.pop("onnxruntime-gpu") == cpu.pop("onnxruntime")
    assert {name: version for name, version in gpu.items() if not name.startswith("nvidia-")} == cpu
    assert {"nvidia-cudnn-cu13", "nvidia-cublas"} <= gpu.keys()


def test_nothing_that_the_base_installation_needs_is_heavy() -> None:
    seen: set[str] = set()
    with (ROOT / "pyproject.toml").open("rb") as file:
        waiting = list(tomllib.load(file)["project"]["dependencies"])
    while waiting:
        requirement = Requirement(waiting.pop())
        if requirement.name in seen or (requirement.marker and not requirement.marker.evaluate({"extra": ""})):
            continue
        seen.add(requirement.name)
        waiting += requires(requirement.name) or []
    assert "onnxruntime" in seen
    assert not seen & HEAVY


def test_the_build_itself_fails_where_something_heavy_was_installed() -> None:
    checks = [json.loads(rest) for name, rest in instructions() if name == "RUN" and "find_spec" in rest]
    ((python, flag, code),) = checks
    assert (python, flag) == ("/srv/tandem/bin/python", "-c")
    lean = code.replace("'torch', 'transformers', 'bentoml'", "'no_such_module'")
    with pytest.raises(SystemExit) as ends:
        exec(lean, {})
    assert ends.value.code == 0
    with pytest.raises(SystemExit, match="would hold \\['json'\\]"):
        exec(code.replace("'torch', 'transformers', 'bentoml'", "'json', 'no_such_module'"), {})
    assert {name for name in HEAVY if f"'{name}'" in code} == HEAVY


def test_the_image_runs_as_nobody_special() -> None:
    (user,) = arguments("USER")
    assert int(user) >= 10000
    names = [name for name, _ in last_stage()]
    assert names.index("USER") < names.index("ENTRYPOINT")


def test_a_signal_reaches_the_job_and_not_a_shell() -> None:
    (entrypoint,) = arguments("ENTRYPOINT")
    assert json.loads(entrypoint) == ["tandem"]
    with (ROOT / "pyproject.toml").open("rb") as file:
        assert json.loads(entrypoint)[0] in tomllib.load(file)["project"]["scripts"]


def test_a_job_reports_to_nobody() -> None:
    settings = dict(word.split("=", 1) for rest in arguments("ENV") for word in rest.split())
    assert settings["ORT_DISABLE_TELEMETRY"] == "1"


def test_the_image_carries_no_settings_of_the_machine_that_built_it() -> None:
    text = DOCKERFILE.read_text()
    assert not re.search(r"index-url|trusted-host|AWS_(ACCESS|SECRET|SESSION)|COPY .*\.(pem|crt)", text)


@pytest.mark.parametrize(
    ("path", "is_sent"),
    [
        ("pyproject.toml", True),
        ("constraints.txt", True),
        ("README.md", True),
        ("LICENSE", True),
        ("batch/plan.py", True),
        ("models/runtimes/onnx_runtime.py", True),
        ("service/__init__.py", True),
        ("batch/__pycache__/plan.cpython-311.pyc", False),
        ("models/zoo/data/fashion.parquet", False),
        ("tests/conftest.py", False),
        ("infra/containers/cpu.lock", True),
        ("infra/containers/sbom.py", True),
        ("infra/containers/setup.sh", False),
        (".git/config", False),
        (".venv/bin/python", False),
        ("out/part-1.parquet", False),
    ],
)
def test_the_build_is_sent_the_sources_and_nothing_else(path: str, is_sent: bool) -> None:
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = line.removeprefix("!").rstrip("/")
            parts = path.split("/")
            ancestors = ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]
            anywhere = pattern.removeprefix("**/") if pattern.startswith("**/") else None
            if any(fnmatch.fnmatchcase(ancestor, pattern) for ancestor in ancestors) or anywhere in parts:
                sent = line.startswith("!")
    assert sent is is_sent
