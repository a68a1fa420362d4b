"""Tables as a file for a spreadsheet: no cell is a formula there, whoever has chosen its words."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from aiohttp import web

_BEGINS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def cell(value: object) -> str:
    """With an apostrophe before what a spreadsheet would reckon (OWASP, CSV injection)."""
    text = str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_BEGINS) else text


def answer(name: str, heads: Sequence[str], rows: Iterable[Sequence[object]]) -> web.Response:
    """`name`: of the file, letters and dashes. UTF-8 with its mark, as spreadsheets want it."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow([cell(head) for head in heads])
    writer.writerows([cell(one) for one in row] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    body = ("\ufeff" + text.getvalue()).encode()
    return web.Response(body=body, content_type="text/csv", charset="utf-8", headers=headers)
