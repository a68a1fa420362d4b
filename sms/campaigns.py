"""What becomes of a campaign: its states, what leads from one to the next, and the seal on what was approved. Pure.

    draft ─import─▶ importing ─▶ draft ─check─▶ checked ─submit─▶ waiting ─approve─▶ approved ─start─▶ running ⇄ paused
                                                     └──────────── where one person is enough ─▶ approved     └▶ done
    from everywhere but the end: cancelled

What was written may be changed until it is approved, and then is a draft again; afterwards nothing changes, and
whatever was altered behind our back is found by the seal before anything goes.
"""

from __future__ import annotations

import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType


class State(enum.StrEnum):
    DRAFT = "draft"
    IMPORTING = "importing"  # its list is being written; left so by a crash it can only be cancelled
    CHECKED = "checked"  # somebody has seen what it would do
    WAITING = "waiting"  # for a second person
    APPROVED = "approved"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


class Act(enum.StrEnum):
    CHANGE = "change"
    IMPORT = "import"
    IMPORTED = "imported"
    CHECK = "check"
    SUBMIT = "submit"
    APPROVE = "approve"
    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    FINISH = "finish"
    CANCEL = "cancel"


_CANCELLABLE = {Act.CANCEL: State.CANCELLED}
_WRITTEN = {Act.CHANGE: State.DRAFT, Act.CHECK: State.CHECKED, **_CANCELLABLE}
TRANSITIONS: Mapping[State, Mapping[Act, State]] = MappingProxyType(
    {
        State.DRAFT: {**_WRITTEN, Act.IMPORT: State.IMPORTING},
        State.IMPORTING: {Act.IMPORTED: State.DRAFT, **_CANCELLABLE},
        State.CHECKED: {**_WRITTEN, Act.SUBMIT: State.WAITING},
        State.WAITING: {**_WRITTEN, Act.APPROVE: State.APPROVED},
        State.APPROVED: {Act.START: State.RUNNING, **_CANCELLABLE},
        State.RUNNING: {Act.PAUSE: State.PAUSED, Act.FINISH: State.DONE, **_CANCELLABLE},
        State.PAUSED: {Act.RESUME: State.RUNNING, **_CANCELLABLE},
        State.DONE: {},
        State.CANCELLED: {},
    }
)


class NotNowError(ValueError):
    """This is not done to a campaign in that state."""

    def __init__(self, state: State, act: Act) -> None:
        super().__init__(f"it is {state}: {_CANNOT[act]}")
        self.state = state
        self.act = act


_CANNOT = {
    Act.CHANGE: "nothing of it is changed any more",
    Act.IMPORT: "its list is not imported now",
    Act.IMPORTED: "no list is being imported",
    Act.CHECK: "it cannot be checked",
    Act.SUBMIT: "simulate it first, then submit it",
    Act.APPROVE: "nothing waits for approval",
    Act.START: "only what is approved is started",
    Act.PAUSE: "it does not run",
    Act.RESUME: "it is not paused",
    Act.FINISH: "it does not run",
    Act.CANCEL: "it is over",
}


def after(state: State, act: Act) -> State:
    """Raises NotNowError."""
    found = TRANSITIONS[state].get(act)
    if found is None:
        raise NotNowError(state, act)
    return found


class Seal:
    """SHA-256 over what is approved: give it each recipient in the order of the list."""

    def __init__(self, template: str, *, transliterated: bool, sender_id: str, message_class: str, sector: str,
                 target: str, language: str) -> None:  # fmt: skip
        self._hash = hashlib.sha256(b"beffroi/campaign/1\0")
        self._add([template, transliterated, sender_id, message_class, sector, target, language])

    def recipient(self, line: int, number: str, fields: Mapping[str, str]) -> None:
        self._add([line, number, dict(sorted(fields.items()))])

    def hexdigest(self) -> str:
        return self._hash.hexdigest()

    def _add(self, said: object) -> None:
        raw = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
        self._hash.update(len(raw).to_bytes(4, "big") + raw)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one campaign. `sent`: the network has or had them; the others say what became of those."""

    recipients: int = 0
    waiting: int = 0
    later: int = 0
    refused: int = 0
    cancelled: int = 0
    queued: int = 0
    sent: int = 0
    delivered: int = 0
    failed: int = 0
    unknown: int = 0
    replies: int = 0
    opt_outs: int = 0
    by_ground: Mapping[str, int] = field(default_factory=dict)

    @property
    def opt_out_per_mille(self) -> int | None:
        """STOP answers to a thousand that were delivered; None before any was."""
        return round(1000 * self.opt_outs / self.delivered) if self.delivered else None


_QUEUED, _FAILED = ("held", "queued", "sending"), ("undelivered", "expired", "rejected", "failed", "refused")


def figures(
    recipients: Mapping[str, int],
    messages: Mapping[str, int],
    by_ground: Mapping[str, int],
    replies: int,
    opt_outs: int,
) -> Figures:
    """From counts by state: of the list, of its messages."""

    def of(states: Iterable[str]) -> int:
        return sum(messages.get(state, 0) for state in states)

    return Figures(
        recipients=sum(recipients.values()),
        waiting=recipients.get("waiting", 0),
        later=recipients.get("later", 0),
        refused=recipients.get("refused", 0),
        cancelled=recipients.get("cancelled", 0) + messages.get("cancelled", 0),
        queued=of(_QUEUED),
        sent=of(("sent", "delivered", "undelivered", "unknown")),
        delivered=messages.get("delivered", 0),
        failed=of(_FAILED),
        unknown=messages.get("unknown", 0),
        replies=replies,
        opt_outs=opt_outs,
        by_ground=dict(by_ground),
    )


def too_many_opt_outs(now: Figures, *, at_least: int, per_mille: int) -> bool:
    """Whether somebody should look: `at_least` STOP answers, and so many to a thousand that were delivered."""
    rate = now.opt_out_per_mille
    return now.opt_outs >= at_least and (rate is None or rate >= per_mille)
