"""What a version of the policy would have done: begun, left, found again, and looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from server.failure import Failure
from server.services.work import Job
from server.simulation_picture import picture
from server.web import kept
from server.web.language import N_
from server.web.pages import policy
from server.web.routes import Route
from server.web.visit import Visit, Wrong

ABOUT = "policy.simulate"
_PICTURE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_AGAIN_S = 2
# What the service says of a group of calls, in English: `simulation.in_words`, `retention.policy_rules`.
_WORDS: Mapping[str, str] = {
    "not recorded": N_("not recorded"),
    "standard": N_("standard record"),
    "minimal": N_("minimal record"),
    "none": N_("no record"),
}
_NOT = "not recorded: "
_WHY = (
    (re.compile(r"no rule of the policy is about it"), N_("no rule of the policy is about it")),
    (re.compile(r"policy (?P<number>\d+), rules? (?P<names>.+)"), N_("version %(number)s, by %(names)s")),
    (re.compile(r"rule (?P<name>.+) protects it \((?P<pack>.+)\)"), N_("%(name)s protects it (%(pack)s)")),
    (re.compile(r"rules (?P<names>.+) give it two purposes \((?P<packs>.+)\)"),
     N_("%(names)s give it two purposes (%(packs)s)")),
    (re.compile(r"rule (?P<name>.+) waits for (?P<what>.+)"), N_("%(name)s waits for what is missing: %(what)s")),
    (re.compile(r"rule (?P<name>.+) names an unknown pack"), N_("%(name)s names an unknown pack")),
)  # fmt: skip


async def form(visit: Visit) -> web.StreamResponse:
    version = policy.number(visit)
    others = [one["number"] for one in await visit.call("policy.list") if one["number"] != version]
    return visit.page("policy_simulate.html", number=version, others=others)


async def begin(visit: Visit) -> web.StreamResponse:
    given: dict[str, Any] = {"number": policy.number(visit)}
    given |= {key: visit.given[key] for key in ("since", "until") if visit.given.get(key)}
    if against := visit.given.get("against", ""):
        if not against.isascii() or not against.isdigit() or len(against) > 6:
            raise Wrong("against", N_("Choose a version of the list."))
        given["against"] = int(against)
    job = await visit.begin(ABOUT, f"{ABOUT} {given['number']}", **given)
    return visit.go(f"/policy/simulations/{job.id}")


def _job(visit: Visit) -> Job:
    return visit.services.work.get(visit.request.match_info["job"])


async def shown(visit: Visit) -> web.StreamResponse:
    job = _job(visit)
    if job.ended_at is None:
        return visit.page("policy_simulating.html", job=job, again_s=_AGAIN_S)
    if job.failure is not None:
        raise Failure(job.failure.what, job.failure.remedy, job.failure.code)
    said: Mapping[str, Any] = job.result
    return visit.page(
        "policy_simulated.html",
        job=job,
        said=said,
        changing=[row for row in said["rows"] if row["changes"]],
        same=[row for row in said["rows"] if not row["changes"]],
        at_once=sum(one["at_once"] for one in said["gone"]),
        directions=policy.DIRECTIONS,
        kind=lambda name: kept.kind(visit, name),
        words=lambda said: _words(visit, said),
        why=lambda said: _why(visit, said),
    )


def _words(visit: Visit, said: str) -> str:
    return "; ".join(visit._(_WORDS[part]) if part in _WORDS else part for part in said.split("; "))


def _why(visit: Visit, said: str) -> str:
    """As it came, where no sentence of ours fits."""
    if said.startswith(_NOT):
        return visit._(N_("not recorded: %(why)s")) % {"why": _why(visit, said.removeprefix(_NOT))}
    for pattern, sentence in _WHY:
        if (found := pattern.fullmatch(said)) is not None:
            return visit._(sentence) % found.groupdict()
    return said


async def drawn(visit: Visit) -> web.StreamResponse:
    """As an image: its style is its own, and it runs nothing."""
    job = _job(visit)
    if job.result is None:
        return visit.page("error.html", status=404, code=404, reference="")
    headers = {"Content-Security-Policy": _PICTURE_POLICY, "Cache-Control": "no-store"}
    return web.Response(text=picture(job.result, visit._), content_type="image/svg+xml", headers=headers)


ROUTES = (
    Route("GET", r"/policy/{number:\d+}/simulate", form, "policy.read"),
    Route("POST", r"/policy/{number:\d+}/simulate", begin, "policy.read", again=form),
    Route("GET", "/policy/simulations/{job}", shown, "policy.read"),
    Route("GET", "/policy/simulations/{job}/picture", drawn, "policy.read"),
)
