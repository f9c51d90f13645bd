"""Does the store keep the promise that everything rests on: that the first write counts?"""

from typing import Protocol, runtime_checkable
from uuid import uuid4

from batch.errors import ConditionIgnored
from batch.stores.storage import Store

PUT_KEY = "_tandem/probe-put"
COMPLETE_KEY = "_tandem/probe-complete"
_BODY = b"Tandem writes this key twice to see that the store refuses the second write.\n"


@runtime_checkable
class EncryptingStore(Protocol):
    """A store that can be asked to encrypt what is written."""

    def check_encryption(self) -> None: ...


@runtime_checkable
class MultipartStore(Protocol):
    """A store that has a second way to write, whose condition has to hold too."""

    def complete_if_absent(self, key: str, body: bytes, *, attempt: str) -> bool: ...


def check_conditional_puts(store: Store) -> None:
    """Write twice where only the first write may count, by every way in which the store writes.

    The probe objects stay, so that any number of runs may check at once: whoever comes second is refused, which is what
    has to be seen. PUT_KEY is written only after Complete was found good, so where it exists already one PUT says all:
    three small requests; the first run under a prefix makes a dozen.

    Raises:
        ConditionIgnored: a second write was accepted.
        EncryptionRefused: encryption was asked for, and is not done.
    """
    if isinstance(store, EncryptingStore):
        store.check_encryption()
    if isinstance(store, MultipartStore) and store.head(PUT_KEY) is None:
        _refuses_second(store.complete_if_absent, store, COMPLETE_KEY, "a multipart Complete")
    _refuses_second(store.put_if_absent, store, PUT_KEY, "PUT")


def check_replacing_puts(store: Store) -> None:
    """See that the store refuses to replace an object by a PUT that names another version of it.

    Raises:
        ConditionIgnored: it replaced the object.
    """
    store.put_if_absent(PUT_KEY, _BODY, attempt=uuid4().hex)
    if store.put_if_match(PUT_KEY, _BODY, etag="0" * 32, attempt=uuid4().hex):
        raise ConditionIgnored(store.url_of(PUT_KEY), "PUT", condition="If-Match")


class _Write(Protocol):
    def __call__(self, key: str, body: bytes, /, *, attempt: str) -> bool: ...


def _refuses_second(write: _Write, store: Store, key: str, operation: str) -> None:
    # The first of the two may be accepted, since the key may be new; of the second there is no doubt.
    if write(key, _BODY, attempt=uuid4().hex) and write(key, _BODY, attempt=uuid4().hex):
        raise ConditionIgnored(store.url_of(key), operation)
