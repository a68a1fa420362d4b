"""What a rule says has happened, and sums over a while. Pure and bounded."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

MAX_SUBJECTS = 1000
MAX_PIECES = 600


@dataclass(frozen=True, slots=True)
class Raised:
    """One kind of alert is due. `subject`: an opaque id or "". `lasts`: a condition that goes on holding."""

    kind: str
    subject: str = ""
    count: int = 1
    lasts: bool = False


class Windows:
    """How much of one thing there was lately, for each subject: of the MAX_SUBJECTS that were heard of last."""

    def __init__(self, count: int, within: timedelta) -> None:
        self._count, self._within = count, within
        self._pieces: OrderedDict[str, deque[tuple[datetime, int]]] = OrderedDict()

    def add(self, subject: str, at: datetime, much: int = 1) -> int:
        """What is now to be counted in an alert: 0 below the threshold; all that was within the window when it is
        reached, then each further piece."""
        pieces = self._pieces.setdefault(subject, deque())
        self._pieces.move_to_end(subject)
        while len(self._pieces) > MAX_SUBJECTS:
            self._pieces.popitem(last=False)
        while pieces and pieces[0][0] <= at - self._within:
            pieces.popleft()
        before = sum(piece for _, piece in pieces)
        pieces.append((at, much))
        if len(pieces) > MAX_PIECES:  # the oldest two count as one, from the later moment
            (_, first), (later, second) = pieces.popleft(), pieces.popleft()
            pieces.appendleft((later, first + second))
        if before + much < self._count:
            return 0
        return much if before >= self._count else before + much

    def __len__(self) -> int:
        return len(self._pieces)


def together(raised: Iterable[Raised]) -> list[Raised]:
    """One for each kind and subject, with the sum: a storm is one row that is written once."""
    found: dict[tuple[str, str], Raised] = {}
    for one in raised:
        known = found.get((one.kind, one.subject))
        count = one.count if known is None else known.count + one.count
        found[one.kind, one.subject] = Raised(one.kind, one.subject, count, one.lasts)
    return list(found.values())
