"""What boto3 raises, as errors of ours: one place that knows S3's codes."""

from botocore.exceptions import BotoCoreError, ClientError

from batch.errors import AccessDenied, EncryptionRefused, InputNotFound, JobError, StoreUnavailable, UsageError
from models.s3_faults import TRY_AGAIN, has_no_credentials, is_unanswered

S3_FAULTS = (ClientError, BotoCoreError)

_RENEW = "Renew the credentials (aws sso login, or new keys) and run the same command again."
_ADVICE = {
    "ExpiredToken": _RENEW,
    "ExpiredTokenException": _RENEW,
    "TokenRefreshRequired": _RENEW,
    "RequestExpired": _RENEW,
    "InvalidToken": _RENEW,
    "InvalidAccessKeyId": "The store does not know this access key; check profile, AWS_ACCESS_KEY_ID and endpoint.",
    "SignatureDoesNotMatch": "The secret key does not belong to the access key; check AWS_SECRET_ACCESS_KEY.",
    "AuthorizationHeaderMalformed": "The request was signed for another region; check --region or AWS_REGION.",
    "RequestTimeTooSkewed": "This machine's clock is wrong; set it and run the same command again.",
}
#: What a store says that cannot encrypt, or not with that key.
_NO_ENCRYPTION = frozenset({"NotImplemented", "InvalidArgument", "InvalidRequest", "InvalidEncryptionAlgorithmError"})
_PERMISSIONS = {"list": "s3:ListBucket", "read": "s3:GetObject", "write": "s3:PutObject", "delete": "s3:DeleteObject"}


def code_of(error: Exception) -> str:
    """S3's name for the fault ("NoSuchKey"; the status where the answer had no body), or the exception's own."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code") or status_of(error))
    return type(error).__name__


def status_of(error: Exception) -> int:
    """The HTTP status, or 0 where no answer came."""
    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return 0


def is_transient(error: Exception) -> bool:
    """Whether the same request may be answered a moment later: no answer, a fault of the store's own, or throttling."""
    if isinstance(error, ClientError):
        code, status = code_of(error), status_of(error)
        return code not in _ADVICE and status != 501 and (status >= 500 or status == 429 or code in TRY_AGAIN)
    return is_unanswered(error) and not has_no_credentials(error)


def as_job_error(error: Exception, operation: str, url: str, *, sse: str | None = None) -> JobError:
    """The error to raise for a fault that trying again did not mend.

    Args:
        operation: "list", "read", "write" or "delete".
        sse: the encryption that was asked for with a write.
    """
    code, status = code_of(error), status_of(error)
    if has_no_credentials(error):
        advice = f"{error}. Give credentials the boto3 way: a profile, AWS_ACCESS_KEY_ID, or an instance role."
        return AccessDenied(operation, url, code="no credentials", advice=advice, is_about_credentials=True)
    if is_unanswered(error):
        return StoreUnavailable(operation, url, str(error).rstrip("."))
    if not isinstance(error, ClientError):
        return UsageError(f"cannot {operation} {url}: {' '.join(str(error).split())}")
    if code in _ADVICE:
        return AccessDenied(operation, url, code=code, advice=_ADVICE[code], is_about_credentials=True)
    if status in (401, 403):
        key = " (and kms:GenerateDataKey on the key of --sse aws:kms)" if sse == "aws:kms" else ""
        advice = f"Grant {_PERMISSIONS[operation]} on it{key} to these credentials, or use others."
        if operation == "read":
            advice += " Without s3:ListBucket, S3 says so of a missing object too."
        return AccessDenied(operation, url, code=code, advice=advice)
    if code == "NoSuchBucket":
        bucket = url.removeprefix("s3://").partition("/")[0]
        return InputNotFound(url, f"there is no bucket {bucket!r}", advice="Check the name and the endpoint.")
    if status == 404:
        return InputNotFound(url)
    message = error.response.get("Error", {}).get("Message") or f"HTTP {status}"
    if sse is not None and (code in _NO_ENCRYPTION or code.startswith("KMS.")):
        return EncryptionRefused(url, sse, found=f"it answered {code}: {message.rstrip('.')}")
    if is_transient(error):
        asked = f" (with --sse {sse})" if sse is not None else ""
        return StoreUnavailable(operation, url, f"{code}: {message.rstrip('.')}{asked}")
    return UsageError(f"cannot {operation} {url}: {code}: {message}")
