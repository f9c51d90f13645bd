"""AWS: clients, what a stack says of itself, and boto3's errors as errors of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from batch.errors import AccessDenied, JobError, StoreUnavailable, UsageError

_RENEW = "Renew the credentials (aws sso login, or new keys) and run the same command again."
_EXPIRED = frozenset({"ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"})
_UNKNOWN = frozenset(
    {"InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch", "InvalidSignatureException"}
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized"})
_THROTTLED = frozenset({"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded"})


def open_client(service: str, region: str | None, profile: str | None = None) -> Any:
    """boto3's client of a service; None is what boto3 finds by itself.

    Raises:
        UsageError: there is no region, or no such profile.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, NoRegionError

    from models.s3_session import open_session

    config = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=5, read_timeout=30)
    try:
        return open_session(profile=profile, region=region).client(service, config=config)  # type: ignore[call-overload]
    except NoRegionError:
        raise UsageError("no AWS region is set; name one with --region, or set AWS_REGION.") from None
    except (BotoCoreError, ValueError) as error:
        raise UsageError(f"AWS cannot be asked: {one_line(error)}.") from None


@contextmanager
def aws_faults(action: str, what: str) -> Iterator[None]:
    """Turn what boto3 raises inside into a JobError.

    Args:
        action: AWS's own name of it ("batch:SubmitJob"), which is also the permission that it takes.
        what: to whom it is done, for people.

    Raises:
        AccessDenied: no credentials, not these, or no longer (77).
        StoreUnavailable: no answer, or one that says to try again (75).
        UsageError: AWS does not take what it was asked (2).
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise as_job_error(error, action, what) from error


def as_job_error(error: Exception, action: str, what: str) -> JobError:
    """The error to raise for a fault that boto3's own retries did not mend."""
    from botocore.exceptions import ClientError

    from models.s3_faults import has_no_credentials, is_unanswered

    if has_no_credentials(error):
        advice = "Give credentials the boto3 way: a profile, AWS_ACCESS_KEY_ID, or a role."
        return AccessDenied(action, what, code=one_line(error), advice=advice, is_about_credentials=True)
    if is_unanswered(error):
        return StoreUnavailable(action, what, one_line(error))
    if not isinstance(error, ClientError):
        return UsageError(f"cannot {action} {what}: {one_line(error)}.")
    said = error.response.get("Error", {})
    code, message = str(said.get("Code", "")), " ".join(str(said.get("Message", "")).split()).rstrip(".")
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _EXPIRED:
        return AccessDenied(action, what, code=code, advice=_RENEW, is_about_credentials=True)
    if code in _UNKNOWN:
        advice = "AWS does not know these credentials; check AWS_PROFILE and AWS_ACCESS_KEY_ID."
        return AccessDenied(action, what, code=code, advice=advice, is_about_credentials=True)
    if code in _DENIED or status in (401, 403):
        return AccessDenied(action, what, code=code, advice=f"Grant {action} to these credentials, or use others.")
    if status >= 500 or status == 429 or code in _THROTTLED:
        return StoreUnavailable(action, what, f"{code}: {message}")
    return UsageError(f"cannot {action} {what}: {code}: {message}.")


def stack_output(stack: str, output: str, *, region: str | None, instead: str) -> str:
    """What a CloudFormation stack says of itself under a name.

    Args:
        instead: the flag that makes the question needless.

    Raises:
        UsageError: there is no such stack, it is not made yet, or it has no such output.
    """
    from botocore.exceptions import ClientError

    client = open_client("cloudformation", region)
    with aws_faults("cloudformation:DescribeStacks", f"the stack {stack}"):
        try:
            (found,) = client.describe_stacks(StackName=stack)["Stacks"]
        except ClientError as error:
            if "does not exist" not in str(error):
                raise
            place = client.meta.region_name
            raise UsageError(
                f"there is no stack {stack!r} in {place}; deploy it (infra/README.md), or name another with --stack, "
                f"another region with --region, or {instead}."
            ) from None
    outputs = {entry["OutputKey"]: str(entry["OutputValue"]) for entry in found.get("Outputs", [])}
    if output not in outputs:
        has = ", ".join(sorted(outputs)) or "none"
        raise UsageError(
            f"the stack {stack} ({found['StackStatus']}) has no output {output}; it has: {has}. "
            f"Deploy the template that makes it (infra/README.md), or give {instead}."
        )
    return outputs[output]


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
