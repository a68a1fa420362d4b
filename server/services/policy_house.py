"""Between a policy, which speaks in ids, and people, who speak in names; and what is in force, for other services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from config import packs as pack_data
from retention.policy import PolicyError, Rule
from retention.policy_check import House
from retention.policy_versions import Version, in_force
from server.failure import Failure
from server.policy_desk import Known, read
from server.services.context import Services
from storage import accounts, lines
from storage.tx import Tx


@dataclass(frozen=True, slots=True)
class Names:
    """Both ways, for lines and accounts."""

    house: House

    def rule(self, rule: Rule) -> Rule:
        """With names in place of ids; an id that nobody has any more stays."""
        scope, known = rule.scope, self.house
        return replace(
            rule,
            scope=replace(
                scope,
                line=known.lines.get(scope.line or "", scope.line),
                account=known.accounts.get(scope.account or "", scope.account),
                group=known.lines.get(scope.group or "", scope.group),
            ),
        )

    def resolved(self, rule: Rule) -> Rule:
        """With ids in place of names. Raises PolicyError naming the rule and the name."""
        scope = rule.scope
        return replace(
            rule,
            scope=replace(
                scope,
                line=self._id(rule, "line", scope.line, self.house.lines),
                account=self._id(rule, "account", scope.account, self.house.accounts),
                group=self._id(rule, "group", scope.group, self.house.lines),
            ),
        )

    def _id(self, rule: Rule, key: str, name: str | None, known: Mapping[str, str]) -> str | None:
        if name is None:
            return None
        found = next((one for one, called in known.items() if name in (called, one)), None)
        if found is None:
            list_ = "account" if key == "account" else "line"
            raise PolicyError(rule.name, f"no {list_} {name}", f"Type: beffroi {list_} list")
        return found


async def names(tx: Tx) -> Names:
    """Of lines and accounts that there are; disabled ones too."""
    every, persons = await lines.list_all(tx), await accounts.list_all(tx)
    return Names(
        House(
            lines={line.id: line.name for line in every},
            accounts={account.id: account.name for account in persons},
            members={line.id: frozenset(line.members) for line in every},
            canvassing=frozenset(line.id for line in every if line.canvassing and line.disabled_at is None),
        )
    )


async def known(services: Services, tx: Tx) -> Known:
    """All versions, their approvals checked."""
    return await read(tx, services.keys.ledger.public_key())


async def holding(services: Services, tx: Tx) -> Version | None:
    """The version in force now."""
    found = await known(services, tx)
    return in_force(found.versions, pack_data.load(), found.entries, services.clock())


async def refuse_loosening(services: Services, tx: Tx, what: str) -> None:
    """A line does not say any more what the policy says for all. Raises Failure while a version is in force."""
    holds = await holding(services, tx)
    if holds is not None:
        number = holds.policy.number
        raise Failure(
            f"version {number} of the policy is in force and says what is recorded and kept: {what} does not change it",
            f"Make a new version: beffroi policy draft --copy {number}",
            "conflict",
        )
