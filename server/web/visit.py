"""One request of a page: who asks, how they see it, and what may be called in their name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

from server.failure import Failure
from server.rights import Identity, NotFresh
from server.services import permitted
from server.services.context import Services
from server.services.work import Job
from server.web import cookies, page, security
from server.web.cookies import Look, Said
from server.web.language import translations
from server.web.times import Times
from server.web.uploads import Upload

if TYPE_CHECKING:
    from server.web.routes import Route
    from server.web.site import Site


_PLACE_DIGITS = 10  # no log has more entries than fewer of them can say


class Wrong(Failure):
    """One field of a form is not right; the message stands beside it."""

    def __init__(self, field: str, what: str, remedy: str = "") -> None:
        super().__init__(what, remedy or "Correct it and send the form again", "invalid")
        self.field = field


@dataclass(slots=True)
class Visit:
    """Given to every page. `given` is what the form held, as texts; `files` what was uploaded with it."""

    request: web.Request
    services: Services
    site: Site
    route: Route | None  # None: there is no such page
    source: str  # the address that asks
    look: Look
    language: str
    zone: str
    secret: str = field(repr=False)  # what forms hang on: the session, or the visit before it
    identity: Identity | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, list[str]] = field(default_factory=dict)  # every value of a field that is sent several times
    files: Mapping[str, Upload] = field(default_factory=dict)
    sent: Any = None  # what a script has sent (JSON)
    failure: Failure | None = None  # what was wrong about the form, when it is shown again
    said: Said | None = None
    times: Times = field(init=False)

    def __post_init__(self) -> None:
        self.times = Times(self.language, self.zone)

    # --- who, and what they may

    @property
    def person(self) -> Identity:
        """Who has signed in; pages with a right always have one."""
        if self.identity is None:
            raise Failure("nobody has signed in", "Sign in", "denied")
        return self.identity

    def may(self, right: str) -> bool:
        return self.identity is not None and self.identity.may(right)

    @property
    def now(self) -> datetime:
        return self.services.clock()

    @property
    def is_fresh(self) -> bool:
        """Whether the second factor was given a few minutes ago."""
        until = self.identity.fresh_until if self.identity else None
        return until is not None and self.now < until

    def require_fresh(self) -> None:
        """For a page that asks for step-up itself. Raises NotFresh."""
        if not self.is_fresh:
            raise NotFresh

    async def call(
        self, operation: str, /, *, reason: str | None = None, case: str | None = None, **arguments: object
    ) -> Any:
        """Does an operation in this person's name, as far as their rights reach. Raises Failure."""
        return await permitted.call(
            self.services, self.person, operation, arguments, workstation=self.source, reason=reason, case=case
        )

    async def begin(
        self,
        operation: str,
        about: str,
        /,
        *,
        reason: str | None = None,
        case: str | None = None,
        **arguments: object,
    ) -> Job:
        """Does an operation in this person's name after the answer has gone (`services.work`). Raises Failure."""
        done = await permitted.later(
            self.services, self.person, operation, arguments, workstation=self.source, reason=reason, case=case
        )
        return self.services.work.begin(about, self.person.login, self.now, done)

    def begin_steps(self, about: str, do: Callable[[Callable[..., Awaitable[Any]]], Awaitable[Any]]) -> Job:
        """As `begin`, for several operations: `do` is given what does one, and asks each time who it is for by now."""

        async def call(operation: str, /, **arguments: object) -> Any:
            person = await permitted.as_now(self.services, self.person)
            return await permitted.call(self.services, person, operation, arguments, workstation=self.source)

        async def done() -> Any:
            return await do(call)

        return self.services.work.begin(about, self.person.login, self.now, done)

    # --- what they see

    def _(self, text: str, **values: object) -> str:
        """In the visitor's language, for what a handler says."""
        said = translations(self.language).gettext(text)
        return said % values if values else said

    def plural(self, one: str, many: str, num: int, **values: object) -> str:
        return translations(self.language).ngettext(one, many, num) % {"num": num, **values}

    @property
    def form_token(self) -> str:
        return security.form_token(self.secret)

    def value(self, name: str, default: object = "") -> str:
        """What stands in a field: what was sent, where the form is shown again."""
        return self.given.get(name, "" if default is None else str(default))

    def wrong(self, name: str) -> str:
        """What is not right about a field."""
        failure = self.failure
        return self._(failure.what) if isinstance(failure, Wrong) and failure.field == name else ""

    def page(self, template: str, /, *, status: int = 200, **values: object) -> web.Response:
        """A page of `templates`."""
        if self.failure is not None and status == 200:
            status = page.STATUSES.get(self.failure.code, 422)
        return page.answer(self, template, status, values)

    def part(self, template: str, /, **values: object) -> str:
        """A region of a page by itself, for a `Topic`."""
        return page.text(self, template, values)

    def go(self, path: str, message: str = "", kind: cookies.Kind = "good") -> web.Response:
        """On to another page, once something was done. `message` is told there, and is already translated."""
        answer = web.Response(status=303, headers={"Location": security.local_path(path)})
        if message:
            cookies.say(answer, Said(kind, message))
        return answer

    @staticmethod
    def paged(found: Sequence[Mapping[str, Any]], size: int) -> tuple[Sequence[Mapping[str, Any]], str]:
        """What stands on a page, of one more than it has room for; and the id after which the older ones come, ""
        where there are none."""
        return found[:size], str(found[size - 1]["id"]) if len(found) > size else ""

    def query(self, name: str, default: str = "") -> str:
        return self.request.query.get(name, default).strip()

    def place(self, name: str) -> int | None:
        """The number of an entry, from which a list goes on; None where none is given, or something else."""
        text = self.query(name)
        return int(text) if text.isascii() and text.isdecimal() and len(text) < _PLACE_DIGITS else None

    def here(self, **changed: object) -> str:
        """This page with other values in the query; None takes one away. For pagers and filters."""
        query = {name: value for name, value in self.request.query.items() if name not in changed}
        query |= {name: str(value) for name, value in changed.items() if value is not None}
        return str(self.request.rel_url.with_query(query)) if query else self.request.path
