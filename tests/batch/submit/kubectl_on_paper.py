"""A kubectl whose cluster is a folder: it makes and shows objects, and nothing runs.

    kubectl create -f - -o name        kubectl get job|pods [NAME] -n NAMESPACE -o json [--ignore-not-found]

`KUBECTL_SAYS`, where it is set, is what every call fails with.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path


def main(words: list[str]) -> int:
    if said := os.environ.get("KUBECTL_SAYS"):
        print(said, file=sys.stderr)
        return 1
    folder = Path(os.environ["KUBECTL_FOLDER"])
    if words[0] == "create":
        made = json.loads(sys.stdin.read())
        file = folder / f"{made['metadata']['namespace']}.{made['metadata']['name']}.json"
        if file.exists():
            name = made["metadata"]["name"]
            print(f'Error from server (AlreadyExists): jobs.batch "{name}" already exists', file=sys.stderr)
            return 1
        file.write_text(json.dumps(made))
        return 0
    namespace = words[words.index("-n") + 1]
    if words[1] == "pods":
        pods = folder / f"{namespace}.pods"
        print(pods.read_text() if pods.exists() else '{"items": []}')
        return 0
    file = folder / f"{namespace}.{words[2]}.json"
    if file.exists():
        print(file.read_text())
    elif "--ignore-not-found" not in words:
        print(f'Error from server (NotFound): jobs.batch "{words[2]}" not found', file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
