"""Everything that can be asked by name: one table for the command line, the control socket and the API.

An operation is `async def f(services, actor, *, ...)`. Arguments come from outside: they are checked against the
function's own signature before it is called. Modules are loaded when first asked.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import TooMuch, note_refused
from server.services.context import Services
from server.services.failures import told
from server.wire import plain

_ROOM = "server.services."
OPERATIONS: Mapping[str, str] = {
    "person.add": "people:add",
    "person.list": "people:list_",
    "person.disable": "people:disable",
    "person.kept": "kept_about:kept",
    "person.role": "people:set_roles",
    "person.grant": "people:grant",
    "person.revoke": "people:revoke",
    "person.lock": "containment:lock",
    "person.unlock": "containment:unlock",
    "person.leave": "leaving:leave",
    "person.invite": "invitations:create",
    "session.list": "sessions:list_",
    "session.revoke": "sessions:revoke",
    "token.create": "tokens:create",
    "token.list": "tokens:list_",
    "token.revoke": "tokens:revoke",
    "role.list": "roles:list_",
    "role.show": "roles:show",
    "role.set": "roles:set_",
    "role.reset": "roles:reset",
    "reader.prepare": "readers:prepare",
    "reader.enrol": "readers:enrol",
    "account.add": "accounts:add",
    "account.list": "accounts:list_",
    "account.show": "accounts:show",
    "account.give": "accounts:give",
    "account.disable": "accounts:disable",
    "account.enable": "accounts:enable",
    "account.remove": "accounts:remove",
    "account.forward": "call_settings:forward",
    "account.dnd": "call_settings:dnd",
    "account.call-waiting": "call_settings:call_waiting",
    "account.present": "call_settings:present",
    "account.limits": "limits:of_account",
    "device.add": "devices:add",
    "device.offer": "provisioning:offer",
    "device.list": "devices:list_",
    "device.revoke": "devices:revoke",
    "mail.login.add": "mail_logins:add",
    "mail.login.list": "mail_logins:list_",
    "mail.login.revoke": "mail_logins:revoke",
    "line.add": "lines:add",
    "line.list": "lines:list_",
    "line.set": "lines:set_",
    "trunk.add": "trunks:add",
    "trunk.list": "trunks:list_",
    "trunk.set": "trunks:set_",
    "trunk.enable": "trunks:enable",
    "trunk.disable": "trunks:disable",
    "trunk.remove": "trunks:remove",
    "trunk.test": "trunks:test",
    "number.add": "owned_numbers:add",
    "number.list": "owned_numbers:list_",
    "number.remove": "owned_numbers:remove",
    "limits.show": "limits:show",
    "limits.set": "limits:set_",
    "calls.list": "calls:list_",
    "calls.show": "calls:show",
    "calls.stats": "call_statistics:stats",
    "calls.circle": "circle:circle",
    "calls.live": "live_calls:live",
    "calls.hangup": "live_calls:hangup",
    "calls.transfer": "live_calls:transfer",
    "calls.pause": "live_calls:pause",
    "calls.originate": "live_calls:originate",
    "calls.why": "why:why",
    "calls.whys": "why:whys",
    "contact.check": "contact_check:check",
    "contact.consent.add": "consents:add",
    "contact.consent.list": "consents:list_",
    "contact.consent.show": "consents:show",
    "contact.consent.withdraw": "consents:withdraw",
    "contact.contract.add": "contracts:add",
    "contact.contract.end": "contracts:end",
    "contact.contract.list": "contracts:list_",
    "contact.suppress.add": "suppressions:add",
    "contact.suppress.remove": "suppressions:remove",
    "contact.suppress.list": "suppressions:list_",
    "contact.suppress.import": "suppressions:import_",
    "campaign.add": "campaigns:add",
    "campaign.edit": "campaigns:edit",
    "campaign.measure": "campaign_words:measure",
    "campaign.look": "campaign_lists:look",
    "campaign.write": "campaign_lists:write",
    "campaign.list": "campaigns:list_",
    "campaign.show": "campaigns:show",
    "campaign.lines": "campaigns:lines",
    "campaign.preview": "campaign_simulation:preview",
    "campaign.simulate": "campaign_simulation:simulate",
    "campaign.test": "campaign_simulation:test",
    "campaign.submit": "campaigns:submit",
    "campaign.approve": "campaigns:approve",
    "campaign.start": "campaigns:start",
    "campaign.pause": "campaigns:pause",
    "campaign.resume": "campaigns:resume",
    "campaign.cancel": "campaigns:cancel",
    "campaign.stats": "campaigns:stats",
    "emergency.list": "emergency:list_",
    "emergency.check": "emergency:check",
    "emergency.drill": "emergency:drill",
    "policy.list": "policies:list_",
    "policy.show": "policies:show",
    "policy.draft": "policies:draft",
    "policy.set": "policies:set_",
    "policy.simulate": "simulation:simulate",
    "policy.approve": "policies:approve",
    "policy.discard": "policies:discard",
    "policy.export": "policies:export",
    "policy.import": "policies:import_",
    "policy.needs": "policy_register:needs",
    "policy.enter": "policy_register:enter",
    "policy.withdraw": "policy_register:withdraw",
    "policy.history": "policy_register:history",
    "policy.verify": "policy_register:verify",
    "prompt.list": "prompts:list_",
    "prompt.show": "prompts:show",
    "prompt.hear": "prompts:hear",
    "prompt.write": "prompts:write",
    "prompt.upload": "prompts:upload",
    "prompt.use": "prompts:use",
    "prompt.approve": "prompts:approve",
    "prompt.discard": "prompts:discard",
    "prompt.reset": "prompts:reset",
    "retention.due": "retention:due",
    "retention.forecast": "retention:forecast",
    "retention.sweep": "retention:sweep",
    "retention.status": "retention:status",
    "retention.erase": "number_requests:erase",
    "retention.objections": "objections:destroyed",
    "retention.register": "register:register",
    "retention.map": "orphans:map_",
    "retention.orphans": "orphans:look",
    "retention.orphan-remove": "orphans:remove",
    "keys.list": "index_keys:list_",
    "keys.rotate": "index_keys:rotate",
    "hold.add": "holds:add",
    "hold.list": "holds:list_",
    "hold.show": "holds:show",
    "hold.lift": "holds:lift",
    "recordings.list": "recordings:list_",
    "recordings.show": "recordings:show",
    "recordings.openings": "recording_openings:openings",
    "recordings.request": "listening_requests:ask",
    "recordings.requests": "listening_requests:list_",
    "recordings.decide": "listening_requests:decide",
    "recordings.verify": "recordings:verify",
    "recordings.destroy": "recording_orders:destroy",
    "recordings.event": "recording_orders:event",
    "ledger.receipt": "ledger:receipt",
    "ledger.show": "ledger:show",
    "ledger.verify": "ledger:verify",
    "ledger.statistics": "access_statistics:statistics",
    "vault.check": "vault:check",
    "registration.list": "registrations:list_",
    "connection.list": "going_out:list_",
    "ban.list": "bans:list_",
    "ban.lift": "bans:lift",
    "alert.list": "alerts:list_",
    "sms.send": "texts:send",
    "sms.list": "texts:list_",
    "sms.show": "texts:show",
    "sms.cancel": "texts:cancel",
    "sms.settle": "texts:settle",
    "inbox.add": "inboxes:add",
    "inbox.every": "inboxes:every",
    "inbox.list": "inboxes:list_",
    "inbox.member": "inboxes:member",
    "inbox.close": "inboxes:close",
    "inbox.sender.add": "inboxes:add_sender",
    "inbox.sender.list": "inboxes:senders",
    "inbox.sender.remove": "inboxes:remove_sender",
    "inbox.show": "inboxes:received",
    "inbox.handled": "inboxes:handled",
    "inbox.decide": "inboxes:decide",
    "inbox.away": "inboxes:set_away",
    "inbox.requests": "inboxes:requests",
    "inbox.request.close": "inboxes:close_request",
    "inbox.conversations": "inboxes:list_conversations",
    "inbox.hand-over": "inboxes:hand_over",
    "carrier.list": "carriers:list_",
    "carrier.test": "carriers:test",
    "optout.add": "optouts:add",
    "optout.list": "optouts:list_",
    "optout.check": "optouts:check",
    "alert.show": "alerts:show",
    "alert.ack": "alerts:ack",
    "alert.test": "alerts:test",
    "alert.rules": "alerts:rules",
    "alert.runbook": "alerts:runbook",
    "status": "system:status",
    "system.overview": "overview:overview",
    "system.check": "self_check:check",
    "reload": "system:reload",
}


async def call(name: str, services: Services, actor: Actor, arguments: Mapping[str, object]) -> object:
    """Do it; the answer as plain values. Raises Failure only, and what is our own fault."""
    function = find(name)
    checked = check_arguments(function, name, arguments)
    with told():
        try:
            return plain(await function(services, actor, **checked))
        except TooMuch as refused:
            await note_refused(services, actor, refused)
            raise


@functools.cache
def find(name: str) -> Callable[..., Awaitable[object]]:
    """The function of an operation. Raises Failure."""
    if name not in OPERATIONS:
        raise Failure(
            f"no operation {name[:40]}", "The program and the daemon may differ in version: restart it", "misuse"
        )
    module, _, attribute = OPERATIONS[name].partition(":")
    function: Callable[..., Awaitable[object]] = getattr(importlib.import_module(_ROOM + module), attribute)
    return function


def check_arguments(function: Callable[..., object], name: str, arguments: Mapping[str, object]) -> dict[str, Any]:
    """The arguments, as the function's signature wants them. Raises Failure naming those that are wrong."""
    adapters, required = signature(function)
    wrong = sorted(arguments.keys() - adapters.keys()) + sorted(required - arguments.keys())
    checked = {}
    for key, value in arguments.items():
        if key in adapters:
            try:
                checked[key] = adapters[key].validate_python(value)
            except ValidationError:
                wrong.append(key)
    if wrong:
        raise Failure(f"{name}: wrong or missing: {', '.join(wrong)}", "See beffroi --help", "misuse")
    return checked


@functools.cache
def signature(function: Callable[..., object]) -> tuple[dict[str, TypeAdapter[Any]], frozenset[str]]:
    hints = typing.get_type_hints(function)
    given = [p for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]
    required = frozenset(p.name for p in given if p.default is p.empty)
    return {p.name: TypeAdapter(hints[p.name]) for p in given}, required
