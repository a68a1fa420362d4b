"""What a page is to the application: its path, who answers, and which right it asks for. None goes without saying."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from aiohttp import web

from server.failure import Failure
from server.operation_rules import RIGHTS

if TYPE_CHECKING:
    from server.web.visit import Visit

Handler = Callable[["Visit"], Awaitable[web.StreamResponse]]


class RenderOf(Protocol):
    def __call__(self, visit: Visit, /, *, of: str) -> Awaitable[str]: ...


OPEN = "open"
"""Whoever comes: the way in, and nothing behind it."""

SIGNED_IN = "signed in"
"""Whoever has signed in: what is the person's own, such as the account, and nothing else."""

BODY_MAX = 256 * 1024


@dataclass(frozen=True, slots=True)
class Menu:
    """A page's place in the navigation; pages stand by `order` within their group. Both texts are English msgids."""

    group: Literal["mine", "work", "kept", "system"]
    title: str
    order: int = 50
    about: str = ""  # what it is for, in one sentence: shown on the first page


@dataclass(frozen=True, slots=True)
class Route:
    """`again`: shows the form once more, with what was wrong about it (`Visit.failure`, `Visit.given`).

    `also`: rights that do as well as `right`. Raises ValueError for a right that no operation knows.
    """

    method: Literal["GET", "POST"]
    path: str
    handler: Handler
    right: str
    menu: Menu | None = None
    again: Handler | None = None
    also: frozenset[str] = frozenset()
    body_max: int = BODY_MAX

    def __post_init__(self) -> None:
        strange = {self.right, *self.also} - RIGHTS - {OPEN, SIGNED_IN}
        if strange:
            raise ValueError(f"{self.method} {self.path}: no operation asks for {', '.join(sorted(strange))}")

    @property
    def rights(self) -> frozenset[str]:
        return frozenset({self.right}) | self.also

    @property
    def takes_files(self) -> bool:
        """Forms of all others come without parts: whoever has not signed in keeps nobody from sending a file."""
        return self.body_max > BODY_MAX


@dataclass(frozen=True, slots=True)
class Topic:
    """A region of a page that is kept up to date while somebody looks at it (server-sent events).

    `render` gives its HTML. It is called for one viewer and sent to all who may see the same, so it must show nothing
    that depends on more than rights, reach, language and zone of the visit.
    """

    name: str
    render: Callable[[Visit], Awaitable[str]]
    right: str
    every_s: float = 1.0
    render_of: RenderOf | None = None  # of one thing, whose name the page asks with: `campaign:summer`


async def of_one(_: Visit) -> str:
    """The `render` of a topic that is always about one thing. Raises Failure."""
    raise Failure("which one?", "Name it", "not_found")
