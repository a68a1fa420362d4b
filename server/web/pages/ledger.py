"""The ledger: where each log stands, that nobody has changed it, and its newest entries."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from server.web.language import N_
from server.web.routes import Menu, Route
from server.web.visit import Visit

LOGS: Mapping[str, str] = {
    "access": N_("Who has done what"),
    "consent": N_("Consents"),
    "erasure": N_("What was erased"),
}
FAULTS: Mapping[str, str] = {
    "flipped": N_("An entry is not what was written."),
    "missing": N_("Something is gone."),
    "reordered": N_("An entry stands at another’s place."),
    "head": N_("A signature does not hold."),
    "chain": N_("A day does not follow from the one before, or the log was put back."),
    "extra": N_("Something is there that no signature covers."),
}
OUTCOMES: Mapping[str, str] = {
    "done": N_("Done"),
    "denied": N_("Denied"),
    "failed": N_("Failed"),
    "locked": N_("Locked"),
    "refused": N_("Refused"),
    "replayed": N_("Replayed"),
    "wrong": N_("Wrong"),
}
ACTIONS: Mapping[str, str] = {
    "acknowledge": N_("Acknowledged"),
    "add": N_("Added"),
    "approve": N_("Gave approval"),
    "change": N_("Changed"),
    "configure": N_("Configured"),
    "destroy": N_("Destroyed"),
    "disable": N_("Disabled"),
    "enable": N_("Enabled"),
    "erase": N_("Had erased"),
    "export": N_("Exported"),
    "grant": N_("Granted"),
    "hold": N_("Held"),
    "list": N_("Listed"),
    "listen": N_("Listened to"),
    "lock": N_("Locked"),
    "open": N_("Opened"),
    "move": N_("Moved"),
    "prune": N_("Pruned"),
    "reload": N_("Read again"),
    "remove": N_("Removed"),
    "restore": N_("Restored"),
    "revoke": N_("Revoked"),
    "search": N_("Searched for"),
    "send": N_("Sent out"),
    "show": N_("Was shown"),
    "sign_in": N_("Signed in"),
    "start": N_("Started"),
    "stop": N_("Stopped"),
    "test": N_("Tested"),
    "unlock": N_("Unlocked"),
    "use": N_("Used"),
    "verify": N_("Verified"),
    "wrap": N_("Given the key of"),
    "heard": N_("Heard the prompt"),
    "key0": N_("Pressed 0"),
    "key1": N_("Pressed 1: yes"),
    "key2": N_("Pressed 2: no"),
    "objection": N_("Objected"),
    "timeout": N_("Did not answer"),
    "hangup": N_("Hung up"),
    "prompt_failed": N_("The prompt failed"),
    "statute": N_("By law"),
    "withdrawn": N_("Took it back"),
    "given": N_("Gave it"),
}
"""Of the access and erasure logs, and what somebody who was asked has done."""
OBJECTS: Mapping[str, str] = {
    "account": N_("account"),
    "alert": N_("alert"),
    "call": N_("call"),
    "campaign": N_("campaign"),
    "carrier": N_("carrier of texts"),
    "case": N_("case"),
    "configuration": N_("configuration"),
    "consent": N_("consent"),
    "contact": N_("permission to contact"),
    "contract": N_("contract"),
    "conversation": N_("conversation"),
    "device": N_("phone"),
    "diagnosis": N_("diagnosis of a call"),
    "emergency": N_("emergency calls"),
    "escrow": N_("escrow key"),
    "hold": N_("legal hold"),
    "inbox": N_("inbox"),
    "invitation": N_("invitation"),
    "kek": N_("key of a period"),
    "key": N_("key"),
    "ledger": N_("ledger"),
    "limits": N_("limits"),
    "line": N_("line"),
    "mail_login": N_("login for mail"),
    "note": N_("note"),
    "number": N_("number"),
    "orphan": N_("file that belongs to nothing"),
    "passkey": N_("passkey"),
    "password": N_("password"),
    "person": N_("person"),
    "policy": N_("policy"),
    "precondition": N_("what must be done beforehand"),
    "prompt": N_("prompt"),
    "reader": N_("reader’s key"),
    "recipient": N_("recipient"),
    "recording": N_("recording"),
    "recovery": N_("recovery codes"),
    "report": N_("report"),
    "request": N_("request"),
    "retention": N_("expiry"),
    "right": N_("right"),
    "role": N_("role"),
    "sender": N_("address of a sender"),
    "session": N_("session"),
    "suppression": N_("entry not to be contacted"),
    "system": N_("system"),
    "text": N_("text"),
    "token": N_("token"),
    "totp": N_("authenticator app"),
    "trunk": N_("trunk"),
    "usage": N_("minutes and money spent"),
    "vault": N_("vault"),
}
_ON_A_PAGE = 50


async def entries(visit: Visit) -> web.StreamResponse:
    log = visit.query("log") if visit.query("log") in LOGS else "access"
    place = visit.place("before")
    entries = list(reversed(await visit.call("ledger.show", log=log, last=_ON_A_PAGE + 1, before=place)))
    found = entries[:_ON_A_PAGE]
    older = visit.here(log=log, before=found[-1]["seq"]) if len(entries) > _ON_A_PAGE else None
    newest = visit.here(before=None) if place is not None else None
    return visit.page(
        "ledger.html",
        log=log,
        logs=LOGS,
        entries=found,
        older=older,
        newest=newest,
        outcomes=OUTCOMES,
        actions=ACTIONS,
        objects=OBJECTS,
    )


async def verify(visit: Visit) -> web.StreamResponse:
    found = await visit.call("ledger.verify")
    return visit.page("ledger_verified.html", found=found, logs=LOGS, faults=FAULTS)


ROUTES = (
    Route(
        "GET",
        "/ledger",
        entries,
        "ledger.read",
        Menu("system", N_("Ledger"), 60, N_("What was done, by whom, and the proof that nobody has changed it.")),
    ),
    Route("POST", "/ledger/verify", verify, "ledger.read"),
)
