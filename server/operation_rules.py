"""Which right each operation asks for, when a person calls it through the portal or the API.

The command line is whoever owns the machine: it is asked for none. An operation without a rule here is closed to
everybody else.
"""

from __future__ import annotations

from collections.abc import Mapping

from server.rights import Rule


def _all(
    right: str,
    *names: str,
    login: str | None = None,
    account: str | None = None,
    narrow: bool = False,
    fresh: bool = False,
) -> dict[str, Rule]:
    return dict.fromkeys(names, Rule(right, login=login, account=account, narrow=narrow, fresh=fresh))


RULES: Mapping[str, Rule] = {
    # --- one's own
    **_all("kept.read", "person.kept", login="login"),
    # --- people and what they telephone with
    **_all("people.read", "person.list"),
    **_all("people.manage", "person.disable", fresh=True),
    # Whoever gives somebody roles, and the link to sign in by, could become that somebody: it takes the same right.
    **_all("people.rights", "person.add", "person.invite", "person.role", "person.grant", "person.revoke",
           fresh=True),
    **_all("people.rights", "role.list", "role.show"),
    **_all("people.rights", "role.set", "role.reset", fresh=True),
    **_all("people.contain", "person.lock", "person.unlock", "person.leave", fresh=True),
    **_all("sessions.use", "session.list", "session.revoke", login="login"),
    **_all("tokens.use", "token.list", "token.revoke", login="login"),
    **_all("tokens.use", "token.create", login="login", fresh=True),
    **_all("accounts.read", "account.list", narrow=True),
    **_all("accounts.read", "account.show", account="name"),
    **_all("accounts.manage", "account.add", "account.give", "account.disable", "account.enable", "account.remove"),
    **_all("accounts.manage", "account.limits", account="name"),
    **_all("accounts.settings", "account.forward", "account.dnd", "account.call-waiting", "account.present",
           account="name"),
    **_all("devices.manage", "device.add", "device.offer", account="account"),
    **_all("devices.manage", "device.list", "device.revoke", narrow=True),
    **_all("devices.manage", "mail.login.list", "mail.login.revoke", narrow=True),
    **_all("devices.manage", "mail.login.add", account="account"),
    # --- the switchboard
    **_all("switchboard.read", "line.list", "trunk.list", "number.list", "limits.show", "emergency.list",
           "emergency.check", "carrier.list"),
    **_all("switchboard.manage", "line.add", "line.set", "trunk.add", "trunk.set", "trunk.enable", "trunk.disable",
           "trunk.remove", "trunk.test", "number.add", "number.remove", "limits.set", "emergency.drill"),
    **_all("switchboard.manage", "carrier.test", login="login"),
    # --- calls
    **_all("calls.read", "calls.list", "calls.show", "calls.why", "calls.whys", narrow=True),
    **_all("calls.live", "calls.live", "calls.hangup", "calls.transfer", "calls.pause", narrow=True),
    **_all("calls.make", "calls.originate", account="account"),
    **_all("calls.statistics", "calls.stats"),
    **_all("calls.circle", "calls.circle", login="login", fresh=True),
    # --- permission to contact
    **_all("contacts.read", "contact.check", "contact.consent.list", "contact.consent.show", "contact.contract.list",
           "contact.suppress.list", "optout.list", "optout.check"),
    **_all("contacts.manage", "contact.consent.add", "contact.consent.withdraw", "contact.contract.add",
           "contact.contract.end", "contact.suppress.add", "contact.suppress.import", "optout.add"),
    **_all("contacts.manage", "contact.suppress.remove", fresh=True),
    # --- texts: which inboxes, the services decide by membership
    **_all("texts.use", "sms.send", "sms.list", "sms.show", "sms.cancel", "sms.settle", "inbox.list", "inbox.show",
           "inbox.handled", "inbox.decide", "inbox.away", "inbox.requests", "inbox.request.close",
           "inbox.conversations", "inbox.hand-over", login="login"),
    **_all("campaigns.use", "campaign.add", "campaign.edit", "campaign.measure", "campaign.look", "campaign.write",
           "campaign.list", "campaign.show", "campaign.lines", "campaign.preview", "campaign.simulate", "campaign.test",
           "campaign.submit", "campaign.start", "campaign.pause", "campaign.resume", "campaign.cancel",
           "campaign.stats", login="login"),
    **_all("campaigns.use", "campaign.approve", login="login", fresh=True),
    **_all("inboxes.manage", "inbox.every", "inbox.add", "inbox.member", "inbox.close", "inbox.sender.list",
           "inbox.sender.remove"),
    **_all("inboxes.manage", "inbox.sender.add", login="approved_by"),
    # --- policy, retention, proof
    **_all("policy.read", "policy.list", "policy.show", "policy.export", "policy.needs", "policy.history",
           "policy.verify", "policy.simulate"),
    **_all("policy.draft", "policy.draft", "policy.import", login="login"),
    **_all("policy.draft", "policy.set", "policy.discard", "policy.enter", "policy.withdraw"),
    **_all("policy.approve", "policy.approve", login="login", fresh=True),
    # --- what is said to people
    **_all("prompts.read", "prompt.list", "prompt.show", "prompt.hear"),
    **_all("prompts.manage", "prompt.write", "prompt.upload", "prompt.use", "prompt.discard", "prompt.reset"),
    **_all("policy.approve", "prompt.approve", login="login", fresh=True),
    **_all("retention.read", "retention.due", "retention.forecast", "retention.status", "retention.map",
           "retention.register", "retention.orphans", "hold.list", "hold.show", "keys.list"),
    **_all("retention.manage", "retention.sweep"),
    **_all("retention.manage", "retention.orphan-remove", "keys.rotate", fresh=True),
    **_all("retention.erase", "retention.erase", "recordings.destroy", fresh=True),
    **_all("holds.manage", "hold.add", login="approved_by", fresh=True),
    **_all("holds.manage", "hold.lift", fresh=True),
    **_all("recordings.read", "recordings.list", "recordings.show", "recordings.openings", narrow=True),
    **_all("recordings.read", "recordings.request", "recordings.requests", login="login", narrow=True),
    **_all("recordings.read", "recordings.decide", login="login", narrow=True, fresh=True),
    **_all("recordings.verify", "recordings.verify", "vault.check"),
    **_all("recordings.event", "recordings.event"),
    **_all("ledger.read", "ledger.receipt", "ledger.show", "ledger.verify",
           "ledger.statistics", "retention.objections"),
    # --- the machine
    **_all("security.read", "ban.list", "connection.list", "registration.list"),
    **_all("security.manage", "ban.lift", "alert.test"),
    **_all("alerts.read", "alert.list", "alert.show", "alert.rules", "alert.runbook"),
    **_all("alerts.decide", "alert.ack"),
    **_all("system.read", "status", "system.overview", "system.check"),
    **_all("system.manage", "reload", fresh=True),
}  # fmt: skip

CLOSED = frozenset({"reader.prepare", "reader.enrol"})
"""A reader's key is made where the passphrase is typed, by a program of the reader's own."""

RIGHTS: frozenset[str] = frozenset(rule.right for rule in RULES.values())
