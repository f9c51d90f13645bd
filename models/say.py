"""What may be said to people and logs: one line, without secrets, and without what a terminal would obey."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the guardian stays small
    import pyarrow as pa

HIDDEN = "***"
#: Variables whose values are never said.
VARIABLES = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
#: Shorter values are words like others: hiding them would only garble what is said.
SHORTEST = 8
#: A name and password in front of a host.
USERINFO = re.compile(r"(?<=://)[^/?#\s@'\"]*@")
#: What makes a url a presigned one, by the names that S3 and its likes use.
SIGNED = re.compile(
    r"(?i)\b((?:X-Amz-(?:Signature|Credential|Security-Token)|AWSAccessKeyId|Signature|sig|token|access_token)=)[^&\s'\"]+"
)
#: What a file or a helper said of credentials.
NAMED = re.compile(
    r"(?i)((?:secret_?access_?key|session_?token|security_?token|password)['\"]?\s*[=:]\s*['\"]?)[^\s'\",}]+"
)
#: Control characters, halves of pairs, and what turns the direction of writing round.
OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def hide_secrets(text: str) -> str:
    """A text without passwords in urls, signatures of presigned ones, and the secrets of this process's environment."""
    for name in VARIABLES:
        if len(value := os.environ.get(name, "")) >= SHORTEST:
            text = text.replace(value, HIDDEN)
    text = USERINFO.sub(f"{HIDDEN}@", text)
    text = SIGNED.sub(rf"\1{HIDDEN}", text)
    return NAMED.sub(rf"\1{HIDDEN}", text)


def printable(text: str) -> str:
    """A text that comes from data, as a terminal may show it: what it would obey is spelt out, as `\\x1b`."""
    return OBEYED.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), text)


def one_line(text: str) -> str:
    """An error's or a log's text as it goes out."""
    return printable(hide_secrets(" ".join(text.split())))


def say_schema(schema: pa.Schema) -> str:
    """Columns and their types, as an error's text shows them."""
    return ", ".join(f"{field.name} {'struct' if field.name == 'error' else field.type}" for field in schema)
