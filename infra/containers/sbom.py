"""Writes what an image holds, CycloneDX 1.5: its Python packages, and Debian's of its base; the same each time.

python sbom.py NAME > sbom.cdx.json
"""

import json
import re
import subprocess
import sys
import uuid
from importlib.metadata import distributions
from typing import Any


def python_packages() -> list[dict[str, Any]]:
    found = {}
    for each in distributions():
        name = re.sub(r"[-_.]+", "-", each.metadata["Name"]).lower()
        found[name] = part("library", name, each.version, f"pkg:pypi/{name}@{each.version}")
    return [found[name] for name in sorted(found)]


def debian_packages() -> list[dict[str, Any]]:
    """Debian's; none where the base is another system."""
    asked = ["dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture}\n"]
    try:
        lines = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.splitlines()
    except FileNotFoundError:
        return []
    found = []
    for name, version, processor in sorted(line.split() for line in lines):
        escaped = version.replace("+", "%2B").replace(":", "%3A")
        found.append(part("library", name, version, f"pkg:deb/debian/{name}@{escaped}?arch={processor}"))
    return found


def part(kind: str, name: str, version: str, purl: str) -> dict[str, Any]:
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def describe(name: str) -> dict[str, Any]:
    parts = python_packages() + debian_packages()
    serial = uuid.uuid5(uuid.NAMESPACE_URL, "\n".join([name, *(each["purl"] for each in parts)]))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": name, "name": name}},
        "components": parts,
    }


if __name__ == "__main__":
    json.dump(describe(sys.argv[1]), sys.stdout, indent=1)
    print()
