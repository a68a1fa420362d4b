"""The company's policy: its versions, what stands against a draft, changes to it, and its approval."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from config import packs as pack_data
from config import preconditions
from server.failure import Failure
from server.web import kept
from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit, Wrong

STATES: Mapping[str, tuple[str, str]] = {
    "draft": (N_("Draft"), "info"),
    "approved": (N_("Approved, it waits"), "warn"),
    "in force": (N_("In force"), "good"),
    "superseded": (N_("Superseded"), "plain"),
    "discarded": (N_("Discarded"), "plain"),
    "altered": (N_("Altered: not used"), "bad"),
}
EVENTS: Mapping[str, tuple[str, str]] = {
    "drafted": (N_("Version %(number)s was begun"), "info"),
    "approved": (N_("Version %(number)s was approved"), "good"),
    "in force": (N_("Version %(number)s came into force"), "good"),
    "superseded": (N_("Version %(number)s was superseded"), "plain"),
    "discarded": (N_("Version %(number)s was given up"), "plain"),
}
DIRECTIONS: Mapping[str, str] = {
    "inbound": N_("Inbound"),
    "outbound": N_("Outbound"),
    "internal": N_("Internal"),
}
CONSENTS: Mapping[str, str] = {
    "none": N_("Nobody is asked"),
    "announce": N_("It is announced"),
    "opt-out": N_("May refuse"),
    "opt-in": N_("Has to agree"),
    "forbidden": N_("Never recorded"),
}
KEYS: Mapping[str, str] = {
    "valid_from": N_("Comes into force"),
    "rules": N_("Rules"),
    "number": N_("Version"),
    "pack": N_("Pack"),
    "retention": N_("How long it is kept"),
    "rate": N_("Share of the calls"),
    "window": N_("Counted over"),
    "consent": N_("How people are asked"),
    "statute": N_("Text of law that imposes it"),
    "line": N_("Line"),
    "account": N_("Account"),
    "group": N_("Members of the line"),
    "country": N_("Country of the other side"),
}
_TEXTS = ("line", "account", "group", "direction", "country", "retention", "consent", "rate", "window", "statute")


def number(visit: Visit) -> int:
    """The version that the path names."""
    text = visit.request.match_info["number"]
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise Failure("there is no such version", "Choose one from the list", "not_found")
    return int(text)


def path(version: int, *rest: str) -> str:
    return "/".join(("/policy", str(version), *rest))


# --- all of them ------------------------------------------------------------------------------------------------------


async def every(visit: Visit) -> web.StreamResponse:
    versions = await visit.call("policy.list")
    held = next((one for one in versions if one["state"] == "in force"), None)
    jobs = visit.services.work.all(visit.now) if visit.may("policy.read") else []
    return visit.page("policy.html", versions=versions, held=held, states=STATES, jobs=jobs)


async def history(visit: Visit) -> web.StreamResponse:
    events = []
    for event in reversed(await visit.call("policy.history")):
        text, look = EVENTS.get(event["event"], (N_("Version %(number)s: something else"), "plain"))
        events.append({**event, "told": visit._(text, number=event["number"]), "look": look})
    return visit.page("policy_history.html", events=events)


async def verify(visit: Visit) -> web.StreamResponse:
    wrong = [one for one in await visit.call("policy.verify") if not one["sound"]]
    if not wrong:
        return visit.go("/policy/history", visit._("Bodies, signatures and access log agree."))
    said = "; ".join(f"{one['number']}: {', '.join(visit._(each) for each in one['findings'])}" for one in wrong)
    return visit.go("/policy/history", visit._("Something was altered: %(what)s", what=said), "bad")


async def draft(visit: Visit) -> web.StreamResponse:
    """Of the lines as they are, of another version, or empty."""
    of = visit.given.get("of", "")
    if of == "lines":
        made = await visit.call("policy.draft", from_lines=True)
    elif of.isascii() and of.isdigit() and len(of) < 7:
        made = await visit.call("policy.draft", copy=int(of))
    else:
        made = await visit.call("policy.draft")
    return visit.go(path(made["number"]), visit._("Version %(number)s is begun.", number=made["number"]))


# --- one of them ------------------------------------------------------------------------------------------------------


async def one(visit: Visit) -> web.StreamResponse:
    found = await visit.call("policy.show", number=number(visit))
    rules = [{**rule, "scope": _scope(visit, rule), "own": _own(visit, rule)} for rule in found["rules"]]
    return visit.page(
        "policy_one.html",
        version=found,
        rules=rules,
        problems=[_problem(visit, one) for one in found["problems"]],
        states=STATES,
        purpose=lambda pack: kept.purpose(visit, pack),
        open=found["state"] == "draft",
        mine=visit.person.login == found["author"],
        left=max(0, found["approvals_needed"] - len(found["approved_by"])),
    )


def _problem(visit: Visit, one: Mapping[str, str]) -> dict[str, str]:
    said = {**one, "told": visit._(one["message"]), "named": visit._(KEYS[one["key"]]) if one["key"] in KEYS else ""}
    if one["key"] == "precondition":
        said["named"] = preconditions.load()[one["value"]][visit.language].what
    return said


def _scope(visit: Visit, rule: Mapping[str, object]) -> list[str]:
    named = {
        "line": N_("line %(name)s"),
        "account": N_("calls of %(name)s"),
        "group": N_("members of %(name)s"),
        "country": N_("country %(name)s"),
    }
    said = [visit._(text, name=rule[key]) for key, text in named.items() if key in rule]
    if "direction" in rule:
        said.append(visit._(DIRECTIONS[str(rule["direction"])]).lower())
    return said or [visit._("every call")]


def _own(visit: Visit, rule: Mapping[str, object]) -> list[str]:
    """What the rule says that its pack does not."""
    said = []
    if "retention" in rule:
        said.append(visit._("kept for %(period)s", period=kept.period(visit, str(rule["retention"]))))
    if "per_mille" in rule:
        said.append(visit._("%(share)s %% of the calls", share=visit.times.number(int(str(rule["per_mille"])) / 10, 1)))
    if "window" in rule:
        said.append(visit._("counted over %(period)s", period=kept.period(visit, str(rule["window"]))))
    if "consent" in rule:
        said.append(visit._(CONSENTS.get(str(rule["consent"]), str(rule["consent"]))))
    if "silence" in rule:
        said.append(visit._("silence is a no"))
    if "ask_staff" in rule:
        said.append(visit._("staff are asked as well"))
    if "statute" in rule:
        said.append(str(rule["statute"]))
    return said


async def rule_form(visit: Visit) -> web.StreamResponse:
    """A new rule, or one that is there."""
    found = await visit.call("policy.show", number=number(visit))
    name = visit.given.get("name") or visit.query("name")
    rule = next((one for one in found["rules"] if one["name"] == name), None)
    said: dict[str, object] = {key: (rule or {}).get(key, "") for key in ("pack", "silence", "ask_staff", *_TEXTS)}
    if rule is not None and "per_mille" in rule:
        said["rate"] = f"{rule['per_mille'] / 10:g}%"
    packs = [
        (pack.id, f"{pack.id}: {told}" if (told := kept.purpose(visit, pack.id)) else pack.id)
        for pack in pack_data.load().values()
        if pack.kind in ("recording", "call_record")
    ]
    return visit.page(
        "policy_rule.html",
        version=found,
        name=name,
        exists=rule is not None,
        rule=said,
        packs=packs,
        directions=[("", visit._("both, and internal")), *((key, visit._(text)) for key, text in DIRECTIONS.items())],
        consents=[("", visit._("as the pack says")), *((key, visit._(text)) for key, text in CONSENTS.items())],
    )


async def set_rule(visit: Visit) -> web.StreamResponse:
    version, given = number(visit), visit.given
    if not given.get("name"):
        raise Wrong("name", N_("Give the rule a name."))
    said = {key: given.get(key, "") for key in _TEXTS}
    said["country"] = said["country"].upper()
    await visit.call(
        "policy.set",
        number=version,
        rule=given["name"],
        pack=given.get("pack", ""),
        silence="do_not_record" if given.get("silence") else "",
        ask_staff=bool(given.get("ask_staff")),
        **said,
    )
    return visit.go(path(version), visit._("The rule %(name)s is changed.", name=given["name"]))


async def remove_rule(visit: Visit) -> web.StreamResponse:
    version = number(visit)
    await visit.call("policy.set", number=version, rule=visit.given.get("name", ""), remove=True)
    return visit.go(path(version), visit._("The rule %(name)s is gone.", name=visit.given.get("name", "")))


async def set_date(visit: Visit) -> web.StreamResponse:
    version, day = number(visit), visit.given.get("day", "")
    chosen = "approval" if visit.given.get("from") == "approval" else day
    if not chosen:
        raise Wrong("day", N_("Give the day on which it comes into force."))
    await visit.call("policy.set", number=version, valid_from=chosen)
    return visit.go(path(version), visit._("The date is set."))


async def approve(visit: Visit) -> web.StreamResponse:
    version = number(visit)
    done = await visit.call("policy.approve", number=version)
    if len(done["approved_by"]) < done["approvals_needed"]:
        return visit.go(path(version), visit._("You have approved it. Somebody else has to as well."))
    return visit.go(path(version), visit._("Version %(number)s is approved.", number=version))


async def discard(visit: Visit) -> web.StreamResponse:
    version = number(visit)
    await visit.call("policy.discard", number=version)
    return visit.go("/policy", visit._("Version %(number)s is given up.", number=version))


async def export(visit: Visit) -> web.StreamResponse:
    version = number(visit)
    said = await visit.call("policy.export", number=version)
    name = f'attachment; filename="policy-{version}.json"'
    return web.Response(text=said["document"], content_type="application/json", headers={"Content-Disposition": name})


ROUTES = (
    Route(
        "GET",
        "/policy",
        every,
        "policy.read",
        Menu("kept", N_("Policy"), 10, N_("What is recorded and kept, by which rule, and who approved it.")),
    ),
    Route("GET", "/policy/history", history, "policy.read"),
    Route("POST", "/policy/verify", verify, "policy.read"),
    Route("POST", "/policy/draft", draft, "policy.draft", again=every),
    Route("GET", r"/policy/{number:\d+}", one, "policy.read"),
    Route("GET", r"/policy/{number:\d+}/rule", rule_form, "policy.draft"),
    Route("POST", r"/policy/{number:\d+}/rule", set_rule, "policy.draft", again=rule_form),
    Route("POST", r"/policy/{number:\d+}/rule/remove", remove_rule, "policy.draft", again=one),
    Route("POST", r"/policy/{number:\d+}/date", set_date, "policy.draft", again=one),
    Route("POST", r"/policy/{number:\d+}/approve", approve, "policy.approve", again=one),
    Route("POST", r"/policy/{number:\d+}/discard", discard, "policy.draft", again=one),
    Route("GET", r"/policy/{number:\d+}/export", export, "policy.read"),
)
