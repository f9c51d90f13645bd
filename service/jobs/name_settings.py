"""Settings as a job over HTTP names them: what `tandem` says of a flag, said of the field of the same meaning."""

from __future__ import annotations

import re

from service.jobs.check_spec import job_schema

FLAG = re.compile(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)(?: ([^\W\d]\w*)=([^\W\d]\w*))?")
#: To begin an output anew is nothing that a request can ask for: that stays a command.
COMMANDS_OWN = "replace"


def name_settings(said: str) -> str:
    """A message of `tandem run` or `tandem plan` in the words of a request's body."""
    return FLAG.sub(in_body, said)


def in_body(flag: re.Match[str]) -> str:
    name = flag[1].replace("-", "_")
    if name == COMMANDS_OWN:
        return f"`tandem run {flag[0]}`"
    if name not in job_schema()["properties"]:
        return flag[0]
    if flag[2] is None:
        return f'"{name}"'
    return f'"{name}": {{"{flag[2]}": "{flag[3]}"}}' if name == "column" else f'"{name}" {flag[2]}={flag[3]}'
