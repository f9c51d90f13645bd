"""What a command says of its flags, in the words of a request's body."""

from __future__ import annotations

import pytest

from service.jobs.name_settings import name_settings


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Name one with --column.", 'Name one with "column".'),
        ("Write --column text=body.", 'Write "column": {"text": "body"}.'),
        ("--max-errors 3 is passed", '"max_errors" 3 is passed'),
        ("Choose another --output, or begin anew there with --replace.",
         'Choose another "output", or begin anew there with `tandem run --replace`.'),
        ("a--column and --unheard-of stay", "a--column and --unheard-of stay"),
    ],
)  # fmt: skip
def test_a_flag_is_said_as_the_field_of_the_same_meaning(said: str, meant: str) -> None:
    assert name_settings(said) == meant
