"""Calls that are made on behalf of a canvassing line: whether the law lets that person be called now.

Such a call shows a number of a line that canvasses. It is asked twice: when its way is looked for, and once more, in a
transaction of its own that counts the attempt, before the first INVITE. What cannot be asked is refused. Emergency
calls, help lines, forwards and all calls that show another number are none of its business.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from config.shipped import DataError
from retention import contact_case
from retention.contact_case import Contact
from retention.contact_facts import Decision
from sip.calls.numbers import Number, is_presentable
from sip.calls.plan import ContactMade, Refusal
from storage import lines, numbers_owned
from storage.database import Database
from storage.errors import StorageError
from storage.numbers_owned import OwnedNumber
from storage.tx import Tx

log = logging.getLogger(__name__)

CAUSE = "contact-not-permitted"
PROMPTS = (
    "PROMPT_CONTACT_REFUSED",
    "PROMPT_CONTACT_HOURS",
    "PROMPT_CONTACT_CONSENT",
    "PROMPT_CONTACT_SUPPRESSED",
    "PROMPT_CONTACT_ATTEMPTS",
)
NOT_KNOWN = Refusal(403, "Nobody Knows Whether This Person May Be Called", CAUSE, "PROMPT_CONTACT_REFUSED")
# Ground of the decision: phrase for the display, prompt.
_SAID = {
    "hours": ("Not At This Hour By Law", "PROMPT_CONTACT_HOURS"),
    "no_consent": ("No Consent To Be Called", "PROMPT_CONTACT_CONSENT"),
    "refused": ("Has Refused To Be Called", "PROMPT_CONTACT_CONSENT"),
    "suppressed": ("Does Not Want To Be Called", "PROMPT_CONTACT_SUPPRESSED"),
    "attempts": ("Called Too Often By Law", "PROMPT_CONTACT_ATTEMPTS"),
    "sector": ("This Trade May Not Canvass", "PROMPT_CONTACT_REFUSED"),
    "caller": ("The Number Shown Is Not Allowed", "PROMPT_CONTACT_REFUSED"),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """What the targets of a call would show. `known`: own numbers that have been read already."""

    numbers: Collection[str]
    known: Collection[OwnedNumber]
    hidden: bool


async def contact_of(tx: Tx, number: Number, shown: Shown) -> Contact | None:
    """The contact that such a call would be; None where it is an ordinary call. Raises StorageError."""
    if not number.e164 or number.help_line:
        return None
    known = {one.number: one for one in shown.known}
    for each in sorted(shown.numbers):
        owned = known.get(each) or await numbers_owned.by_number(tx, each)
        if owned is None or owned.line_id is None:
            continue
        line = await lines.get(tx, owned.line_id)
        if line.canvassing is not None:
            caller = next((one for one in sorted(shown.numbers) if not is_presentable(one)), each)
            return Contact(line, number.e164, number.country, "voice", caller, shown.hidden)
    return None


async def refusal_of(tx: Tx, contact: Contact, now: datetime) -> Refusal | None:
    """Why it may not be; None where it may."""
    try:
        return _refusal(await contact_case.decide(tx, contact, now))
    except (StorageError, DataError) as error:
        log.error("a canvassing call was refused, because it could not be decided about: %s", error)
        return NOT_KNOWN


async def begin(database: Database, contact: Contact, now: datetime) -> ContactMade | Refusal:
    """Decide once more, and count it. Who cannot count does not call."""
    try:
        async with database.transaction() as tx:
            begun = await contact_case.begin(tx, contact, now)
    except (StorageError, DataError) as error:
        log.error("a canvassing call was refused, because it could not be counted: %s", error)
        return NOT_KNOWN
    refusal = _refusal(begun.decision)
    return refusal or ContactMade(begun.attempt_id, begun.decision.rule, begun.decision.evidence)


def _refusal(decision: Decision) -> Refusal | None:
    if decision.allowed:
        return None
    log.info("a canvassing call was refused by %s", decision.rule)
    phrase, prompt = _SAID.get(decision.ground, (NOT_KNOWN.reason, NOT_KNOWN.prompt))
    return Refusal(403, phrase, CAUSE, prompt)
