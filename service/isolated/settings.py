"""What the operator may say of models in processes of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from service.setting import Setting, whole_number, yes

ISOLATED = Setting[bool](
    variable="TANDEM_ISOLATED", flag="--isolated", read=yes, default=False, metavar="",
    help="Each model in a process of its own: one that crashes or hangs over a row costs that row, not the server.",
)  # fmt: skip
SPARE_PROCESSES = Setting[int](
    variable="TANDEM_SPARE_PROCESSES", flag="--spare-processes", read=whole_number(0, 64), default=1, metavar="N",
    help="With --isolated: processes without a model, for one that died at once, and for POST /models/load.",
)  # fmt: skip
PATIENCE_S = Setting[int](
    variable="TANDEM_PATIENCE_S", flag="--patience", read=whole_number(1, 86400), default=45, metavar="SECONDS",
    help="With --isolated: a window that takes longer, and ten times longer than any before, is taken for one that "
    "hangs: its process is killed.",
)  # fmt: skip
ISOLATION = (ISOLATED, SPARE_PROCESSES, PATIENCE_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolatedSettings:
    """Whether models have processes of their own, and how these are looked after.

    Attributes:
        on: whether they do.
        spare: processes beyond one for each model named at the start.
        patience_s: after which a window is taken for one that hangs.
    """

    on: bool = False
    spare: int = SPARE_PROCESSES.default
    patience_s: int = PATIENCE_S.default

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> IsolatedSettings:
        return cls(on=ISOLATED.of(environ), spare=SPARE_PROCESSES.of(environ), patience_s=PATIENCE_S.of(environ))
