"""What boto3 raises where a model is fetched or pushed, as errors of ours: by what can be done about them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from models.errors import ModelAccessDenied, ModelError, ModelNotFound, ModelStoreUnavailable, SpecInvalid
from models.s3_session import open_session

Action = Literal["fetch", "push"]

#: Codes that more patience does not mend, whatever status they come with.
REFUSALS = frozenset({
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed",
    "ExpiredToken", "ExpiredTokenException", "InvalidToken", "TokenRefreshRequired", "RequestTimeTooSkewed",
})  # fmt: skip
TRY_AGAIN = frozenset({"RequestTimeout", "SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded"})


def open_client(
    url: str, *, endpoint_url: str | None = None, region: str | None = None, profile: str | None = None
) -> Any:
    """boto3's client of the store that holds `url`; None is what boto3 finds by itself.

    Raises:
        SpecInvalid: there is no such profile, or the endpoint or region is none.
    """
    from botocore.exceptions import BotoCoreError

    try:
        session = open_session(profile=profile, region=region)
        return session.client("s3", endpoint_url=endpoint_url)
    except (BotoCoreError, ValueError) as error:
        raise wrong_settings(url, error) from None


@contextmanager
def s3_faults(url: str, action: Action, file: str = "") -> Iterator[None]:
    """Turn what boto3 raises inside into a ModelError.

    Args:
        url: the model's prefix.
        action: what is done with it.
        file: of the model, which is asked for.

    Raises:
        ModelNotFound: nothing to fetch there.
        ModelAccessDenied: no credentials, or not these.
        ModelStoreUnavailable: no answer, or one that says to try again.
        SpecInvalid: anything else, which trying again does not mend.
    """
    from boto3.exceptions import RetriesExceededError, S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except S3UploadFailedError as error:  # raised while the store's own answer was being handled
        raise as_model_error(error.__context__ or error, url, action, file) from None
    except RetriesExceededError as error:
        raise as_model_error(getattr(error, "last_exception", error), url, action, file) from None
    except (BotoCoreError, ClientError) as error:
        raise as_model_error(error, url, action, file) from None


def has_no_credentials(error: BaseException) -> bool:
    """Whether boto3 found none, or could not make them: nothing was asked."""
    from botocore.exceptions import (
        CredentialRetrievalError,
        NoCredentialsError,
        PartialCredentialsError,
        SSOError,
        TokenRetrievalError,
    )

    found = NoCredentialsError | PartialCredentialsError | CredentialRetrievalError | SSOError | TokenRetrievalError
    return isinstance(error, found)


def is_unanswered(error: BaseException) -> bool:
    """Whether the store gave no answer, or not the whole of it."""
    from botocore import exceptions

    return isinstance(error, exceptions.ConnectionError | exceptions.HTTPClientError | exceptions.IncompleteReadError)


def as_model_error(error: BaseException, url: str, action: Action, file: str = "") -> ModelError:
    """The error to raise for a fault that boto3's own retries did not mend."""
    from botocore.exceptions import BotoCoreError, ClientError

    if has_no_credentials(error):
        return ModelAccessDenied(url, why=str(error).rstrip("."), action=action)
    if isinstance(error, BotoCoreError) and not is_unanswered(error):
        return wrong_settings(url, error)
    if not isinstance(error, ClientError):
        return ModelStoreUnavailable(url, why=str(error).rstrip("."), action=action)
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status == 404 and action == "push":
        bucket = url.removeprefix("s3://").partition("/")[0]
        return SpecInvalid(
            url, f"the model could not be pushed: there is no bucket {bucket!r} ({code})",
            remedy="Make it, or check its name and the endpoint.",
        )  # fmt: skip
    if status == 404:
        return ModelNotFound(url, looked_in=[f"{url.rstrip('/')}/{file}, which is not there ({code})"])
    if status >= 500 or status == 429 or code in TRY_AGAIN:
        return ModelStoreUnavailable(url, why=code or f"HTTP {status}", action=action)
    if status in (400, 401, 403) or code in REFUSALS:
        return ModelAccessDenied(url, why=code or f"HTTP {status}", action=action)
    return wrong_settings(url, error)


def wrong_settings(url: str, error: Exception) -> SpecInvalid:
    return SpecInvalid(
        url, f"the object store cannot be asked ({str(error).rstrip('.')})",
        remedy="Check --endpoint-url, --region and --aws-profile, and the AWS settings of this machine.",
    )  # fmt: skip
