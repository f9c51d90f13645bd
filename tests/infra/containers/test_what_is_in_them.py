"""What the two images hold, what they say of themselves, and what they do not hold."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from tests.infra.conftest import ROOT
from tests.infra.containers.podman import BASE, BATCH, IMAGES, SERVICE, inside, inspect

pytestmark = IMAGES

SBOM = "/srv/tandem/sbom.cdx.json"
DISTRIBUTIONS = (
    "import json; from importlib.metadata import distributions; "
    "print(json.dumps({each.metadata['Name']: each.version for each in distributions()}))"
)
#: Of the published schema of CycloneDX 1.5, what a reader relies on.
SCHEMA = {
    "type": "object",
    "required": ["bomFormat", "specVersion", "serialNumber", "version", "components"],
    "properties": {
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.5"},
        "serialNumber": {"pattern": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
        "components": {
            "uniqueItems": True,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["type", "name", "version", "purl", "bom-ref"],
                "properties": {
                    "type": {"const": "library"},
                    "purl": {"pattern": r"^pkg:(pypi/[^@ ]+@[^@ ]+|deb/debian/[^@ ]+@[^@ ]+\?arch=\w+)$"},
                    "name": {"type": "string", "minLength": 1},
                    "version": {"type": "string", "minLength": 1},
                    "bom-ref": {"type": "string", "minLength": 1},
                },
            },
        },
    },
}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(image: str) -> dict[str, str]:
    return {normal(name): version for name, version in json.loads(inside(image, "python", "-c", DISTRIBUTIONS)).items()}


def test_the_batch_image_adds_less_than_400_mb_to_its_base() -> None:
    assert inspect(BATCH)["Size"] - inspect(BASE)["Size"] < 400e6


def test_the_batch_image_holds_neither_torch_nor_what_a_job_can_do_without() -> None:
    found = installed(BATCH)
    assert {"tandem-inference", "onnxruntime", "pyarrow"} <= found.keys()
    assert not {"torch", "transformers", "bentoml", "pandas", "scipy", "scikit-learn", "pip"} & found.keys()


@pytest.mark.parametrize("image", [BATCH, SERVICE], ids=["batch", "service"])
def test_the_list_of_parts_names_every_package_and_debians(image: str) -> None:
    sbom = json.loads(inside(image, "cat", SBOM))
    jsonschema.validate(sbom, SCHEMA)
    purls = {each["purl"] for each in sbom["components"]}
    assert {purl for purl in purls if purl.startswith("pkg:pypi/")} == {
        f"pkg:pypi/{name}@{version}" for name, version in installed(image).items()
    }
    debian = inside(image, "dpkg-query", "-W", "-f", "${Package}\n").split()
    assert {each["name"] for each in sbom["components"] if each["purl"].startswith("pkg:deb/")} == set(debian)


@pytest.mark.parametrize("image", [BATCH, SERVICE], ids=["batch", "service"])
def test_what_is_installed_is_what_the_lock_names(image: str) -> None:
    lock = (ROOT / "infra" / "containers" / f"{'cpu' if image == BATCH else 'service'}.lock").read_text()
    locked = dict(line.split()[0].split("==") for line in lock.splitlines() if "==" in line)
    found = installed(image)
    found.pop("tandem-inference", None)
    assert found == locked


@pytest.mark.parametrize("image", [BATCH, SERVICE], ids=["batch", "service"])
def test_an_image_says_what_it_is_and_runs_as_nobody_special(image: str) -> None:
    config = inspect(image)["Config"]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in config["Labels"].items()}
    assert {"title", "description", "licenses", "version"} <= labels.keys()
    assert re.fullmatch("[0-9a-f]{40}", labels["revision"])
    assert labels["tandem.sbom"] == SBOM
    assert config["User"] == "10001"
    assert config["StopSignal"] in ("SIGTERM", "15")


@pytest.mark.parametrize("image", [BATCH, SERVICE], ids=["batch", "service"])
def test_nothing_of_the_machine_that_built_it_is_left(image: str) -> None:
    settings = inside(
        image, "sh", "-c", "for at in /etc/pip.conf /etc/xdg/pip /root/.config /root/.pip; do ls -d $at; done; true"
    )
    assert settings == ""
    assert inside(image, "sh", "-c", "cd /; ls -A opt src build wheels 2> /dev/null; true").split() in ([], ["opt:"])
    digest = "find /etc/ssl /usr/share/ca-certificates -type f -exec sha256sum {} + | sort"
    assert inside(image, "sh", "-c", digest) == inside(BASE, "sh", "-c", digest)
    said = " ".join(inspect(image)["Config"]["Env"])
    assert not re.search(r"PIP_|CERT|CA_BUNDLE|PROXY|AWS_", said, re.IGNORECASE)
