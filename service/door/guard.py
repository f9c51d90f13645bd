"""What a request asks for: the operation that its path and method mean, and so the action that its key needs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.routing import compile_path

from service.operations import Action, Operation

#: BentoML's pages that are answered, and the description. Its others (the page with scripts from elsewhere, its
#: schema) are not: what is not listed here or among the operations is not there.
PAGES: Mapping[str, Action | None] = {
    "/livez": None,
    "/readyz": None,
    "/healthz": None,
    "/metrics": "admin",
    "/docs.json": None,
}
PROBES = frozenset({"/livez", "/readyz", "/healthz"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a request asks for.

    Attributes:
        action: what its key must be allowed to do; None: nothing.
        path: the path of the operation, as its room wrote it: no end of different ones, fit for a label.
        all_models: whether it tells of every model, so that a key of some of them is not enough.
    """

    action: Action | None
    path: str
    all_models: bool = False


class Guard:
    """Finds what a request asks for, as the routes would; costs a look-up, or an expression for each path in doubt."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._plain: dict[str, dict[str, Asked]] = {}
        self._patterns: list[tuple[re.Pattern[str], dict[str, Asked]]] = []
        by_path: dict[str, dict[str, Asked]] = {}
        for operation in operations:
            asked = Asked(action=operation.action, path=operation.path)
            by_path.setdefault(operation.path, {})[operation.method] = asked
        for path, action in PAGES.items():
            by_path.setdefault(path, {})["GET"] = Asked(action=action, path=path, all_models=action is not None)
        for path, methods in by_path.items():  # the order of the routes: of two that match, the same counts
            if "GET" in methods:
                methods.setdefault("HEAD", methods["GET"])
            if "{" in path:
                self._patterns.append((compile_path(path)[0], methods))
            else:
                self._plain[path] = methods

    def find(self, method: str, path: str) -> Asked | None:
        """What is asked for; None where there is no such path.

        A method that its path does not take asks for nothing but the answer that says so: for it every action of
        that path is needed, so that it tells a stranger nothing.
        """
        methods = self._plain.get(path)
        if methods is None:
            methods = next((found for pattern, found in self._patterns if pattern.match(path)), None)
        if methods is None:
            return None
        return methods.get(method) or next(
            (asked for asked in methods.values() if asked.action), next(iter(methods.values()))
        )
