"""What a text that came in brings about by itself, in the transaction that keeps it: an objection first of all, then
the answers that nobody wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from retention import contact_case
from sms.reading import Reading
from storage import consents, ledger, sms_sent, suppressions
from storage.inboxes import Inbox, Sender
from storage.sms_sent import NewText
from storage.tx import Tx

ANSWER_ONCE = timedelta(hours=24)  # an answer that nobody wrote, to the same telephone
SYSTEM, AWAY = "system", "away"  # authors of such answers
STOP_ACK, HELP = "stop_ack", "help"


class Answers(Protocol):
    """What is said without anybody writing it."""

    def text(self, kind: str, language: str) -> str:
        """`STOP_ACK` or `HELP`; empty: nothing is said."""

    def prepared(
        self, words: str, *, inbox: Inbox, sender: Sender, recipient: str, author: str, now: datetime
    ) -> NewText:
        """Ready to be queued: split, with pack and periods."""


@dataclass(frozen=True, slots=True)
class Heard:
    """From a telephone that can be answered. `sender`: our address that it wrote to, where it is one of ours."""

    remote: str = field(repr=False)
    reading: Reading
    box: Inbox
    sender: Sender | None
    counted: Counter[str]


async def heed(tx: Tx, answers: Answers, heard: Sequence[Heard], now: datetime) -> bool:
    """Objections stand before anything is answered. Whether something waits to be sent now. Raises StorageError."""
    for one in heard:
        if one.reading.stop == "stop":
            one.counted["stop"] += 1
            await _stop(tx, one.remote, "*" if one.reading.calls_too else "sms", now)
    said = [(one, kind, words) for one in heard for kind, words in [_said(answers, one, now)] if words]
    lately = set(await sms_sent.answered_since(tx, [(one.remote, kind) for one, kind, _ in said], now - ANSWER_ONCE))
    new = []
    for one, kind, words in said:
        if (one.remote, kind) not in lately and one.sender is not None:
            lately.add((one.remote, kind))
            new.append(
                answers.prepared(words, inbox=one.box, sender=one.sender, recipient=one.remote, author=kind, now=now)
            )
    await sms_sent.add_all(tx, new, now)
    return bool(new)


def _said(answers: Answers, heard: Heard, now: datetime) -> tuple[str, str]:
    """(author, words); no words: nothing is said. Machines are not answered, or they would answer each other."""
    reading, box, sender = heard.reading, heard.box, heard.sender
    if reading.machine or sender is None or sender.disabled_at is not None:
        return "", ""
    if reading.stop in ("stop", "help"):
        kind = STOP_ACK if reading.stop == "stop" else HELP
        return kind, "" if sender.kind == "name" else answers.text(kind, box.language)
    if reading.stop == "none" and not reading.aside and box.away is not None and box.away.until > now:
        return AWAY, box.away.text
    return "", ""


async def _stop(tx: Tx, remote: str, channel: str, now: datetime) -> None:
    """From this transaction on nothing of the kind is sent: not to be, not queued."""
    listed = await suppressions.of_number(tx, remote, channel)
    if not any(one.until is None and one.channel in (channel, "*") for one in listed):
        pack = contact_case.pack_of(contact_case.SUPPRESSION_PACK)
        made = await suppressions.add(
            tx,
            remote,
            now,
            channel=channel,
            reason="withdrawal",
            source="sms",
            since=now,
            until=None,
            purpose=pack.purpose,
            legal_basis=pack.legal_basis,
            kept_until=contact_case.kept_until(contact_case.SUPPRESSION_PACK, now),
        )
        entry = {"actor_id": SYSTEM, "action": "add", "object": "suppression", "suppression_id": made.id}
        await ledger.append(tx, "access", {**entry, "cause": "objection"}, now)
    proof = contact_case.kept_until(contact_case.EVIDENCE_PACK, now)
    for consent in await consents.of_number(tx, remote):
        if consent.withdrawn_at is None and (channel == "*" or consent.channel == "sms"):
            await consents.withdraw(tx, consent.id, "sms", now, proof)
    await sms_sent.cancel_marketing(tx, remote, now)
