"""Rights: denied unless granted, no further than granted, and what is beyond is as if it were not there."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config import roles
from server.failure import Failure
from server.operation_rules import CLOSED, RIGHTS, RULES
from server.rights import Identity, NotFresh, Reach, Rule, allow, grants, narrowed
from server.services.operations import OPERATIONS, find
from storage.people import ROLES

NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)
SHIPPED = {name: {right: Reach.parse(reach) for right, reach in held.items()} for name, held in roles.load().items()}


def somebody(grants: dict[str, Reach], fresh: bool = False) -> Identity:
    until = NOW + timedelta(minutes=5) if fresh else None
    return Identity("p1", "alice", "fr", grants, frozenset({"alice"}), frozenset({"alice", "bob"}), "s1", None, until)


def test_each_operation_has_a_rule_or_is_closed() -> None:
    assert RULES.keys() | CLOSED == OPERATIONS.keys()
    assert not RULES.keys() & CLOSED


def test_rules_name_arguments_that_there_are() -> None:
    import inspect

    for name, rule in RULES.items():
        names = inspect.signature(find(name)).parameters
        for argument in (rule.login, rule.account):
            assert argument is None or argument in names, name


def test_roles_are_those_of_people_and_their_rights_exist() -> None:
    assert SHIPPED.keys() == ROLES
    assert {right for held in SHIPPED.values() for right in held} <= RIGHTS


@pytest.mark.promise("0.4")
@pytest.mark.parametrize("role", sorted(ROLES))
@pytest.mark.parametrize("operation", sorted(RULES))
def test_role_by_operation(role: str, operation: str) -> None:
    """The whole matrix: an operation is refused unless the role has its right, whatever is sent."""
    rule, held = RULES[operation], SHIPPED[role]
    arguments: dict[str, object] = {name: "mallory" for name in (rule.login, rule.account) if name}
    reach = held.get(rule.right)
    if reach is None:
        with pytest.raises(Failure) as refused:
            allow(somebody(held, fresh=True), rule, arguments, NOW)
        assert refused.value.code == "denied"
    elif rule.account and reach is not Reach.ALL:
        with pytest.raises(Failure) as refused:
            allow(somebody(held, fresh=True), rule, arguments, NOW)
        assert refused.value.code == "not_found"
    else:
        allowed = allow(somebody(held, fresh=True), rule, arguments, NOW)
        assert rule.login is None or allowed.arguments[rule.login] == "alice"
        assert (allowed.within is None) == (reach is Reach.ALL)


@pytest.mark.promise("0.4")
def test_the_auditor_sees_no_content() -> None:
    content = ("calls.", "texts.", "recordings.read", "contacts.", "campaigns.", "people.", "devices.")
    assert not [right for right in SHIPPED["auditor"] if right.startswith(content)]


def test_own_account_is_filled_in_and_a_colleagues_is_not_found() -> None:
    rule = Rule("x", account="name")
    assert allow(somebody({"x": Reach.OWN}), rule, {}, NOW).arguments == {"name": "alice"}
    with pytest.raises(Failure, match="no such account"):
        allow(somebody({"x": Reach.OWN}), rule, {"name": "bob"}, NOW)
    assert allow(somebody({"x": Reach.TEAM}), rule, {"name": "bob"}, NOW).within == {"alice", "bob"}


def test_a_narrow_grant_of_what_cannot_be_narrowed_grants_nothing() -> None:
    with pytest.raises(Failure) as refused:
        allow(somebody({"x": Reach.TEAM}), Rule("x"), {}, NOW)
    assert refused.value.code == "denied"


def test_step_up() -> None:
    rule = Rule("x", fresh=True)
    with pytest.raises(NotFresh):
        allow(somebody({"x": Reach.ALL}), rule, {}, NOW)
    allow(somebody({"x": Reach.ALL}, fresh=True), rule, {}, NOW)
    with pytest.raises(NotFresh):
        allow(somebody({"x": Reach.ALL}, fresh=True), rule, {}, NOW + timedelta(minutes=5))


REACHES = st.dictionaries(st.sampled_from(sorted(RIGHTS)), st.sampled_from(list(Reach)))


@given(theirs=REACHES, asked=REACHES)
def test_a_token_never_exceeds_its_person(theirs: dict[str, Reach], asked: dict[str, Reach]) -> None:
    for right, reach in narrowed(theirs, asked).items():
        assert reach <= theirs[right]
        assert reach <= asked[right]


@given(held=st.lists(st.sampled_from(sorted(ROLES))))
def test_grants_are_the_widest_of_all_roles(held: list[str]) -> None:
    found = grants(held, SHIPPED)
    for role in held:
        assert all(found[right] >= reach for right, reach in SHIPPED[role].items())
    assert grants(["nobody"], SHIPPED) == {}
