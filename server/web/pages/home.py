"""The first page: what each page that somebody may open is for."""

from __future__ import annotations

from aiohttp import web

from server.web.routes import SIGNED_IN, Route
from server.web.visit import Visit


async def home(visit: Visit) -> web.StreamResponse:
    return visit.page("home.html", groups=visit.site.menu(visit.person))


ROUTES = (Route("GET", "/", home, SIGNED_IN),)
