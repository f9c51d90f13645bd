"""What can go wrong with a job, and the code it exits with.

    JobError
    ├── UsageError              2   the command, the job file or the input has to be changed
    │   ├── SchemaMismatch          plan: a source lacks a column, or has it with another type
    │   ├── InputNotFound           plan, read: no such bucket, folder or object
    │   ├── UnreadableParquet       plan, read: truncated, empty, or no Parquet at all
    │   ├── WhereError              plan: --where says what we do not understand
    │   ├── TableRefused            plan, commit: a Delta table that cannot be read or written as asked
    │   ├── Unfinished              retry: shards have no part yet, which only a run makes
    │   ├── DoesNotFit              submit: the job needs what only this machine has (submit/fit.py)
    │   ├── KubectlMissing          submit: there is no kubectl on the path (submit/kubectl.py)
    │   ├── ConditionIgnored        commit: the store overwrites where it was told not to
    │   └── EncryptionRefused       commit: the store does not encrypt as --sse asks
    ├── ModelProblem            3   the model and the job do not go together
    │   ├── RuntimeMissing          plan: this host lacks the runtime that the job was begun with
    │   └── ReferenceMissing        plan: this host cannot run what the job's variant is to be compared with
    ├── FingerprintMismatch     3   plan: the output belongs to another job
    ├── InputChanged            3   read: an object is no longer what was planned
    ├── ReplaceInterrupted      3   plan: parts that a --replace kept are no longer what the input is cut into
    ├── TooManyErrors           4   predict: more error rows than --max-error-rate or --max-errors
    ├── StoreUnavailable       75   any step: the store did not answer; the same command again
    ├── Interrupted            75   any step: asked to stop; the same command again
    └── AccessDenied           77   any step: no permission, or no valid credentials

Retrying is decided by type: only exit code 75 is worth the same command again. Every error crosses processes: it is
pickled with its fields.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from batch.amounts import counted


class JobError(Exception):
    """A job could not do what was asked; the message is one line for the one who asked."""

    exit_code: ClassVar[int] = 2

    def __reduce__(self) -> tuple[Any, ...]:
        return revive, (type(self), self.args, self.__dict__)


def revive(kind: type[Exception], args: tuple[Any, ...], fields: dict[str, Any]) -> Exception:
    """An error as it was in another process, without running its constructor, whose arguments are not its `args`."""
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(fields)
    return error


class UsageError(JobError):
    """The command or the job file asks for something that cannot be done."""

    exit_code = 2


class SchemaMismatch(UsageError):
    """A source file does not have the columns that the job takes.

    Args:
        source: the object's url.
        expected: the columns at fault -> the type that is taken, in words.
        found: every column of the source -> its type.
    """

    def __init__(
        self,
        source: str,
        *,
        expected: Mapping[str, str],
        found: Mapping[str, str],
        advice: str = "Map its columns with --column MODEL_COLUMN=SOURCE_COLUMN, as in --column text=body.",
    ) -> None:
        missing = [f"{name} ({kind})" for name, kind in expected.items() if name not in found]
        wrong = [f"{name} as {found[name]} instead of {kind}" for name, kind in expected.items() if name in found]
        faults = [f"lacks {', '.join(missing)}"] if missing else []
        faults += [f"has {', '.join(wrong)}"] if wrong else []
        has = ", ".join(f"{name} ({kind})" for name, kind in found.items()) or "no column"
        super().__init__(f"{source} {' and '.join(faults)}; its columns are: {has}. {advice}")
        self.source, self.expected, self.found = source, dict(expected), dict(found)


class InputNotFound(UsageError):
    """A bucket, a folder or an object that was named is not there."""

    def __init__(self, url: str, reason: str = "it does not exist", *, advice: str = "Check the name.") -> None:
        super().__init__(f"{url} was not found: {reason}. {advice}")
        self.url, self.reason = url, reason


class UnreadableParquet(UsageError):
    """An object is named like Parquet and is none, or not all of it."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(
            f"{url} is not readable as Parquet: {reason}. "
            "Write it again or remove it (then run with --replace); names that begin with '_' or '.' are not read."
        )
        self.url, self.reason = url, reason


class WhereError(UsageError):
    """A filter that is not understood is refused: half of a filter would let the wrong rows in."""

    def __init__(self, text: str, reason: str) -> None:
        shown = text if len(text) <= 200 else text[:200] + "..."
        super().__init__(
            f"--where {shown!r}: {reason}. Understood are = != <> < <= > >=, AND, OR, NOT, IN, BETWEEN, IS [NOT] NULL, "
            "LIKE, parentheses, columns (\"quoted\" where needed), 'text', numbers, TRUE, FALSE, DATE '2026-01-31'."
        )
        self.text, self.reason = text, reason


class TableRefused(UsageError):
    """A Delta table asks for what we do not do, is not as it says, or is not ours to write."""

    def __init__(self, url: str, reason: str, *, advice: str = "") -> None:
        super().__init__(f"the Delta table at {url}: {reason}.{' ' if advice else ''}{advice}")
        self.url, self.reason = url, reason


class Unfinished(UsageError):
    """A retry has done what it could; the job needs a run, as its own shards are not all committed."""

    def __init__(self, url: str, *, left: int, shards: int, rows: int) -> None:
        done = f"{rows} error rows of the others were run again, and what came of them is committed"
        super().__init__(
            f"{left} of {shards} shards of {url} have no part yet, and a retry makes none: run the job's own "
            f"`tandem run` again, or wait for the one at work. {done if rows else 'The others had none to run again'}."
        )
        self.url, self.left, self.shards, self.rows = url, left, shards, rows


