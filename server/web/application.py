"""The portal's application: every request passes here before a page sees it, and every answer on its way out."""

from __future__ import annotations

import http
import json
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from urllib.parse import quote

from aiohttp import web
from multidict import MultiDict

from server.failure import Failure
from server.rights import Identity, NotFresh
from server.services import sign_in
from server.services.context import Services
from server.web import api, assets, cookies, live, page, security, step_up, uploads
from server.web.cookies import Look
from server.web.language import LANGUAGES, chosen
from server.web.routes import OPEN, Route
from server.web.site import Site, may_open
from server.web.site import load as load_site
from server.web.times import home_zone, is_zone
from server.web.visit import Visit

log = logging.getLogger(__name__)

_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

API = "/api/"
_COMPRESS_FROM = 1000
_REPORT_MAX = 16 * 1024
_THEMES = frozenset({"light", "dark"})


class Portal:
    """`site`: the pages; those that are shipped, where it is not given."""

    def __init__(self, services: Services, site: Site | None = None) -> None:
        self.services = services
        self.site = site or load_site()
        self._origin = services.settings.web.origin
        self._headers = security.headers(services.settings.web.host)
        self._reports = 0
        self.live = live.Live(self.site.topics)

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=_REPORT_MAX)
        app.router.add_get(assets.PREFIX + "{name}", self._asset)
        app.router.add_post(security.REPORTS, self._report)
        for route in self.site.routes:
            app.router.add_route(route.method, route.path, self._serve(route))
        app.router.add_get(live.PATH, self._events, allow_head=False)
        app.on_shutdown.append(self._close)
        api.attach(app, self.services)
        return app

    # --- every request ------------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: _Next) -> web.StreamResponse:
        try:
            if security.is_our_host(request.host, self._origin):
                answer = await handler(request)
            else:
                answer = await self._elsewhere(request)
        except web.HTTPException as stopped:
            answer = await self._http_error(request, stopped)
        except Failure as failure:  # before the page was asked: nobody can tell who it is
            log.warning("a page is not shown: %s", failure.code)
            answer = await self._error(request.clone(headers={}), page.STATUSES.get(failure.code, 500))
        except Exception:  # the boundary of a request: it is written down, the others go on
            reference = secrets.token_hex(4)
            log.exception("a page failed (reference %s)", reference)
            answer = await self._error(request, 500, reference=reference)
        if not answer.prepared:
            self._finish(answer)
        return answer

    def _finish(self, answer: web.StreamResponse) -> None:
        for name, value in self._headers.items():
            answer.headers.setdefault(name, value)
        answer.headers.setdefault("Cache-Control", "no-store")
        is_text = answer.content_type.startswith(("text/html", "application/json", "application/problem"))
        if isinstance(answer, web.Response) and is_text and (answer.content_length or 0) >= _COMPRESS_FROM:
            answer.enable_compression()
            answer.headers["Vary"] = "Accept-Encoding"

    async def _asset(self, request: web.Request) -> web.StreamResponse:
        found = assets.shipped().get(request.path)
        if found is None:
            raise web.HTTPNotFound
        packed = "gzip" in request.headers.get("Accept-Encoding", "")
        headers = {
            "Content-Type": found.kind,
            "Cache-Control": "public, max-age=31536000, immutable",
            "Vary": "Accept-Encoding",
        }
        if packed:
            headers["Content-Encoding"] = "gzip"
        return web.Response(body=found.packed if packed else found.body, headers=headers)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """Regions of a page, as they change."""
        visit = await self._visit(request, None, counts=False)
        if visit.identity is None or security.is_foreign(request.headers, self._origin):
            return self._to_sign_in(request)
        token = request.cookies[cookies.SESSION]

        async def identify() -> Identity | None:
            return await sign_in.identify(self.services, session_token=token, counts=False)

        return await self.live.serve(visit, identify, self._headers)

    async def _close(self, _: web.Application) -> None:
        self.live.close()

    async def _report(self, request: web.Request) -> web.StreamResponse:
        """The browser was told to do what the policy forbids: a mistake of ours, or somebody's attempt."""
        try:
            said = (json.loads(await request.read()) or {}).get("csp-report") or {}
            directive = str(said.get("effective-directive") or said.get("violated-directive"))[:40]
        except (ValueError, AttributeError):
            directive = "unreadable"
        self._reports += 1
        if self._reports <= 100 or self._reports % 100 == 0:
            log.warning("a browser refused what a page asked of it: %s", "".join(filter(str.isprintable, directive)))
        return web.Response(status=204)

    # --- every page ---------------------------------------------------------------------------------------------------

    def _serve(self, route: Route) -> _Next:
        async def serve(request: web.Request) -> web.StreamResponse:
            visit = await self._visit(request, route)
            answer = await self._answer(route, visit)
            self._keep_visit(visit, answer)
            return answer

        return serve

    async def _answer(self, route: Route, visit: Visit) -> web.StreamResponse:
        request = visit.request
        if request.method not in security.SAFE and security.is_foreign(request.headers, self._origin):
            return await self._refuse(visit)
        if route.right != OPEN:
            if visit.identity is None:
                return self._to_sign_in(request)
            if not may_open(route, visit.identity):
                return visit.page("error.html", status=403, code=403, reference="")
        try:
            if request.method not in security.SAFE:
                await self._read(route, visit)
                token = request.headers.get("X-Form-Token") or visit.given.get("form_token", "")
                if not security.is_form_token(token, visit.secret):
                    return await self._refuse(visit)
            return await route.handler(visit)
        except Failure as failure:
            return await self._failed(route, visit, failure)

    async def _read(self, route: Route, visit: Visit) -> None:
        """The form, with what was uploaded. Raises Failure, HTTPException."""
        request = visit.request.clone(client_max_size=route.body_max)
        if request.content_type == "application/json":
            try:
                visit.sent = await request.json()
            except ValueError:
                raise Failure("that is not JSON", "Send the form of the page", "invalid") from None
            return
        try:
            read, files = await uploads.form(request, route.body_max, takes_files=route.takes_files)
        except (ValueError, LookupError):
            raise Failure("that form cannot be read", "Send the form of the page", "invalid") from None
        texts = MultiDict((name, value.replace("\0", "")) for name, value in read.items())
        visit.given = {name: texts[name] if name.startswith("password") else texts[name].strip() for name in texts}
        visit.lists = {name: texts.getall(name) for name in texts}
        visit.files = files

    async def _failed(self, route: Route, visit: Visit, failure: Failure) -> web.StreamResponse:
        status = page.STATUSES.get(failure.code, 500)
        if visit.request.content_type == "application/json":
            asks = {"step_up": True} if isinstance(failure, NotFresh) else {}
            body = {"code": failure.code, "told": page.told(failure, visit.language), **asks}
            return web.json_response(body, status=status if not asks else 403)
        if isinstance(failure, NotFresh):
            if step_up.may_be_kept(visit):
                return await step_up.question(visit, then=str(visit.request.rel_url), status=403)
            return visit.go(f"/step-up?next={quote(self._came_from(visit), safe='')}")
        if route.again is not None and failure.code not in {"denied", "not_found"}:
            visit.failure = failure
            try:
                return await route.again(visit)
            except Failure as worse:
                failure, status = worse, page.STATUSES.get(worse.code, 500)
        visit.failure = failure
        return visit.page("error.html", status=status, code=status, reference="")

    def _came_from(self, visit: Visit) -> str:
        """The page that somebody was on: this one, or that with the form."""
        if visit.request.method in security.SAFE:
            return str(visit.request.rel_url)
        came = visit.request.headers.get("Referer", "")
        return security.local_path(came.removeprefix(self._origin)) if came.startswith(self._origin + "/") else "/"

    async def _refuse(self, visit: Visit) -> web.StreamResponse:
        """Another site has sent the form, or it is older than the session."""
        return visit.page("error.html", status=403, code="form", reference="")

    def _to_sign_in(self, request: web.Request) -> web.StreamResponse:
        if request.content_type == "application/json" or request.headers.get("Accept") == "text/event-stream":
            return web.json_response({"code": "denied", "told": "Sign in."}, status=401)
        back = f"?next={quote(str(request.rel_url), safe='')}" if request.method in security.SAFE else ""
        return web.Response(status=303, headers={"Location": "/sign-in" + (back if request.path != "/" else "")})

    # --- who visits ---------------------------------------------------------------------------------------------------

    async def _visit(self, request: web.Request, route: Route | None, *, counts: bool = True) -> Visit:
        """`counts`: somebody does something, so the session lives on. Raises Failure."""
        token = request.cookies.get(cookies.SESSION, "")
        source = security.source_of(
            request.remote or "", request.headers.getall("X-Forwarded-For", ()), self._proxies()
        )
        identity = await sign_in.identify(self.services, session_token=token, counts=counts) if token else None
        if identity is not None:
            identity = replace(identity, source=source)
        look = Look(**{k: v for k, v in cookies.unpacked(request.cookies.get(cookies.LOOK, "")).items() if k in _LOOKS})
        company = self.services.settings.company
        language = look.language if look.language in LANGUAGES else (identity.language if identity else "")
        if language not in LANGUAGES:
            language = chosen(request.headers.get("Accept-Language", ""), company.languages)
        secret = token if identity else request.cookies.get(cookies.VISIT, "")
        return Visit(
            request=request,
            services=self.services,
            site=self.site,
            route=route,
            source=source,
            look=Look(language, look.theme if look.theme in _THEMES else "", look.zone),
            language=language,
            zone=look.zone if look.zone and is_zone(look.zone) else home_zone(company.country),
            secret=secret or secrets.token_urlsafe(32),
            identity=identity,
            said=cookies.said(request.cookies.get(cookies.SAID, "")),
        )

    def _proxies(self) -> tuple[str, ...]:
        return self.services.settings.web.behind_proxy

    def _keep_visit(self, visit: Visit, answer: web.StreamResponse) -> None:
        """What the browser is to remember of it."""
        if answer.prepared:
            return
        known = visit.request.cookies
        if visit.identity is None and known.get(cookies.VISIT) != visit.secret:
            cookies.keep(answer, cookies.VISIT, visit.secret)
        if visit.said is not None and cookies.SAID not in answer.cookies and answer.content_type == "text/html":
            cookies.forget(answer, cookies.SAID)

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    async def _elsewhere(self, request: web.Request) -> web.StreamResponse:
        """Somebody typed an address, or a name that we do not go by; or a site plays tricks with names."""
        if request.path.startswith(API):
            return await self._error(request, 421)
        visit = await self._visit(request.clone(headers={}), None)
        return visit.page("elsewhere.html", status=421, origin=self._origin)

    async def _http_error(self, request: web.Request, stopped: web.HTTPException) -> web.StreamResponse:
        if stopped.status < 400:
            return stopped
        answer = await self._error(request, stopped.status)
        if "Allow" in stopped.headers:
            answer.headers["Allow"] = stopped.headers["Allow"]
        return answer

    async def _error(self, request: web.Request, status: int, reference: str = "") -> web.StreamResponse:
        if request.path.startswith(API):
            body = {"type": "about:blank", "title": http.HTTPStatus(status).phrase, "status": status}
            return web.json_response(body, status=status, content_type="application/problem+json")
        try:
            visit = await self._visit(request, None)
            return visit.page("error.html", status=status, code=status, reference=reference)
        except Exception:  # even the page that says so failed: then in plain words
            log.exception("the page of an error failed")
            return web.Response(text="Something went wrong. It was written down.", status=status)


_LOOKS = frozenset({"language", "theme", "zone"})
