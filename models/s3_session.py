"""boto3's sessions, which share what botocore reads of its own files."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3


def open_session(*, profile: str | None, region: str | None) -> boto3.Session:
    """A session with credentials and settings of its own; None is what boto3 finds by itself.

    Each session parses botocore's description of S3 anew, 55 ms; ours share one parse in a process.

    Raises:
        BotoCoreError: there is no such profile.
    """
    import boto3
    import botocore.session

    core = botocore.session.Session(profile=profile)
    core.register_component("data_loader", shared_loader())
    return boto3.Session(botocore_session=core, profile_name=profile, region_name=region)


@cache
def shared_loader() -> Any:
    import botocore.loaders

    return botocore.loaders.create_loader()
