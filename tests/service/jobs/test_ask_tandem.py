"""What the command says is told to a caller without this machine's own places."""

from __future__ import annotations

from pathlib import Path

from service.bento import ROOT
from service.jobs.ask_tandem import say_to_caller


def test_a_place_beside_one_of_ours_is_not_cut_in_the_middle_of_its_name() -> None:
    beside = f"{ROOT}home/in was not found, {ROOT}-data/in neither, {ROOT}/models is ours"
    said = say_to_caller(beside, Path("/srv/state/jobs/1"))
    assert said == f"{ROOT}home/in was not found, {ROOT}-data/in neither, the server/models is ours"
