#!/usr/bin/env bash
# Writes the images' locks anew from pyproject.toml and constraints.txt: every package, its version, the digests of its wheels
# for both processors. Run it from the repository root after either changes.
set -euo pipefail
python=${PYTHON:-.venv/bin/python}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

lock() { # FILE PROCESSORS REQUIREMENT...
  local file=$1 processors=$2
  shift 2
  for processor in $processors; do
    "$python" -m pip install -q --dry-run --ignore-installed --no-cache-dir --target "$work/nothing" --only-binary :all: \
      --platform "manylinux_2_28_$processor" --platform "manylinux_2_27_$processor" --platform "manylinux_2_17_$processor" \
      --platform "manylinux2014_$processor" --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
      --report "$work/$processor.json" -c constraints.txt "$@" 2> "$work/log" || { tail -5 "$work/log" >&2; exit 1; }
  done
  "$python" - "$file" $(for processor in $processors; do echo "$work/$processor.json"; done) << 'END'
import json, sys
found = {}
for report in sys.argv[2:]:
    with open(report) as file:
        for part in json.load(file)["install"]:
            name = part["metadata"]["name"].lower().replace("_", "-")
            info = part["download_info"]["archive_info"]
            found.setdefault((name, part["metadata"]["version"]), set()).add(info["hashes"]["sha256"])
with open(sys.argv[1], "w") as file:
    file.write("# Written by infra/containers/lock.sh.\n")
    for (name, version), hashes in sorted(found.items()):
        file.write(f"{name}=={version}" + "".join(f" \\\n    --hash=sha256:{each}" for each in sorted(hashes)) + "\n")
END
}

needs() { # EXTRA... ; the base installation's requirements and those of the extras
  "$python" - "$@" << 'END'
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print("\n".join(project["dependencies"] + [line for extra in sys.argv[1:] for line in project["optional-dependencies"][extra]]))
END
}

mapfile -t base < <(needs metrics)
mapfile -t serving < <(needs metrics serve | grep -vx uv)
folder=infra/containers
lock $folder/cpu.lock "x86_64 aarch64" "${base[@]}"
# The same version of the runtime for CUDA; NVIDIA publishes both for x86_64 only. Its libraries come as packages.
mapfile -t gpu < <(printf '%s\n' "${base[@]}" | sed 's/^onnxruntime\b.*/onnxruntime-gpu[cuda,cudnn]/')
lock $folder/gpu.lock x86_64 "${gpu[@]}"
lock $folder/service.lock "x86_64 aarch64" "${serving[@]}"
lock $folder/wheel.lock "x86_64 aarch64" hatchling
lock $folder/lambda.lock "x86_64 aarch64" awslambdaric
