"""`Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a program that does not know whether its request
has arrived sends it again, and nothing is done twice."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from server.failure import Failure
from server.services.context import Services
from server.services.failures import told
from server.web.api.problems import CONTENT_TYPE, Refused, Wrong, problem
from storage import api_answers
from storage.api_answers import Kept
from storage.errors import Duplicate

KEPT = timedelta(hours=24)
KEY, REPLAYED = "Idempotency-Key", "Idempotency-Replayed"
PATTERN = "^[!-~]{1,255}$"
_NOTHING_DONE = frozenset({"not_running", "unavailable", "full", "too_many", "step_up", "denied"})
SHOWN_ONCE = frozenset({"device.add", "device.offer", "mail.login.add", "token.create", "person.invite"})
"""Operations whose answer holds a secret that is kept nowhere."""

Do = Callable[[], Awaitable[web.StreamResponse]]


class Repeats:
    """One for the API. `key` is the server's own; what is derived from it names requests alone."""

    def __init__(self, services: Services, key: Ed25519PrivateKey) -> None:
        self._services = services
        self._secret = hashlib.sha256(b"beffroi/api-key/1\0" + key.private_bytes_raw()).digest()

    async def once(
        self, request: web.Request, caller: str, operation: str, sent: tuple[bytes, ...], do: Do
    ) -> web.StreamResponse:
        """`sent`: all that makes it the same request. Raises Failure, Refused."""
        named = request.headers.getall(KEY, [])
        if not named:
            return await do()
        if len(named) > 1 or not re.fullmatch(PATTERN, named[0]):
            wrong = (Wrong("header", KEY, "has to be one word of 1 to 255 letters of ASCII"),)
            raise Refused(f"{KEY} is no key", "Send another one with each request", "misuse", wrong)
        answer_id = self._digest(caller.encode(), named[0].encode())[:32]
        digest = self._digest(*sent)
        known = await self._begin(answer_id, digest)
        if known is not None:
            return _again(known, digest)
        try:
            answer = await do()
        except Failure as failure:
            if failure.code in _NOTHING_DONE:
                await self._release(answer_id)
                raise
            answer = problem(failure)
        if not isinstance(answer, web.Response) or not isinstance(answer.body, bytes):
            return answer
        body = None if operation in SHOWN_ONCE and answer.status < 300 else answer.body
        with told():
            async with self._services.db.transaction() as tx:
                await api_answers.finish(tx, answer_id, answer.status, body)
        return answer

    async def _begin(self, answer_id: str, digest: str) -> Kept | None:
        now = self._services.clock()
        with told():
            try:
                async with self._services.db.transaction() as tx:
                    return await api_answers.begin(tx, answer_id, digest, now, now + KEPT)
            except Duplicate:
                raise _in_progress() from None

    async def _release(self, answer_id: str) -> None:
        with told():
            async with self._services.db.transaction() as tx:
                await api_answers.release(tx, [answer_id])

    def _digest(self, *parts: bytes) -> str:
        framed = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
        return hmac.digest(self._secret, framed, hashlib.sha256).hex()


def _again(known: Kept, digest: str) -> web.Response:
    if known.request != digest:
        raise Refused("that key belongs to another request", "Send another key with another request", "key_reused")
    if known.status is None:
        raise _in_progress()
    if not known.body:
        raise Failure("it has been done; its answer is shown once", "Look at what there is", "conflict")
    kind = "application/json" if known.status < 300 else CONTENT_TYPE
    return web.Response(body=known.body, status=known.status, content_type=kind, headers={REPLAYED: "true"})


def _in_progress() -> Refused:
    return Refused(
        "the same request was begun, and nobody knows yet what became of it",
        "Wait; after a restart look whether it was done",
        "in_progress",
        headers={"Retry-After": "5"},
    )
