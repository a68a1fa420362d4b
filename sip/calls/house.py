"""What the planner asks of the running house, without waiting: who talks, what rings, how the trunks are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class RunningUse:
    """What the running outside calls of one owner have come to, beyond what is summed up already."""

    calls: int = 0
    seconds: float = 0.0
    microeuros: int = 0


class House(Protocol):
    """Answers from memory."""

    def talks(self, account_id: str) -> bool:
        """Whether the account has a call that goes on or rings."""

    def ringing(self, account_ids: Collection[str]) -> str | None:
        """Id of a call that rings at one of these accounts and may be picked up; the one that rings longest."""

    def trunk_up(self, trunk_id: str) -> bool | None:
        """None: nobody knows."""

    def channels_in_use(self, trunk_id: str) -> int:
        """Calls that go on by this trunk, or are being set up."""

    def running(self, owner: str) -> RunningUse:
        """``owner``: see ``storage.limits``."""


class EmptyHouse:
    """Nothing goes on: for tests, and before the daemon is up."""

    def talks(self, account_id: str) -> bool:
        return False

    def ringing(self, account_ids: Collection[str]) -> str | None:
        return None

    def trunk_up(self, trunk_id: str) -> bool | None:
        return None

    def channels_in_use(self, trunk_id: str) -> int:
        return 0

    def running(self, owner: str) -> RunningUse:
        return RunningUse()
