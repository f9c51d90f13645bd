"""Why an address in a row was not read: a fault of that row, said without telling of the network here.

Exception
└── FetchFault
    ├── FetchRefused     RefusedUri      this server does not read there
    └── FetchUnreadable  UnreadableUri   it does, and could not
"""

from __future__ import annotations


class FetchFault(Exception):
    """One address was not read.

    Attributes:
        kind: the class of the row's error.
    """

    kind = "UnreadableUri"


class FetchRefused(FetchFault):
    """It is not below the operator's list, or leads to where nobody may read."""

    kind = "RefusedUri"


class FetchUnreadable(FetchFault):
    """It did not answer, or not with what can be taken."""
