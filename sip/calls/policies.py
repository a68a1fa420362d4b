"""The company's policy as calls see it, as a protocol: the daemon's wiring fills it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from retention.policy_rules import CallAbout, Governed
from sip.calls.plan import Sample


class Policies(Protocol):
    """The version in force."""

    async def govern(self, about: CallAbout, now: datetime) -> Governed | None:
        """What it says of a call, whose groups are filled in; None before the first version. Raises StorageError."""

    async def draw(self, governed: Governed, about: CallAbout, call_id: str, now: datetime) -> Sample:
        """Whether this call of a sampled purpose is recorded, and counted at once. In doubt it is not."""

    async def every_rule(self, now: datetime) -> Sequence[Governed]:
        """All that records, under the version in force and those that are approved: prompts are made ahead."""


class NoPolicies:
    """Lines speak for themselves."""

    async def govern(self, about: CallAbout, now: datetime) -> Governed | None:
        return None

    async def draw(self, governed: Governed, about: CallAbout, call_id: str, now: datetime) -> Sample:
        return Sample(about.line or "", now.date(), False)

    async def every_rule(self, now: datetime) -> Sequence[Governed]:
        return ()
