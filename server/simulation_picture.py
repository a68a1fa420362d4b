"""A simulation as a picture: calls recorded in each month, and things that go in each month, before and after. SVG.

No script, nothing from outside, colours that hold in a light and in a dark page. Each bar says its number to whoever
points at it, and the whole says in one sentence what it shows (WCAG 2.2, 1.1.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, PANEL, GAP, LABEL = 760, 64, 16, 190, 74, 68
_STYLE = (
    "svg{font:13px/1.4 system-ui,sans-serif;background:#fff;color:#1d2733}"
    ".t{font-size:16px;font-weight:600}.s{fill:#56636f}text{fill:currentColor}"
    ".g{stroke:#c9d1d9;stroke-width:1}.b{fill:#8a97a5}.a{fill:#0b6e99}"
    "@media(prefers-color-scheme:dark){svg{background:#11181f;color:#e6ebf0}.s{fill:#9fb0bf}.g{stroke:#33414e}"
    ".b{fill:#73828f}.a{fill:#4cb5e0}}"
)


_TOLD = (
    "Of %(calls)s calls, %(before)s would be recorded before and %(after)s after. "
    "Of %(kept)s things that are kept, %(gone)s go at once."
)


def picture(said: Mapping[str, Any], words: Callable[[str], str] = str) -> str:
    """Of a simulation's answer (`server.services.simulation.SimulationView`, as JSON). `words`: says an English text in
    another language; names within it stand as %(name)s."""
    number, other = said["number"], said["against"]
    against = words("the lines as they are") if other is None else words("version %(number)s") % {"number": other}
    title = words("Version %(number)s of the policy, compared with %(against)s") % {
        "number": number,
        "against": against,
    }
    recorded, leaving = said["months"], said["leaving"]
    told = words(_TOLD) % {
        "calls": said["calls"],
        "before": said["before"]["recorded"],
        "after": said["after"]["recorded"],
        "kept": said["kept"],
        "gone": sum(one["at_once"] for one in said["gone"]),
    }
    top = 96
    parts = [
        *_panel(top, words("Calls recorded in each month, if nobody refuses"), recorded, words),
        *_panel(top + PANEL + GAP, words("Recordings and call records that go in each month"), leaving, words),
    ]
    height = top + 2 * (PANEL + GAP)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="t d">\n'
        f"<style>{_STYLE}</style>\n"
        f'<title id="t">{escape(title)}</title>\n<desc id="d">{escape(f"{title}. {told}")}</desc>\n'
        f'<text class="t" x="{LEFT}" y="34">{escape(title)}</text>\n{_legend(against, number, words)}\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _legend(against: str, number: int, words: Callable[[str], str]) -> str:
    first = words("before: %(against)s") % {"against": against}
    after = words("after: version %(number)s") % {"number": number}
    second = LEFT + 26 + 8 * len(first)
    return (
        f'<rect class="b" x="{LEFT}" y="50" width="12" height="12"/>'
        f'<text x="{LEFT + 18}" y="61">{escape(first)}</text>'
        f'<rect class="a" x="{second}" y="50" width="12" height="12"/>'
        f'<text x="{second + 18}" y="61">{escape(after)}</text>'
    )


def _panel(top: int, title: str, months: Sequence[Mapping[str, Any]], words: Callable[[str], str]) -> list[str]:
    most = max((max(one["before"], one["after"]) for one in months), default=0)
    ceiling = _round_up(most)
    parts = [f'<text class="s" x="{LEFT}" y="{top}">{escape(title)}</text>']
    base, full = top + PANEL, PANEL - 24
    for share in (0, 0.5, 1):
        y = base - full * share
        label = f"{ceiling * share:g}"
        parts.append(f'<line class="g" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="s" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    if not months:
        parts.append(f'<text x="{LEFT + 8}" y="{base - full / 2 - 8:.1f}">{escape(words("nothing"))}</text>')
        return parts
    step = (WIDTH - LEFT - RIGHT) / len(months)
    bar = min(22.0, step * 0.38)
    says = {kind: words(f"%(month)s, {kind}: %(calls)s") for kind in ("before", "after")}
    every = math.ceil(LABEL / step)  # not more labels than there is room for
    for place, one in enumerate(months):
        middle = LEFT + step * (place + 0.5)
        for kind, left in (("before", middle - bar), ("after", middle)):
            high = full * one[kind] / ceiling if ceiling else 0
            parts.append(
                f'<rect class="{kind[0]}" x="{left:.1f}" y="{base - high:.1f}" width="{bar:.1f}" height="{high:.1f}">'
                f"<title>{escape(says[kind] % {'month': one['month'], 'calls': one[kind]})}</title></rect>"
            )
        if place % every == 0:
            label = f'<text class="s" x="{middle:.1f}" y="{base + 18}" text-anchor="middle">{one["month"]}</text>'
            parts.append(label)
    return parts


def _round_up(most: int) -> int:
    """To what a scale ends with, so that its half is whole as well: 2, 4, 10, 20, 40, 100 ..."""
    ceiling, place = 2, 0
    while ceiling < most:
        ceiling = ceiling * 5 // 2 if place % 3 == 1 else ceiling * 2
        place += 1
    return ceiling
