"""What is kept about me: on what it rests, until when, and who has listened and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiohttp import web

from server.web.language import N_
from server.web.purposes import purpose
from server.web.routes import Menu, Route
from server.web.visit import Visit

CLASSES: Mapping[str, str] = {
    "standard": N_("Calls with numbers and times"),
    "minimal": N_("Calls without numbers"),
    "received": N_("Texts that came for you"),
    "handled": N_("Texts that you handled in other inboxes"),
    "sent": N_("Texts that you wrote"),
}
_ACCOUNT = N_("Until the account is removed")
_LEAVES = N_("Until you leave, or change it")
_OVER = N_("Until it is over or used")
_PROOF = N_("For as long as what it proves")
_WITH_TEXT = N_("With the text, conversation or campaign")
_UNTIL_TAKEN = N_("Until the right is taken away")
THINGS: Mapping[str, tuple[str, str]] = {
    "people": (
        N_("Your name, login, language and roles"),
        N_("As long as you work here; afterwards until the access log that names you is pruned"),
    ),
    "accounts": (N_("Your accounts"), _ACCOUNT),
    "devices": (N_("Your phones and what they prove themselves with"), _ACCOUNT),
    "mail_logins": (N_("Programs that send texts by mail for you"), _ACCOUNT),
    "mail_addresses": (N_("Mail addresses that you send texts from"), _ACCOUNT),
    "line_members": (N_("Lines that ring at your phones"), _ACCOUNT),
    "dialled": (N_("What your colleagues dial to reach you"), _ACCOUNT),
    "owned_numbers": (N_("Numbers that are yours"), _ACCOUNT),
    "call_settings": (N_("Forwards, do not disturb, the number that you show"), _ACCOUNT),
    "limits": (N_("What your account may call"), _ACCOUNT),
    "usage": (N_("Sums of your calls by day"), N_("As long as the policy keeps such sums")),
    "emergency_calls": (N_("Emergency calls from your account"), N_("As long as the policy keeps that list")),
    "passwords": (N_("What your password is checked against"), _LEAVES),
    "sign_in_totp": (N_("The secret of your authenticator app"), _LEAVES),
    "passkeys": (N_("Your passkeys"), _LEAVES),
    "recovery_codes": (N_("Your recovery codes, as hashes"), _LEAVES),
    "sessions": (
        N_("Where you are signed in, and from which address"),
        N_("Seven days at most, or until you sign out"),
    ),
    "known_browsers": (N_("Browsers that you have signed in with"), N_("180 days")),
    "sign_in_challenges": (N_("Sign-ins that are under way"), N_("Minutes")),
    "invitations": (N_("Your link for a first sign-in"), _OVER),
    "api_tokens": (N_("Tokens of programs that act for you"), _OVER),
    "reader_keys": (N_("Your reader's key, sealed by your passphrase"), _LEAVES),
    "reader_rights": (N_("What you may listen to, and what you let others listen to"), _UNTIL_TAKEN),
    "reader_totp": (N_("The memory of your reader's codes"), _LEAVES),
    "kek_wraps": (N_("Which weeks' recordings your key opens"), N_("With the last recording of that week")),
    "recording_notes": (N_("Notes that you wrote on recordings"), N_("A year at most, or with the recording")),
    "listening_requests": (N_("Requests to listen that you made or decided"), _OVER),
    "policy_approvals": (N_("Versions of the policy that you approved"), _PROOF),
    "policy_preconditions": (N_("Steps before recording that you entered"), _PROOF),
    "alerts": (N_("Alerts that you judged, or that were about you and have been judged"),
               N_("As long as the policy keeps the security log")),
    "clear_looks": (N_("How many numbers and names you were shown on your newest day"), N_("Until your next day")),
    "person_locks": (N_("That you are locked, and what unlocking gives back"), N_("Until you are unlocked")),
    "inboxes": (N_("Your inbox, and what it answers by itself"), N_("Until the inbox has no use")),
    "inbox_members": (N_("Inboxes that you write from"), _UNTIL_TAKEN),
    "sms_senders": (N_("Senders of texts that you approved"), N_("As long as texts were sent from it")),
    "sms_events": (N_("What you did with texts"), _WITH_TEXT),
    "sms_waiting": (N_("Texts that wait for your phones"), N_("Until a phone has them, some hours at most")),
    "sms_requests": (N_("What texts asked for by law, and you closed"), N_("As long as the policy keeps the text")),
    "conversations": (N_("Conversations that were handed to you"), N_("As long as the policy keeps the conversation")),
    "campaigns": (N_("Campaigns that you wrote or approved"), N_("As long as the policy keeps the campaign")),
    "mail_orders": (N_("Texts that you ordered by mail"), N_("Until it is known what became of the text")),
}  # fmt: skip
ACTS: Mapping[str, str] = {
    "heard": N_("you heard the announcement"),
    "key0": N_("you asked for more (0)"),
    "key1": N_("you agreed (1)"),
    "key2": N_("you refused (2)"),
    "objection": N_("you objected"),
    "timeout": N_("you did not answer the question"),
    "hangup": N_("you hung up at the question"),
    "prompt_failed": N_("the announcement could not be played"),
    "statute": N_("a law demands it"),
    "withdrawn": N_("you withdrew your consent"),
    "given": N_("you gave your consent"),
}
ACTIONS: Mapping[str, str] = {
    "open": N_("opened it"),
    "listen": N_("listened"),
    "export": N_("took a copy"),
}
STATES: Mapping[str, str] = {
    "recording": N_("being recorded"),
    "whole": N_("whole"),
    "cut": N_("cut short"),
    "failed": N_("failed"),
}


async def kept(visit: Visit) -> web.StreamResponse:
    found: dict[str, Any] = await visit.call("person.kept")
    company = visit.services.settings.company
    return visit.page(
        "about_me.html",
        kept=found,
        listened=found["opened"],
        calls=sum(one["count"] for one in found["calls"]),
        texts=sum(one["count"] for one in found["texts"]),
        contact=company.dpo_contact,
        rights=company.rights_url,
        purpose=purpose,
        classes=CLASSES,
        things=THINGS,
        acts=ACTS,
        actions=ACTIONS,
        states=STATES,
    )


ROUTES = (
    Route(
        "GET",
        "/kept",
        kept,
        "kept.read",
        Menu("mine", N_("What is kept about me"), 60, N_("Until when, on what it rests, and who listened and why.")),
    ),
)
