"""What call control needs from the rest of the house, as protocols: the daemon's wiring fills them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sip.calls.acts import Gap
from sip.calls.plan import CallPlan, Evidence, Joining, Outcome, Party, Refusal, TransferRequest
from sip.edge.protocol import EdgeRequest


class RecordingUnavailable(Exception):
    """No recording can be begun: recorder gone or refusing, disk full, no reader for the purpose."""


@dataclass(frozen=True, slots=True)
class RecordingOrder:
    """Everything a recording is begun with. The evidence is in the ledger before this exists."""

    rec_id: str
    plan: CallPlan
    legs: tuple[str, ...]  # legs that are captured, channel by channel
    ledger_seqs: tuple[int, ...]  # consent entries that prove it
    parties: tuple[Party, ...]  # who is on each leg
    rate_hz: int = 8000  # of the two captures: what the worker's conference runs at


class Planner(Protocol):
    """Decides about a call before it begins, and about who joins one that goes on."""

    async def plan(self, request: EdgeRequest, now: datetime) -> CallPlan | Refusal: ...

    async def plan_refusal(self, request: EdgeRequest, refusal: Refusal, now: datetime) -> CallPlan | None:
        """What the phone whose call was refused is told in words; None: the status has to do."""

    async def plan_transfer(self, transfer: TransferRequest, now: datetime) -> Joining | Refusal:
        """Blind: whoever is named there is dialled, and joins the side that stays."""

    async def plan_joining(self, first: CallPlan, stays: Party, joins: Party, now: datetime) -> Joining:
        """Attended: on which terms somebody who is on the line already joins the conversation ``first``."""

    async def plan_origination(self, account_name: str, number: str, now: datetime) -> CallPlan | Refusal:
        """Click-to-call: the account's own devices ring first, then the number is dialled."""


class Recordings(Protocol):
    """Recordings as call control sees them."""

    async def begin(self, order: RecordingOrder, fds: tuple[int, int], now: datetime) -> None:
        """Make the key, commit its wrap, let the recorder read ``fds``. Raises RecordingUnavailable."""

    async def finish(self, rec_id: str, now: datetime, gaps: tuple[Gap, ...] = ()) -> bool:
        """Seal and keep; whether it is whole. The capture has been flushed. ``gaps``: where it holds silence."""

    async def discard(self, rec_id: str, now: datetime) -> None:
        """It was begun and nothing was captured: take it back."""

    async def destroy(self, rec_id: str, ledger_seq: int | None, now: datetime) -> bool:
        """Through the deletion gate, for the objection in that ledger entry (None: it could not be written down).
        False if it could not be done now; then it is tried again."""


class CallBook(Protocol):
    """Evidence and call records."""

    async def note(self, plan: CallPlan, evidence: Evidence, now: datetime, rec_id: str | None) -> int:
        """Commit an act of consent; its sequence number in the consent ledger. ``rec_id``: the recording that runs."""

    async def close(self, closed: ClosedCall) -> None:
        """Write the call record, with just the fields that its metadata class allows."""


@dataclass(frozen=True, slots=True)
class ClosedCall:
    """A call that is over."""

    plan: CallPlan
    outcome: Outcome
    began_at: datetime
    ended_at: datetime
    talk_s: float  # 0.0 if nobody talked
    rec_ids: tuple[str, ...]  # recordings that were kept: one for each composition of parties

    @property
    def rec_id(self) -> str | None:
        """The first of them."""
        return self.rec_ids[0] if self.rec_ids else None
