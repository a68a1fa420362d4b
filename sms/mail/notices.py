"""Mails that say that something is there, and nothing of what it is: a relay may keep them for ever. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Literal

Language = Literal["fr", "en"]
_WORDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "reply": {
        "en": ("a new reply", "A new reply is there. It can be read in the console alone:"),
        "fr": ("une nouvelle réponse", "Une nouvelle réponse est arrivée. Elle ne se lit que dans la console :"),
    },
    "set_aside": {
        "en": ("a reply to be looked at", "A reply was set aside and waits for a person. Open the console:"),
        "fr": (
            "une réponse à examiner",
            "Une réponse a été mise de côté et attend quelqu'un. Ouvrez la console :",
        ),
    },
    "waiting": {
        "en": ("a text waits for you", "A text waits for your approval. Open the console:"),
        "fr": ("un SMS attend votre accord", "Un SMS attend votre accord. Ouvrez la console :"),
    },
}
KINDS = frozenset(_WORDS)


@dataclass(frozen=True, slots=True)
class Notice:
    """`id`: opaque and its own, so that the same one twice is seen to be the same. `console`: where to look, as people
    type or click it; it holds no number and no name. `kind`: of KINDS."""

    id: str
    kind: str
    language: Language
    console: str
    at: datetime
    sender: str = field(repr=False)
    recipient: str = field(repr=False)


def mail(notice: Notice) -> EmailMessage:
    """One recipient each: they do not see each other. Raises KeyError for a kind that is none."""
    subject, words = _WORDS[notice.kind][notice.language]
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = notice.sender, notice.recipient
    message["Subject"] = f"[Beffroi] {subject}"
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = f"<{notice.id}@{notice.sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: nobody answers a machine
    message["X-Auto-Response-Suppress"] = "All"  # as Exchange has it
    message.set_content(f"{words}\n\n{notice.console}\n")
    return message
