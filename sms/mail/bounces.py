"""What the sender of a mail is told when a text that was taken could not be delivered. Pure.

A report of RFC 6522 and RFC 3464: a program can read it, and so can a person. It holds the numbers that the sender
wrote, and nothing of the text. It goes out with the null sender, so that nobody answers it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import Message
from email.mime.base import MIMEBase
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from email.utils import format_datetime

from sms.mail.answers import Order
from sms.mail.notices import Language
from sms.mail.reading import NULL_SENDERS

MAIL_FROM = ""  # of the envelope
_WORDS: Mapping[str, tuple[str, str, str]] = {
    "en": (
        "Your text could not be delivered",
        "Your text could not be delivered to these numbers. It is not tried again by itself.",
        "Nothing of what you wrote stands in this mail. You know it by its Message-ID:",
    ),
    "fr": (
        "Votre SMS n'a pas pu être remis",
        "Votre SMS n'a pas pu être remis à ces numéros. Aucun autre essai n'aura lieu de lui-même.",
        "Rien de ce que vous avez écrit ne figure ici. Votre message se reconnaît à son Message-ID :",
    ),
}


@dataclass(frozen=True, slots=True)
class Failed:
    """`number`: as the sender wrote it. `status`: of RFC 3463, 5.x.x or 4.x.x. `words`: ASCII, one line, for people."""

    number: str = field(repr=False)
    status: str
    words: str


def may_bounce(mail_from: str) -> bool:
    """Never to the null sender: that one is a bounce itself."""
    return mail_from not in NULL_SENDERS


def report(order: Order, failed: Sequence[Failed], domain: str, language: Language, arrived_at: datetime,
           now: datetime, bounce_id: str) -> Message:  # fmt: skip
    """To `order.mail_from`. `domain`: the one for texts. `bounce_id`: opaque. Raises ValueError for the null sender."""
    if not may_bounce(order.mail_from):
        raise ValueError("a mail without a sender is not answered")
    subject, words, known = _WORDS[language]
    made = MIMEMultipart("report", report_type="delivery-status", policy=SMTP)
    made["From"], made["To"] = f"Mail Delivery <mailer-daemon@{domain}>", order.mail_from
    made["Subject"], made["Date"] = subject, format_datetime(now)
    made["Message-ID"] = f"<{bounce_id}@{domain}>"
    made["Auto-Submitted"] = "auto-replied"
    made["In-Reply-To"] = made["References"] = order.message_id
    lines = [f"{one.number}: {_line(one.words)} ({one.status})" for one in failed]
    text = "\n".join([words, "", *lines, "", known, order.message_id, ""])
    made.attach(MIMEText(text, "plain", "utf-8", policy=SMTP))
    made.attach(_status(failed, domain, arrived_at))
    headers = MIMEText(f"Message-ID: {order.message_id}\n", "rfc822-headers", "us-ascii", policy=SMTP)
    made.attach(headers)
    return made


def _status(failed: Sequence[Failed], domain: str, arrived_at: datetime) -> Message:
    """RFC 3464 section 2: fields of the message, then a block for each recipient."""
    whole = Message(policy=SMTP)
    whole["Reporting-MTA"] = f"dns; {domain}"
    whole["Arrival-Date"] = format_datetime(arrived_at)
    blocks: list[Message | str] = [whole]
    for one in failed:
        block = Message(policy=SMTP)
        block["Final-Recipient"] = f"rfc822; {one.number}@{domain}"
        block["Action"] = "failed"
        block["Status"] = one.status
        block["Diagnostic-Code"] = f"x-beffroi; {_line(one.words)}"
        blocks.append(block)
    made = MIMEBase("message", "delivery-status", policy=SMTP)
    made.set_payload(blocks)
    return made


def _line(words: str) -> str:
    return " ".join(words.split())
