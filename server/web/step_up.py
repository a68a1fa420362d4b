"""The second factor once more, for a form that met its need of it: what was typed is not lost.

The form stands within the question, and goes on by 307 to where it was meant for: method and body stay as they are
(RFC 9110 section 15.4.8).
"""

from __future__ import annotations

from urllib.parse import urlencode

from aiohttp import web

from server.services import sign_in_factors
from server.web import security
from server.web.routes import BODY_MAX
from server.web.visit import Visit

_OF_THE_QUESTION = frozenset({"form_token", "next", "then", "code", "answer"})
_LONGEST = BODY_MAX // 2  # as it is sent; the rest is room for the answer

Fields = list[tuple[str, str]]


async def question(visit: Visit, *, next_path: str = "", then: str = "", status: int = 200) -> web.Response:
    """The page that asks. `next_path`: the page to go to afterwards; `then`: where the form goes that it holds."""
    factors = await sign_in_factors.view(visit.services, visit.person)
    kept = _kept(visit) if then else []
    return visit.page("step_up.html", status=status, factors=factors, next=next_path, then=then, kept=kept)


def may_be_kept(visit: Visit) -> bool:
    """Whether a form can come back within the question: no file, no password, and nothing that the question asks."""
    if visit.request.content_type == "application/json" or visit.files or not visit.given:
        return False
    strange = {name for name in visit.given if name.startswith("pass") or name in _OF_THE_QUESTION - {"form_token"}}
    return not strange and len(urlencode(_kept(visit))) < _LONGEST


def sent_on(then: str) -> web.Response:
    """The form to where it was meant for."""
    return web.Response(status=307, headers={"Location": security.local_path(then)})


def _kept(visit: Visit) -> Fields:
    return [(name, text) for name, texts in visit.lists.items() if name not in _OF_THE_QUESTION for text in texts]