class ConditionIgnored(UsageError):
    """The store accepts a second write where the first was to count, so two runs could overwrite each other."""

    def __init__(
        self, url: str, operation: str, found: str = "it accepted a second write", *, condition: str = "If-None-Match"
    ) -> None:
        super().__init__(
            f"the store behind {url} does not honour {condition} on {operation}: {found}, where 412 was expected. "
            "Use a store with conditional writes (Amazon S3, SeaweedFS, MinIO) or a local folder for the output."
        )
        self.url, self.operation, self.found = url, operation, found


class EncryptionRefused(UsageError):
    """The store cannot encrypt as it was asked to, or says nothing and does not."""

    def __init__(self, url: str, sse: str, *, found: str) -> None:
        super().__init__(
            f"the store behind {url} does not encrypt as --sse {sse} asks: {found}. "
            "Use a store and a key that do, or leave --sse out where the bucket encrypts by itself."
        )
        self.url, self.sse, self.found = url, sse, found


class ModelProblem(JobError):
    """The model cannot be loaded, verified, or used for this job."""

    exit_code = 3


class RuntimeMissing(ModelProblem):
    """This host cannot run the runtime that the job was begun with."""

    def __init__(self, runtime: str, reason: str, *, advice: str) -> None:
        super().__init__(f"the job's runtime is {runtime}, which this host lacks: {reason}. {advice}")
        self.runtime, self.reason = runtime, reason


class ReferenceMissing(ModelProblem):
    """This host cannot run the reference, so nobody knows whether the job's variant answers as it does."""

    def __init__(self, variant: str, *, reference: str, reason: str) -> None:
        super().__init__(
            f"{variant} cannot be compared with the reference {reference}, which this host cannot run: {reason}. "
            "Begin the job where it can: rows are compared once, before the first part."
        )
        self.variant, self.reference, self.reason = variant, reference, reason


class FingerprintMismatch(JobError):
    """The output was begun by a job that would have given other answers."""

    exit_code = 3

    def __init__(self, url: str, *, expected: str, found: str, differences: str = "") -> None:
        why = f" ({differences})" if differences else ""
        super().__init__(
            f"{url} holds the output of another job: expected fingerprint {expected}, found {found}{why}. "
            "Choose another --output, run with the settings it was begun with, or begin anew there with --replace."
        )
        self.url, self.expected, self.found, self.differences = url, expected, found, differences


class InputChanged(JobError):
    """An object is not the one that was planned; reading on would mix two versions."""

    exit_code = 3

    def __init__(self, url: str, *, expected: str, found: str = "another") -> None:
        super().__init__(
            f"{url} changed after it was planned: expected ETag {expected}, found {found}. "
            "Put the planned version back, choose another --output, or run with --replace."
        )
        self.url, self.expected, self.found = url, expected, found


class ReplaceInterrupted(JobError):
    """A `--replace` ended between two plans, and parts that it kept are none of the plan's to come.

    Args:
        first: the url of one of them.
        parts: how many.
    """

    exit_code = 3

    def __init__(self, first: str, *, parts: int) -> None:
        super().__init__(
            f"{first} was kept by a --replace that was interrupted ({counted(parts, 'such part')}), and the input has "
            "changed or grown since, so that rows would be there twice. Run with --replace."
        )
        self.first, self.parts = first, parts


class TooManyErrors(JobError):
    """More rows failed than the job allows; what is committed stays."""

    exit_code = 4

    def __init__(
        self, *, errors: int, rows: int, max_error_rate: float = 1.0, max_errors: int | None = None, first: str = ""
    ) -> None:
        example = f" The first: {first}." if first else ""
        is_count = max_errors is not None and errors > max_errors
        flag, bound = ("--max-errors", f"{max_errors}") if is_count else ("--max-error-rate", f"{max_error_rate:g}")
        super().__init__(
            f"{errors} of {rows} rows are error rows, more than {flag} {bound} allows.{example} "
            f"Mend the input or raise {flag}; what is committed stays."
        )
        self.errors, self.rows, self.first = errors, rows, first
        self.max_error_rate, self.max_errors = max_error_rate, max_errors


class StoreUnavailable(JobError):
    """The store did not answer as a working store does, and retrying within the bound did not help."""

    exit_code = 75

    def __init__(self, operation: str, url: str, reason: str) -> None:
        super().__init__(f"cannot {operation} {url}: {reason}. Nothing is lost; run the same command again.")
        self.operation, self.url, self.reason = operation, url, reason


class Interrupted(JobError):
    """The job was asked to stop before it was done; what is finished is committed."""

    exit_code = 75

    def __init__(self, reason: str = "it was asked to stop") -> None:
        super().__init__(f"the job ended early: {reason}. What is finished is committed; run the same command again.")
        self.reason = reason


class AccessDenied(JobError):
    """The store knows us not, no longer, or does not let us.

    `is_about_credentials` where it is so of every object, as with those that have expired.
    """

    exit_code = 77

    def __init__(self, operation: str, url: str, *, code: str, advice: str, is_about_credentials: bool = False) -> None:
        super().__init__(f"not allowed to {operation} {url}: {code}. {advice}")
        self.operation, self.url, self.code = operation, url, code
        self.is_about_credentials = is_about_credentials
