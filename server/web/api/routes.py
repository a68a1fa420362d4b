"""Which route leads to which operation: each operation has exactly one.

Parts of a path in braces are arguments of the operation. What is left of its arguments comes from the query (GET,
DELETE) or from a JSON body (the rest); see `server.web.api.signatures`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from server.operation_rules import RULES
from server.rights import Rule

_PART = re.compile(r"\{([a-z_]+)\}")

# operation: (method, path, what it does)
_PEOPLE = {
    "person.list": ("GET", "/people", "People"),
    "person.add": ("POST", "/people", "Add a person"),
    "person.disable": ("POST", "/people/{login}/disable", "Disable a person"),
    "person.role": ("PUT", "/people/{login}/roles", "Set a person's roles"),
    "person.grant": ("PUT", "/people/{login}/purposes/{purpose}", "Let a person listen to recordings of a purpose"),
    "person.revoke": ("DELETE", "/people/{login}/purposes/{purpose}", "No longer let a person listen to them"),
    "person.lock": ("POST", "/people/{login}/lock", "Lock a person out at once"),
    "person.unlock": ("POST", "/people/{login}/unlock", "Let a locked person in again"),
    "person.leave": ("POST", "/people/{login}/leave", "A person leaves: revoke, keep, hand over"),
    "person.invite": ("POST", "/people/{login}/invitation", "A link for a first sign-in; it is shown once"),
    "person.kept": ("GET", "/kept", "What is kept about oneself, until when, and who listened"),
    "session.list": ("GET", "/sessions", "Where one is signed in"),
    "session.revoke": ("DELETE", "/sessions/{session}", "Sign a browser out"),
    "token.list": ("GET", "/tokens", "Tokens of one's programs"),
    "token.create": ("POST", "/tokens", "Make a token for a program; it is shown once"),
    "token.revoke": ("DELETE", "/tokens/{token}", "Revoke a token"),
    "role.list": ("GET", "/roles", "Roles"),
    "role.show": ("GET", "/roles/{role}", "Every right, and how far a role has it"),
    "role.set": ("PUT", "/roles/{role}/rights/{right}", "Give a role a right, or take it"),
    "role.reset": ("POST", "/roles/{role}/reset", "A role, or one right of it, as shipped"),
    "account.list": ("GET", "/accounts", "Accounts that telephone"),
    "account.show": ("GET", "/accounts/{name}", "An account with its phones and settings"),
    "account.add": ("POST", "/accounts", "Add an account"),
    "account.disable": ("POST", "/accounts/{name}/disable", "Disable an account"),
    "account.give": ("POST", "/accounts/{name}/give", "Give an account that is nobody's to a person"),
    "account.enable": ("POST", "/accounts/{name}/enable", "Enable an account"),
    "account.remove": ("DELETE", "/accounts/{name}", "Remove an account and erase what belongs to it"),
    "account.limits": ("PATCH", "/accounts/{name}/limits", "Show or change an account's limits"),
    "account.forward": ("PATCH", "/accounts/{name}/forwards", "Show or change forwards"),
    "account.dnd": ("PUT", "/accounts/{name}/do-not-disturb", "Turn do not disturb on or off"),
    "account.call-waiting": ("PUT", "/accounts/{name}/call-waiting", "Turn call waiting on or off"),
    "account.present": ("PUT", "/accounts/{name}/presented-number", "Choose the number that is shown"),
    "device.list": ("GET", "/devices", "Phones"),
    "device.add": ("POST", "/devices", "Make a credential for one more phone; it is shown once"),
    "device.offer": (
        "POST",
        "/devices/offers",
        "Make a credential that a phone fetches by itself, once, within ten minutes",
    ),
    "device.revoke": ("DELETE", "/devices/{user}", "Revoke a phone"),
    "mail.login.list": ("GET", "/mail-logins", "Mail logins"),
    "mail.login.add": ("POST", "/mail-logins", "Add a mail login; its password is shown once"),
    "mail.login.revoke": ("DELETE", "/mail-logins/{login}", "Revoke a mail login"),
}

_SWITCHBOARD = {
    "line.list": ("GET", "/lines", "Lines"),
    "line.add": ("POST", "/lines", "Add a line"),
    "line.set": ("PATCH", "/lines/{line}", "Change a line"),
    "trunk.list": ("GET", "/trunks", "Trunks"),
    "trunk.add": ("POST", "/trunks", "Add a trunk"),
    "trunk.set": ("PATCH", "/trunks/{trunk}", "Change a trunk"),
    "trunk.enable": ("POST", "/trunks/{trunk}/enable", "Enable a trunk"),
    "trunk.disable": ("POST", "/trunks/{trunk}/disable", "Disable a trunk"),
    "trunk.remove": ("DELETE", "/trunks/{trunk}", "Remove a trunk"),
    "trunk.test": ("POST", "/trunks/{trunk}/test", "Test a trunk"),
    "number.list": ("GET", "/numbers", "Own numbers and where they lead"),
    "number.add": ("POST", "/numbers", "Add an own number"),
    "number.remove": ("DELETE", "/numbers/{number}", "Remove an own number"),
    "limits.show": ("GET", "/limits", "Limits of all, or of a trunk"),
    "limits.set": ("PATCH", "/limits", "Change limits of all, or of a trunk"),
    "carrier.list": ("GET", "/carriers", "Carriers of texts"),
    "carrier.test": ("POST", "/carriers/{carrier}/test", "Send a text by one carrier"),
    "emergency.list": ("GET", "/emergency-calls", "Emergency calls"),
    "emergency.check": ("GET", "/emergency-checks", "Where emergency calls would go"),
    "emergency.drill": ("POST", "/emergency-drills", "Go through an emergency call without making it"),
}

_CALLS = {
    "calls.list": ("GET", "/calls", "Past calls, the newest first"),
    "calls.originate": ("POST", "/calls", "Click-to-call: ring an account's phones, then call a number"),
    "calls.show": ("GET", "/calls/{call_id}", "A past call"),
    "calls.hangup": ("DELETE", "/calls/{call_id}", "End a running call"),
    "calls.live": ("GET", "/live-calls", "Running calls"),
    "calls.transfer": ("POST", "/calls/{call_id}/transfer", "Pass a running call on"),
    "calls.pause": ("PUT", "/calls/{call_id}/pause", "Pause or resume the recording of a running call"),
    "calls.stats": ("GET", "/call-statistics", "Figures of past calls, by groups large enough"),
    "calls.circle": ("GET", "/accounts/{account}/circle", "Who calls whom"),
    "calls.why": ("GET", "/calls/{call_id}/verdict", "Why could they not hear each other?"),
    "calls.whys": ("GET", "/call-verdicts", "Calls with their verdicts"),
}

_CONTACTS = {
    "contact.check": ("POST", "/contact-checks", "May this number be contacted on behalf of that line?"),
    "contact.consent.list": ("GET", "/consents", "Consents"),
    "contact.consent.show": ("GET", "/consents/{consent}", "A consent"),
    "contact.consent.add": ("POST", "/consents", "Note a consent with its proof"),
    "contact.consent.withdraw": ("POST", "/consents/withdraw", "Withdraw a consent, or all of a number"),
    "contact.contract.list": ("GET", "/contracts", "Contracts that permit contact"),
    "contact.contract.add": ("POST", "/contracts", "Note a contract"),
    "contact.contract.end": ("POST", "/contracts/{contract}/end", "A contract has ended"),
    "contact.suppress.list": ("GET", "/suppressions", "Numbers that are not to be contacted"),
    "contact.suppress.add": ("POST", "/suppressions", "Contact a number no more"),
    "contact.suppress.import": ("POST", "/suppressions/import", "Add many numbers that are not to be contacted"),
    "contact.suppress.remove": ("POST", "/suppressions/remove", "Take a number off that list"),
    "optout.list": ("GET", "/opt-outs", "Numbers that have said STOP"),
    "optout.check": ("POST", "/opt-outs/check", "Has this number said STOP?"),
    "optout.add": ("POST", "/opt-outs", "Note a STOP"),
}

_TEXTS = {
    "sms.list": ("GET", "/texts", "Texts that were sent"),
    "sms.send": ("POST", "/texts", "Send a text"),
    "sms.show": ("GET", "/texts/{text}", "A text and all that became of it"),
    "sms.cancel": ("POST", "/texts/{text}/cancel", "Do not send a waiting text"),
    "sms.settle": ("POST", "/texts/{text}/settle", "Say what became of a text in doubt"),
    "inbox.list": ("GET", "/inboxes", "Inboxes"),
    "inbox.every": ("GET", "/all-inboxes", "All inboxes, for whoever administers them"),
    "inbox.add": ("POST", "/inboxes", "Add an inbox"),
    "inbox.show": ("GET", "/inboxes/{inbox}/texts", "Texts that came in; their words stay sealed"),
    "inbox.member": ("PATCH", "/inboxes/{inbox}/members/{login}", "What a person may do in an inbox"),
    "inbox.close": ("POST", "/inboxes/{inbox}/close", "Close an inbox, or open it again"),
    "inbox.away": ("PUT", "/inboxes/{inbox}/away", "Answer for those who are away"),
    "inbox.conversations": ("GET", "/inboxes/{inbox}/conversations", "Conversations of an inbox"),
    "inbox.hand-over": ("POST", "/conversations/{conversation}/hand-over", "Hand a conversation over"),
    "inbox.handled": ("POST", "/received-texts/{text}/handled", "A text that came in is dealt with"),
    "inbox.decide": ("POST", "/received-texts/{text}/decision", "Say whether a text in doubt means STOP"),
    "inbox.requests": ("GET", "/text-requests", "Requests of people by text"),
    "inbox.request.close": ("POST", "/text-requests/{request}/close", "A request is dealt with"),
    "inbox.sender.list": ("GET", "/senders", "Approved senders"),
    "inbox.sender.add": ("POST", "/senders", "Approve a sender"),
    "inbox.sender.remove": ("DELETE", "/senders/{address}", "Approve a sender no more"),
    "campaign.list": ("GET", "/campaigns", "Campaigns"),
    "campaign.add": ("POST", "/campaigns", "Draft a campaign"),
    "campaign.show": ("GET", "/campaigns/{name}", "A campaign"),
    "campaign.edit": ("PATCH", "/campaigns/{name}", "Change a campaign's template"),
    "campaign.measure": ("POST", "/campaign-words", "What is added to words, and how many parts they take"),
    "campaign.look": ("POST", "/campaigns/{name}/list-check", "Look at numbers before they are added"),
    "campaign.write": ("POST", "/campaigns/{name}/list", "Add lines to a campaign's list"),
    "campaign.lines": ("GET", "/campaigns/{name}/lines", "Lines of a campaign and what became of each"),
    "campaign.preview": ("GET", "/campaigns/{name}/preview", "The first texts as they would be sent"),
    "campaign.simulate": ("POST", "/campaigns/{name}/simulation", "What would be sent, refused, held, and its cost"),
    "campaign.test": ("POST", "/campaigns/{name}/test", "Send one text of it to a number"),
    "campaign.submit": ("POST", "/campaigns/{name}/submit", "Hand a campaign in for approval"),
    "campaign.approve": ("POST", "/campaigns/{name}/approve", "Approve a campaign"),
    "campaign.start": ("POST", "/campaigns/{name}/start", "Start a campaign"),
    "campaign.pause": ("POST", "/campaigns/{name}/pause", "Pause a campaign"),
    "campaign.resume": ("POST", "/campaigns/{name}/resume", "Go on with a campaign"),
    "campaign.cancel": ("POST", "/campaigns/{name}/cancel", "End a campaign"),
    "campaign.stats": ("GET", "/campaigns/{name}/statistics", "Figures of a campaign"),
}

_POLICY = {
    "policy.list": ("GET", "/policies", "Versions of the policy"),
    "policy.show": ("GET", "/policy", "The policy in force, or the version with a number"),
    "policy.draft": ("POST", "/policies", "Begin a draft"),
    "policy.set": ("PATCH", "/policies/{number}", "Change a draft"),
    "policy.simulate": ("POST", "/policies/{number}/simulation", "What a draft would change, on real history"),
    "policy.approve": ("POST", "/policies/{number}/approve", "Approve a draft"),
    "policy.discard": ("DELETE", "/policies/{number}", "Discard a draft"),
    "policy.export": ("GET", "/policy/document", "The policy as a document"),
    "policy.import": ("POST", "/policies/import", "Make a draft of a document"),
    "policy.needs": ("GET", "/policy/needs", "What packs need before they may be used"),
    "policy.enter": ("POST", "/policy/needs", "Enter evidence that a need is met"),
    "policy.withdraw": ("DELETE", "/policy/needs/{entry}", "Withdraw evidence"),
    "policy.history": ("GET", "/policy/history", "What was done to the policy"),
    "policy.verify": ("GET", "/policy/verification", "Are approvals genuine and whole?"),
    "prompt.list": ("GET", "/prompts", "What is said to people, in each language"),
    "prompt.show": ("GET", "/prompts/{prompt}/{language}", "A prompt with its versions"),
    "prompt.hear": ("GET", "/prompts/{prompt}/{language}/audio", "A prompt as a call hears it, or a version of it"),
    "prompt.write": ("PUT", "/prompts/{prompt}/{language}/words", "Own words, as a draft"),
    "prompt.upload": ("PUT", "/prompts/{prompt}/{language}/recording", "An own recording, as a draft"),
    "prompt.use": ("POST", "/prompts/{prompt}/{language}/use", "The draft counts from the next call on"),
    "prompt.approve": ("POST", "/prompts/{prompt}/{language}/approve", "Approve a draft that another person brought"),
    "prompt.discard": ("DELETE", "/prompts/{prompt}/{language}/draft", "Discard a draft"),
    "prompt.reset": ("POST", "/prompts/{prompt}/{language}/reset", "Back to the shipped text"),
    "retention.due": ("GET", "/retention/due", "What has to go now"),
    "retention.forecast": ("GET", "/retention/forecast", "What will go in the next days"),
    "retention.status": ("GET", "/retention/status", "The last sweep"),
    "retention.sweep": ("POST", "/retention/sweeps", "Sweep now"),
    "retention.erase": ("POST", "/retention/erasures", "Erase what is kept of a number"),
    "retention.objections": ("GET", "/retention/objections", "What was destroyed because somebody said no"),
    "retention.register": ("GET", "/retention/register", "The register of processing: what is kept, seen, sent"),
    "retention.map": ("GET", "/retention/map", "What is kept, where, and until when"),
    "retention.orphans": ("GET", "/retention/orphans", "What belongs to nobody"),
    "retention.orphan-remove": ("DELETE", "/retention/orphans/{orphan}", "Remove what belongs to nobody"),
    "hold.list": ("GET", "/holds", "Holds"),
    "hold.show": ("GET", "/holds/{hold}", "A hold"),
    "hold.add": ("POST", "/holds", "Hold something back from deletion"),
    "hold.lift": ("POST", "/holds/{hold}/lift", "Lift a hold"),
    "keys.list": ("GET", "/keys", "Keys of the indexes"),
    "keys.rotate": ("POST", "/keys/{line}/rotate", "Make a new key of an index"),
}

_PROOF = {
    "recordings.list": ("GET", "/recordings", "Recordings"),
    "recordings.show": ("GET", "/recordings/{rec_id}", "A recording; its sound stays sealed"),
    "recordings.openings": ("GET", "/recordings/{rec_id}/openings", "Who has opened a recording, when and why"),
    "recordings.request": ("POST", "/recordings/{rec_id}/requests", "Ask a second reader, where nobody opens it alone"),
    "recordings.requests": ("GET", "/listening-requests", "Requests to listen that wait or may be used"),
    "recordings.decide": ("POST", "/listening-requests/{request}/decision", "Agree that somebody listens, or do not"),
    "recordings.verify": ("POST", "/recordings/verify", "Are recordings whole and unchanged?"),
    "recordings.destroy": ("POST", "/recordings/{rec_id}/destroy", "Destroy a recording, with a receipt"),
    "recordings.event": ("POST", "/recordings/{rec_id}/events", "Something from which its period counts"),
    "vault.check": ("GET", "/vault/check", "Is the vault whole?"),
    "ledger.show": ("GET", "/ledger", "Entries of a ledger"),
    "ledger.verify": ("POST", "/ledger/verify", "Is the ledger whole?"),
    "ledger.statistics": ("GET", "/ledger/statistics", "Who opened, exported and searched how often, by week"),
    "ledger.receipt": ("GET", "/receipts/{receipt}", "A receipt of destruction"),
}

_MACHINE = {
    "alert.list": ("GET", "/alerts", "Alerts"),
    "alert.rules": ("GET", "/alert-rules", "What raises an alert"),
    "alert.runbook": ("GET", "/alert-rules/{kind}/runbook", "What to do when it happens"),
    "alert.show": ("GET", "/alerts/{alert}", "An alert with its runbook"),
    "alert.ack": ("POST", "/alerts/{alert}/verdict", "Give a verdict on an alert"),
    "alert.test": ("POST", "/alerts/test", "Raise a test alert"),
    "registration.list": ("GET", "/registrations", "Which phones are registered now, and where"),
    "connection.list": ("GET", "/connections", "What this server is connected to outside, and why"),
    "ban.list": ("GET", "/bans", "Sources that are kept out"),
    "ban.lift": ("DELETE", "/bans/{source}", "Let a source in again"),
    "status": ("GET", "/status", "How the machine is doing"),
    "system.check": ("POST", "/system/check", "Look at machine, files, ports and configuration; it takes seconds"),
    "system.overview": ("GET", "/system", "Each part of the system at a glance, and whether it is well"),
    "reload": ("POST", "/reload", "Read the configuration again"),
}

LOOKS = frozenset(
    {
        "contact.check",
        "optout.check",
        "campaign.look",
        "campaign.simulate",
        "campaign.measure",
        "policy.simulate",
        "recordings.verify",
        "ledger.verify",
        "system.check",
    }
)
"""What only looks, and is sent by POST for what does not belong into an address or takes its time. What was true when
it was asked for the first time is no answer to the second."""

GROUPS: Mapping[str, Mapping[str, tuple[str, str, str]]] = {
    "People, accounts and phones": _PEOPLE,
    "Switchboard": _SWITCHBOARD,
    "Calls": _CALLS,
    "Permission to contact": _CONTACTS,
    "Texts and campaigns": _TEXTS,
    "Policy and retention": _POLICY,
    "Recordings and proof": _PROOF,
    "The machine": _MACHINE,
}


@dataclass(frozen=True, slots=True)
class Route:
    """One operation under its method and path; `group` is for readers of the document."""

    operation: str
    method: str
    path: str
    summary: str
    group: str

    @property
    def parts(self) -> tuple[str, ...]:
        """Arguments that stand in the path."""
        return tuple(_PART.findall(self.path))

    @property
    def rule(self) -> Rule:
        return RULES[self.operation]

    @property
    def reads(self) -> bool:
        return self.method == "GET"

    @property
    def looks(self) -> bool:
        """Whether it changes nothing: it is done anew each time that it is asked for."""
        return self.reads or self.operation in LOOKS


@functools.cache
def routes() -> tuple[Route, ...]:
    """All of them; those with a fixed path come before those whose path has arguments."""
    found = [
        Route(operation, method, path, summary, group)
        for group, table in GROUPS.items()
        for operation, (method, path, summary) in table.items()
    ]
    return tuple(sorted(found, key=lambda route: (len(route.parts), route.path)))
