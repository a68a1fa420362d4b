"""What goes on beside the calls: who is told of emergency calls, what outside calls cost, how the trunks are.

Call control tells; nothing here may wait or fail, for a call would wait with it. The server's wiring fills it in.
"""

from __future__ import annotations

from dataclasses import dataclass

from sip.calls.plan import CallPlan, TrunkTarget
from sip.calls.ports import ClosedCall


@dataclass
class OutsideLeg:
    """One channel of a trunk that a call holds."""

    call_id: str
    leg: str
    trunk_id: str
    target: TrunkTarget | None  # None: the call came in by it
    answered_s: float | None = None  # on the monotonic clock

    def talk_s(self, now_s: float) -> float:
        """Since it was answered; 0.0 if it was not."""
        return 0.0 if self.answered_s is None else max(0.0, now_s - self.answered_s)


class Duty:
    """Does nothing: for tests, and for a call control that stands alone."""

    def began(self, plan: CallPlan) -> None:
        """A call has a worker."""

    def ended(self, closed: ClosedCall) -> None:
        """A call is over; told even where its record could not be written."""

    def leg_answered(self, leg: OutsideLeg) -> None:
        """Money is being spent from now on."""

    def leg_ended(self, leg: OutsideLeg, talk_s: float) -> None:
        """A channel is free; ``talk_s`` 0.0: it was not answered."""

    def trunk_failed(self, trunk_id: str) -> None:
        """The provider did not take a call, for a reason of its own: 408, 5xx, no answer at all."""
