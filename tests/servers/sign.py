"""A request that was changed on its way, signed anew, so that a server that checks signatures takes it."""

from __future__ import annotations

from collections.abc import Mapping

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.servers.weed import ADMIN

#: What the signing sets itself, and what the next hop does.
_NOT_SIGNED = ("authorization", "x-amz-date", "connection")


def sign_anew(method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
    """The headers, in small letters, with another signature by the tests' own keys; untouched where there was none.

    Args:
        path: and query, as on the wire.
    """
    if "authorization" not in headers:
        return dict(headers)
    unsigned = {name: value for name, value in headers.items() if name not in _NOT_SIGNED}
    request = AWSRequest(method=method, url=f"http://{headers['host']}{path}", headers=unsigned, data=body)
    S3SigV4Auth(Credentials(*ADMIN), "s3", "us-east-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}
