"""Templates become pages: Jinja with autoescape, in the visitor's language."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from server.failure import Failure
from server.web import assets
from server.web.language import LANGUAGES, NAMES, translations

if TYPE_CHECKING:
    from server.web.visit import Visit

TEMPLATES = Path(__file__).with_name("templates")

STATUSES: Mapping[str, int] = {
    "denied": 403,
    "not_found": 404,
    "conflict": 409,
    "taken": 409,
    "ambiguous": 409,
    "busy": 409,
    "invalid": 422,
    "misuse": 422,
    "configuration": 422,
    "locked": 423,
    "throttled": 429,
    "not_running": 503,
    "unavailable": 503,
    "full": 503,
    "damaged": 500,
    "failed": 500,
}
"""What a Failure's code is in HTTP."""


def answer(visit: Visit, template: str, status: int, values: Mapping[str, object]) -> web.Response:
    """Nobody but the browser that asked keeps it."""
    return web.Response(
        text=text(visit, template, values),
        status=status,
        content_type="text/html",
        charset="utf-8",
        headers={"Cache-Control": "no-store"},
    )


def text(visit: Visit, template: str, values: Mapping[str, object]) -> str:
    return (
        environment(visit.language)
        .get_template(template)
        .render(
            {
                **values,
                "visit": visit,
                "identity": visit.identity,
                "times": visit.times,
                "company": visit.services.settings.company.name,
            }
        )
    )


@functools.cache
def environment(language: str) -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
    )
    known = translations(language)
    made.install_gettext_callables(known.gettext, known.ngettext, newstyle=True)  # type: ignore[attr-defined]
    made.globals |= {
        "asset": assets.shipped().path,
        "languages": {code: NAMES[code] for code in LANGUAGES},
        "unique": unique,
        "qr": qr,
        "told": lambda failure: told(failure, language),
    }
    return made


def told(failure: Failure, language: str) -> str:
    """A failure as a sentence or two; those that the catalogue knows, in its language."""
    known = translations(language)
    parts = [known.gettext(part).strip().rstrip(".") for part in (failure.what, failure.remedy) if part]
    return " ".join(f"{part[:1].upper()}{part[1:]}." for part in parts)


def unique(prefix: str) -> str:
    """An id that no other element of the page has."""
    return f"{prefix}-{secrets.token_hex(4)}"


def qr(content: str, label: str) -> Markup:
    """A code that a phone reads, as SVG within the page; dark on light whatever the theme, as readers want it."""
    import segno

    code = segno.make(content, error="m", micro=False)
    size = code.symbol_size(border=4)[0]
    squares = "".join(
        f"M{x} {y}h1v1h-1z" for y, row in enumerate(code.matrix, 4) for x, dark in enumerate(row, 4) if dark
    )
    return Markup(  # noqa: S704 - made of numbers, and a label that is escaped
        '<svg class="qr" role="img" viewBox="0 0 {0} {0}" aria-label="{1}">'
        '<rect width="{0}" height="{0}" fill="#fff"></rect><path d="{2}" fill="#000"></path></svg>'
    ).format(size, label, squares)
