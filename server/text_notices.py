"""Mails that say that something came in, to those whom the configuration names for an inbox: no word, no number."""

from __future__ import annotations

import logging
import secrets
from collections import deque
from datetime import datetime, timedelta
from typing import Literal

from server.alerting.channels import NotSent, mail_access
from server.services.context import Services
from sms.mail import notices, relay
from sms.mail.notices import Notice
from sms.mail.relay import Outcome
from storage.inboxes import Inbox

log = logging.getLogger(__name__)

QUIET = timedelta(minutes=5)  # of one inbox: who was told has not looked yet
TRIES = 3
WAITING = 200


class MailNotices:
    """Fills ``server.messaging.Notices``; `flush` sends what waits."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._told: dict[tuple[str, str], datetime] = {}
        self._waiting: deque[tuple[Notice, int]] = deque(maxlen=WAITING)
        self.sent = 0
        self.failed = 0

    async def arrived(self, inbox: Inbox, state: str) -> None:
        """Told once in a while, however much comes in."""
        settings, now = self._services.settings, self._services.clock()
        kind = "reply" if state == "new" else "set_aside"
        last = self._told.get((inbox.id, kind))
        people = settings.sms.notices.get(inbox.name, ())
        if not people or not settings.alerts.mail_relay or (last is not None and now - last < QUIET):
            return
        self._told[inbox.id, kind] = now
        language: Literal["fr", "en"] = "fr" if inbox.language.startswith("fr") else "en"
        for person in people:
            console = settings.sms.console or f"beffroi inbox show {inbox.name}"
            notice = Notice(secrets.token_hex(16), kind, language, console, now, settings.alerts.mail_from, person)
            self._waiting.append((notice, 0))

    async def flush(self) -> None:
        """Try each once more; what a relay does not take for now is kept for the next time."""
        for _ in range(len(self._waiting)):
            try:
                access = await mail_access(self._services.settings, self._services.paths)
            except NotSent as error:
                log.warning("notices wait: %s", error)
                return
            notice, tries = self._waiting.popleft()
            handed = await relay.send(access, notices.mail(notice), notice.sender, [notice.recipient])
            if handed.outcome is Outcome.SENT:
                self.sent += 1
            elif handed.outcome is Outcome.TEMPORARY and tries + 1 < TRIES:
                self._waiting.append((notice, tries + 1))
            else:
                self.failed += 1
                log.warning("a notice was not sent: %s", handed.why or handed.outcome)
