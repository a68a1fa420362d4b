"""All pages of the portal and their navigation. Modules under `pages` register themselves by having ROUTES."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass, field

from server.rights import Identity
from server.web import pages
from server.web.language import N_
from server.web.routes import SIGNED_IN, Menu, Route, Topic

GROUPS = {"mine": N_("Mine"), "work": N_("Work"), "kept": N_("What is kept"), "system": N_("System")}


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the navigation; the texts are English msgids."""

    path: str
    title: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Site:
    """Raises ValueError where two pages want one path."""

    routes: Sequence[Route]
    topics: dict[str, Topic] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen: set[tuple[str, str]] = set()
        for route in self.routes:
            key = (route.method, route.path)
            if key in seen:
                raise ValueError(f"two pages want {route.method} {route.path}")
            seen.add(key)

    def menu(self, identity: Identity) -> list[tuple[str, list[Entry]]]:
        """What this person may open, by group."""
        shown: dict[str, list[tuple[int, Entry]]] = {group: [] for group in GROUPS}
        for route in self.routes:
            if isinstance(route.menu, Menu) and may_open(route, identity):
                entry = Entry(route.path, route.menu.title, route.menu.about)
                shown[route.menu.group].append((route.menu.order, entry))
        return [
            (GROUPS[group], [entry for _, entry in sorted(entries, key=lambda each: each[0])])
            for group, entries in shown.items()
            if entries
        ]


def may_open(route: Route, identity: Identity) -> bool:
    return SIGNED_IN in route.rights or any(identity.may(right) for right in route.rights)


def load() -> Site:
    """Everything under `server.web.pages`."""
    routes: list[Route] = []
    topics: dict[str, Topic] = {}
    for module in pkgutil.iter_modules(pages.__path__, f"{pages.__name__}."):
        loaded = importlib.import_module(module.name)
        routes += getattr(loaded, "ROUTES", ())
        topics |= {topic.name: topic for topic in getattr(loaded, "TOPICS", ())}
    return Site(tuple(routes), topics)
