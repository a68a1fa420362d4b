"""Versions of the company's policy: drafted, checked, approved by the data protection officer, superseded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from config import packs as pack_data
from retention import policy as model
from retention.consent import ConsentMode
from retention.policy import Policy, PolicyError, Rule, Scope
from retention.policy_check import Problem, check
from retention.policy_versions import Version, in_force_since, missing, state
from server.failure import Failure
from server.policy_desk import Known
from server.services.actor import Actor, ledger_id
from server.services.audit import note
from server.services.context import Services
from server.services.directory import person_by_login
from server.services.policy_house import Names, known, names
from storage import lines, people, policies
from storage.errors import Duplicate, NotFound
from storage.lines import NO_RECORDING, Line
from storage.policies import StoredApproval
from storage.tx import Tx

DPO = "dpo"
AT_APPROVAL = "approval"
_METADATA_PACKS = {"standard": "CDR_STANDARD", "minimal": "CDR_MINIMAL", "none": "CDR_NONE_PROTECTED"}


@dataclass(frozen=True, slots=True)
class ProblemView:
    """Fields: see `server.commands.policies.PROBLEM_FIELDS`."""

    rule: str
    key: str
    value: str
    limit: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class PolicyView:
    """Fields: see `server.commands.policies.FIELDS`."""

    number: int
    state: str
    valid_from: str | None
    in_force_since: datetime | None
    rules: tuple[Mapping[str, Any], ...]
    author: str
    created_at: datetime
    approved_by: tuple[str, ...]
    approvals_needed: int
    sha256: str
    problems: tuple[ProblemView, ...]
    may_approve: bool = False


@dataclass(frozen=True, slots=True)
class Exported:
    """A version as one file."""

    number: int
    document: str


async def list_(services: Services, actor: Actor) -> list[PolicyView]:
    """Newest first."""
    async with services.db.transaction() as tx:
        found = await known(services, tx)
        views = [await _view(services, tx, found, one, checked=False) for one in reversed(found.versions)]
        await note(services, tx, actor, "list", "policy", count=len(views))
    return views


async def show(services: Services, actor: Actor, *, number: int | None = None) -> PolicyView:
    """One version, None: the newest; a draft with everything that stands against it. Raises Failure."""
    async with services.db.transaction() as tx:
        found = await known(services, tx)
        wanted = version(found, number if number is not None else _newest(found))
        await note(services, tx, actor, "show", "policy", policy_version=wanted.policy.number)
        view = await _view(services, tx, found, wanted, checked=True)
        return replace(view, may_approve=await _is_approver(services, tx, wanted, actor))


async def draft(
    services: Services,
    actor: Actor,
    *,
    from_lines: bool = False,
    copy: int | None = None,
    login: str | None = None,
) -> PolicyView:
    """A new draft: empty, of what the lines say today, or of another version. `login`: who writes it. Raises
    Failure."""
    async with services.db.transaction() as tx:
        found = await known(services, tx)
        rules: tuple[Rule, ...] = ()
        if copy is not None:
            rules = version(found, copy).policy.rules
        elif from_lines:
            rules = tuple(rule for line in await lines.list_all(tx) for rule in rules_of(line))
        return await _add(services, tx, actor, rules, login)


async def set_(
    services: Services,
    actor: Actor,
    *,
    number: int,
    rule: str | None = None,
    remove: bool = False,
    valid_from: str | None = None,
    rate: str | None = None,
    pack: str | None = None,
    line: str | None = None,
    account: str | None = None,
    group: str | None = None,
    direction: str | None = None,
    country: str | None = None,
    retention: str | None = None,
    consent: str | None = None,
    silence: str | None = None,
    ask_staff: bool | None = None,
    window: str | None = None,
    statute: str | None = None,
) -> PolicyView:
    """Change a draft: its date (a day, a moment, "approval"), or a rule, which is added where there is none of that
    name. An empty text takes a value back. Raises Failure."""
    given: dict[str, Any] = {
        "pack": pack, "line": line, "account": account, "group": group, "direction": direction, "country": country,
        "retention": retention, "consent": consent, "silence": silence, "ask_staff": ask_staff, "window": window,
        "statute": statute,
    }  # fmt: skip
    changes = {key: value for key, value in given.items() if value is not None}
    async with services.db.transaction() as tx:
        found = await known(services, tx)
        policy, house = version(found, number).policy, await names(tx)
        try:
            if rate is not None:
                changes["per_mille"] = model.rate(rate) if rate else ""
            if rule is None and (changes or remove):
                raise PolicyError("rule", "which one?", "Name it with --rule")
            if rule is not None:
                policy = replace(policy, rules=_changed(policy, house, rule, changes, remove=remove))
            if valid_from is not None:
                policy = _dated(policy, valid_from)
        except PolicyError as error:
            raise refused(error) from None
        await policies.set_body(tx, number, model.body(policy))
        await note(services, tx, actor, "change", "policy", policy_version=number)
        after = await known(services, tx)
        return await _view(services, tx, after, version(after, number), checked=True)


async def approve(services: Services, actor: Actor, *, number: int, login: str) -> PolicyView:
    """By a person with the role dpo; the hash of exactly this body goes into the access log in the same transaction.
    Raises Failure naming everything that stands against it."""
    needed = services.settings.policy.approvals
    async with services.db.transaction() as tx:
        found = await known(services, tx)
        wanted = version(found, number)
        person = await person_by_login(tx, login)
        _may_approve(wanted, person, needed)
        problems = await _problems(services, tx, found, wanted.policy)
        if problems:
            said = "\n".join(f"- {_sentence(one)}" for one in problems)
            raise Failure(f"version {number} cannot be approved:\n{said}", "Then approve it again", "invalid")
        stored, now = await policies.get(tx, number), services.clock().astimezone(UTC)
        seq = await note(services, tx, actor, "approve", "policy", policy_id=stored.id, policy_version=number,
                         policy_sha256=wanted.sha256, person_id=person.id)  # fmt: skip
        statement = policies.statement(stored.id, number, person.id, now, wanted.sha256, needed)
        signature = services.keys.ledger.sign(statement)
        try:
            await policies.approve(tx, number, StoredApproval(person.id, now, wanted.sha256, needed, signature, seq))
        except Duplicate:
            raise Failure(f"{login} has approved it already", "Another person has to", "conflict") from None
        after = await known(services, tx)
        view = await _view(services, tx, after, version(after, number), checked=False)
    await tell(services)
    return view


async def discard(services: Services, actor: Actor, *, number: int) -> PolicyView:
    """A draft that comes to nothing. Raises Failure."""
    async with services.db.transaction() as tx:
        version(await known(services, tx), number)
        await policies.discard(tx, number, services.clock())
        await note(services, tx, actor, "remove", "policy", policy_version=number)
        after = await known(services, tx)
        return await _view(services, tx, after, version(after, number), checked=False)


async def export(services: Services, actor: Actor, *, number: int | None = None) -> Exported:
    """One version as one file, with names in place of ids. Raises Failure."""
    async with services.db.transaction() as tx:
        found = await known(services, tx)
        wanted = version(found, number if number is not None else _newest(found))
        house = await names(tx)
        await note(services, tx, actor, "export", "policy", policy_version=wanted.policy.number)
    said = json.loads(model.body(wanted.policy))
    said["rules"] = [model.plain_rule(house.rule(rule)) for rule in wanted.policy.rules]
    return Exported(wanted.policy.number, json.dumps(said, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


async def import_(services: Services, actor: Actor, *, document: str, login: str | None = None) -> PolicyView:
    """A file as `export` writes it becomes a new draft, whatever it was where it came from: without a date. Raises
    Failure."""
    async with services.db.transaction() as tx:
        house = await names(tx)
        try:
            rules = tuple(house.resolved(rule) for rule in model.decode(document.encode()).rules)
        except PolicyError as error:
            raise refused(error) from None
        return await _add(services, tx, actor, rules, login)


# --- parts ------------------------------------------------------------------------------------------------------------


def rules_of(line: Line) -> list[Rule]:
    """What a line says today, as rules."""
    if line.disabled_at is not None:
        return []
    scope, found = Scope(line=line.id), list[Rule]()
    if line.pack != NO_RECORDING:
        consent = ConsentMode.parse(line.consent_mode) if line.consent_mode else None
        found.append(
            Rule(line.name, line.pack, scope, consent=consent, ask_staff=line.ask_staff, statute=line.statute or "")
        )
    if line.metadata_class != "minimal":
        found.append(Rule(f"{line.name[:56]}.records", _METADATA_PACKS[line.metadata_class], scope))
    return found


async def _add(services: Services, tx: Tx, actor: Actor, rules: tuple[Rule, ...], login: str | None) -> PolicyView:
    author = ledger_id(actor.who, services.keys.ledger)
    if login is not None:
        author = (await person_by_login(tx, login)).id
    number, now = await policies.next_number(tx), services.clock()
    await policies.add(tx, number, model.body(Policy(number, author, now, rules)), now)
    await note(services, tx, actor, "add", "policy", policy_version=number)
    after = await known(services, tx)
    return await _view(services, tx, after, version(after, number), checked=True)


def _changed(policy: Policy, house: Names, name: str, changes: Mapping[str, Any], *, remove: bool) -> tuple[Rule, ...]:
    """Raises PolicyError."""
    before = policy.rule(name)
    others = tuple(one for one in policy.rules if one.name != name)
    if remove:
        if before is None:
            raise PolicyError(name, "there is no such rule", f"Type: beffroi policy show {policy.number}")
        return others
    said = model.plain_rule(house.rule(before)) if before is not None else {"name": name}
    said = {key: value for key, value in (said | dict(changes)).items() if value != "" and value is not False}
    return (*others, house.resolved(model.read_rule(said)))


def _dated(policy: Policy, text: str) -> Policy:
    if text == AT_APPROVAL:
        return replace(policy, valid_from=None, at_approval=True)
    return replace(policy, valid_from=model.moment("valid_from", text), at_approval=False)


async def _is_approver(services: Services, tx: Tx, wanted: Version, actor: Actor) -> bool:
    """Whether whoever asks may approve it, once nothing stands against it."""
    try:
        person = await people.get(tx, actor.who)
        _may_approve(wanted, person, services.settings.policy.approvals)
    except (NotFound, Failure):
        return False
    return True


def _may_approve(wanted: Version, person: people.Person, needed: int) -> None:
    """Raises Failure."""
    number = wanted.policy.number
    if person.disabled_at is not None or DPO not in person.roles:
        raise Failure(f"{person.login} is no data protection officer",
                      f"Somebody with the role {DPO} approves: beffroi person role", "denied")  # fmt: skip
    if wanted.altered:
        raise Failure(f"version {number} was altered after it had been approved",
                      f"Make a new one: beffroi policy draft --copy {number}", "conflict")  # fmt: skip
    if wanted.approved_at is not None:
        raise Failure(f"version {number} is approved already", "Type: beffroi policy list", "conflict")
    if needed > 1 and wanted.policy.author == person.id:
        raise Failure(f"{person.login} wrote version {number}", "Two others have to approve it", "denied")
    if person.id in [approval.person_id for approval in wanted.approvals]:
        raise Failure(f"{person.login} has approved it already", "Another person has to", "conflict")


async def _problems(services: Services, tx: Tx, found: Known, policy: Policy) -> list[ProblemView]:
    """Contradictions first, then what has not been entered yet, with the command to type."""
    packs, now, house = pack_data.load(), services.clock(), await names(tx)
    newest = max((one.policy.number for one in found.versions if one.approved_at is not None), default=0)
    wrong = [_problem(one) for one in check(policy, packs, house.house, now, newest)]
    lacking: dict[tuple[str, str], list[str]] = {}
    for one in missing(policy, packs, found.entries, now):
        lacking.setdefault((one.kind, one.pack), []).append(one.rule)
    return wrong + [_lack(kind, pack, rules) for (kind, pack), rules in lacking.items()]


def _problem(one: Problem) -> ProblemView:
    return ProblemView(one.rule, one.key, one.value, one.limit, one.message, one.remedy)


def _lack(kind: str, pack: str, rules: list[str]) -> ProblemView:
    command = f"beffroi policy enter {kind} --pack {pack} --evidence TEXT --by WHO --on DAY"
    message = "nobody has entered that this was done"
    return ProblemView(", ".join(rules), "precondition", kind, pack, message, f"Once it is done, type: {command}")


def _sentence(one: ProblemView) -> str:
    where = f"rule {one.rule}: " if one.rule else ""
    against = f" (limit: {one.limit})" if one.limit else ""
    value = f" {one.value}" if one.value else ""
    return f"{where}{one.key}{value}{against}: {one.message}. {one.remedy}"


def version(found: Known, number: int | None) -> Version:
    """Raises Failure."""
    wanted = next((one for one in found.versions if one.policy.number == number), None)
    if wanted is None:
        what = f"no version {number} of the policy" if number is not None else "there is no policy yet"
        raise Failure(what, "Type: beffroi policy list, or make one: beffroi policy draft --from-lines", "not_found")
    return wanted


def _newest(found: Known) -> int | None:
    return found.versions[-1].policy.number if found.versions else None


def refused(error: PolicyError) -> Failure:
    return Failure(f"{error.where}: {error.what}", error.remedy, "invalid")


async def tell(services: Services) -> None:
    """Calls that begin from now on are decided anew."""
    if services.live is not None:
        await services.live.lines_changed()


async def _view(services: Services, tx: Tx, found: Known, one: Version, *, checked: bool) -> PolicyView:
    policy, packs, now, house = one.policy, pack_data.load(), services.clock(), await names(tx)
    at = state(one, found.versions, packs, found.entries, now)
    open_ = one.approved_at is None and one.discarded_at is None and not one.altered
    problems = await _problems(services, tx, found, policy) if checked and open_ else []
    logins = [await _login(tx, approval.person_id) for approval in one.approvals]
    valid_from = AT_APPROVAL if policy.at_approval else policy.valid_from.isoformat() if policy.valid_from else None
    return PolicyView(
        number=policy.number,
        state=at.value,
        valid_from=valid_from,
        in_force_since=in_force_since(one, packs, found.entries, now),
        rules=tuple(model.plain_rule(house.rule(rule)) for rule in policy.rules),
        author=await _login(tx, policy.author),
        created_at=policy.created_at,
        approved_by=tuple(logins),
        approvals_needed=one.approvals[-1].needed if one.approvals else services.settings.policy.approvals,
        sha256=one.sha256,
        problems=tuple(problems),
    )


async def _login(tx: Tx, person_id: str) -> str:
    try:
        return (await people.get(tx, person_id)).login
    except NotFound:
        return person_id
