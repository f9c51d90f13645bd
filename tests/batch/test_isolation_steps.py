"""A row is isolated in whatever step it hurts."""

from __future__ import annotations

import pytest

from tests.batch.hurting_jobs import KINDS, assert_isolated, put_rows, run
from tests.batch.places import Folder

pytestmark = pytest.mark.usefixtures("calls")


@pytest.mark.parametrize("model", ["HurtingModel", "HurtingEncoder", "HurtingDecoder"])
@pytest.mark.parametrize("deed", ["raises", "segfaults", "exits", "hangs"])
def test_a_row_is_isolated_in_whatever_step_it_hurts(folder: Folder, model: str, deed: str) -> None:
    put_rows(folder, 200, {77: deed})
    assert run(folder, model=model)["errors"] == {KINDS[deed]: 1}
    assert_isolated(folder, 200, {77: deed})
