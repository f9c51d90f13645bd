"""Whether there is room for one more model."""

from __future__ import annotations

import pytest

from models.load import describe_tag
from service.lanes.errors import TooLittleMemory
from service.lanes.room import check_room


def test_a_model_that_would_leave_too_little_memory_is_refused_with_what_it_takes() -> None:
    described = describe_tag("bbc-bert")
    check_room(described, keep_free_bytes=0)
    with pytest.raises(TooLittleMemory, match=r"was not loaded: it takes about .* must stay so"):
        check_room(described, keep_free_bytes=1 << 62)
