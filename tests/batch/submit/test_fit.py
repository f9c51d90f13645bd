"""What cannot work elsewhere is refused in one line, before anything is asked of anybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.submit.fit import TARGETS
from tests.batch.command import Command, assert_refused
from tests.batch.submit.conftest import FITS


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (("--input", "rows/"), ("input 'rows/'", "s3://")),
        (("--output", "out/"), ("output 'out/'", "s3://")),
        (("--model", "bbc-bert"), ("model 'bbc-bert'", "tandem model push")),
        (("--model", "models/mine"), ("model 'models/mine'", "tandem model push")),
        (("--model", "words:Words"), ("model 'words:Words'", "tandem model push")),
        (("--model", "my.words:Words"), ("model 'my.words:Words'", "not in the image")),
        (("--allow-uri", "pictures/"), ("allow_uri 'pictures/'", "s3://")),
        (("--aws-profile", "mine"), ("aws_profile 'mine'", "AWS_PROFILE")),
        (("--metrics-port", "9000"), ("metrics_port 9000", "tandem status")),
        (("--runtime", "torch"), ("runtime 'torch'", "ONNX Runtime alone")),
        (("--endpoint-url", "http://127.0.0.1:9000"), ("endpoint_url", "127.0.0.1 is another machine")),
        (("--endpoint-url", "http://localhost:9000"), ("localhost is another machine",)),
        (("--engine", "array", "--array-size", "3", "--array-index", "0"), ("array_index 0", "its own")),
        (("--machines", "0"), ("--machines 0",)),
        (("--machines", "10001"), ("--machines 10001",)),
    ],
)
def test_what_cannot_work_there_is_one_line_and_exit_code_2(
    command: Command, target: str, flags: tuple[str, ...], parts: tuple[str, ...]
) -> None:
    assert_refused(command("submit", "--to", target, *FITS, *flags), 2, f"--to {target}", "cannot work there", *parts)


def test_the_mistakes_of_a_job_file_are_those_of_a_run(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "job.yaml"
    file.write_text("model: s3://b/m\ninput: s3://b/in/\noutputs: s3://b/out/\n")
    submitted = command("submit", str(file), "--to", "aws-batch")
    assert_refused(submitted, 2, "outputs is no setting", "output is missing")
    assert submitted.complaint == command("run", str(file)).complaint


def test_a_target_that_there_is_not_is_named(command: Command) -> None:
    end = command("submit", "--to", "mars", *FITS)
    assert_refused(end, 2, "mars", "aws-batch")
