"""What a version of the policy would have done: begun, left, found again, and looked at."""

from __future__ import annotations

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
    )


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
