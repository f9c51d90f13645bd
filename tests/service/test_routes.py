"""Which operation a path is for, and in what order that is found out."""

from __future__ import annotations

from typing import Any

import pytest

from service.routes import OPERATIONS, find_route, make_app

APP = make_app()


def route_of(path: str) -> str | None:
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "root_path": "", "headers": []}
    return find_route(APP, scope)


def test_predict_is_tried_first() -> None:
    """Routes are tried one after another, twice a request."""
    assert getattr(APP.router.routes[0], "path", None) == "/predict"


@pytest.mark.parametrize("path", sorted({one.path for one in OPERATIONS}))
def test_no_pattern_takes_another_operations_path(path: str) -> None:
    assert route_of(path) == path
