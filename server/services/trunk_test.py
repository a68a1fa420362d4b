"""How it stands with a trunk, in plain words, and what to do about it."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from server.checks.finding import Finding, note, ok, wrong
from sip.edge.trunk_probe import Answer, Probed, Target, probe
from storage.trunks import Trunk


class State(Protocol):
    """What the edge says of a trunk (`sip.edge.state.TrunkState`)."""

    @property
    def registered(self) -> bool | None: ...

    @property
    def reachable(self) -> bool | None: ...

    @property
    def wrong_name(self) -> bool: ...


States = Mapping[str, State]


def words(trunk: Trunk, state: State | None) -> str | None:
    """For a list. None: nobody knows, the daemon or its edge does not run."""
    if not trunk.enabled:
        return "disabled"
    if state is None:
        return None
    if state.wrong_name:
        return "shows a certificate of another name"
    if state.reachable is False:
        return "does not answer"
    if trunk.register and state.registered is not None:
        return "registered" if state.registered else "not registered"
    return "answers" if state.reachable else "not known yet"


def warning(trunk: Trunk) -> str | None:
    """Why it may not do all that its owner expects; None where it will."""
    said = []
    if not trunk.register and not trunk.sources and not _is_address(trunk.host):
        said.append("its calls are not taken: name the addresses that they come from with --source")
    if trunk.transport != "tls":
        said.append("who calls whom is not encrypted on the way")
    if trunk.srtp and trunk.transport != "tls":
        said.append("the keys of the audio are sent in clear")
    elif not trunk.srtp:
        said.append("audio is not encrypted on the way")
    return "; ".join(said) or None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _vouching(authorities: Path | None) -> str:
    return str(authorities) if authorities is not None and authorities.exists() else ""


async def examine(
    trunk: Trunk, state: State | None, *, running: bool, authorities: Path | None = None
) -> tuple[Finding, ...]:
    """Asks the provider. `authorities`: who vouches for it, if not whom this machine trusts.

    Raises nothing for what a provider may do.
    """
    vouching = _vouching(authorities)
    who = (trunk.domain, trunk.user, trunk.realm, trunk.ha1 or "")
    target = Target(trunk.host, trunk.port, trunk.transport, *who, vouching)
    probed = await probe(target)
    found = [_contact(trunk, probed.contact)]
    if probed.credential is not None:
        found.append(_credential(trunk, probed))
    found.append(_edge(trunk, state, running=running))
    if not trunk.enabled:
        found.append(note("trunk", "is disabled: no call uses it", f"Type: beffroi trunk enable {trunk.name}"))
    if said := warning(trunk):
        remedy = f"Ask the provider, then type: beffroi trunk set {trunk.name} --transport tls --srtp"
        found.append(note("trunk", said, remedy))
    return tuple(found)


def _contact(trunk: Trunk, answer: Answer) -> Finding:
    place = f"{trunk.host} port {trunk.port} ({trunk.transport})"
    set_ = f"beffroi trunk set {trunk.name}"
    if answer.verdict == "answered":
        return ok("answer", f"{place} answers: {answer.code} {answer.text}")
    said: dict[str, tuple[str, str]] = {
        "name": (
            f"the name {trunk.host} cannot be resolved",
            f"Look for a mistake in it (type: {set_} --host NAME), then at this machine's DNS",
        ),
        "refused": (
            f"nobody listens at {place}",
            f"Ask the provider for port and transport, then type: {set_} --port N --transport udp|tcp|tls",
        ),
        "silent": (
            f"{place} does not answer",
            "See that port and transport are the provider's, that a firewall lets it out, and that the provider knows "
            "this machine's address",
        ),
        "certificate": (
            f"the certificate of {trunk.host} is not trusted: {answer.detail}",
            "The host has to be named as the certificate names it; an authority of the provider's own has to be added "
            "to those of this machine (update-ca-certificates)",
        ),
        "no_tls": (
            f"{place} speaks no TLS that we can agree on ({answer.detail})",
            f"Ask the provider for the port of TLS, or type: {set_} --transport tcp --port 5060",
        ),
        "unreachable": (f"{place} cannot be reached: {answer.detail}", "See that this machine has a way there"),
    }
    what, remedy = said[answer.verdict]
    return wrong("answer", what, remedy)


def _credential(trunk: Trunk, probed: Probed) -> Finding:
    answer = probed.credential or Answer("silent")
    again = f"beffroi trunk set {trunk.name}"
    code = f"{answer.code} {answer.text}".strip()
    said: dict[str, tuple[Callable[..., Finding], str, str]] = {
        "wrong_password": (wrong, "the password is wrong, or the user", f"Type: {again} --password, or --user"),
        "other_realm": (
            wrong,
            f"the provider's realm is {answer.detail}, not {trunk.realm}: no password fits",
            f"Type: {again} --realm '{answer.detail}'; the password is asked for again",
        ),
        "no_digest": (wrong, f"the provider asks for a proof that is not known here ({code})", "Ask it for MD5 digest"),
        "forbidden": (
            wrong,
            f"the provider refuses this user ({code})",
            "The account may be blocked, or bound to another address: ask the provider. Some answer so to a wrong "
            f"password; type: {again} --password",
        ),
        "unknown_user": (wrong, f"the provider does not know this user or domain ({code})",
                         f"Type: {again} --user or --domain"),
        "no_register": (
            wrong if trunk.register else note,
            f"the provider takes no registrations ({code}): the password could not be tried",
            f"Type: {again} --no-register" if trunk.register else "Place a call to see whether it is right",
        ),
        "silent": (wrong, "the provider answers OPTIONS, but nothing to REGISTER", "Ask the provider"),
        "failed": (wrong, f"the provider could not say whether the password is right: {code}", "Try again later"),
    }  # fmt: skip
    if answer.verdict == "accepted":
        return ok("password", "the provider takes user and password")
    kind, what, remedy = said[answer.verdict]
    return kind("password", what, remedy)


def _edge(trunk: Trunk, state: State | None, *, running: bool) -> Finding:
    if not trunk.enabled:
        return ok("edge", "is not asked: the trunk is disabled")
    if state is None:
        what = "does not say how it stands with this trunk" if running else "is not asked: the daemon does not run"
        return note("edge", what, "Type: beffroi status" if running else "Type: beffroi serve")
    if state.wrong_name:
        return wrong(
            "edge",
            f"was shown a certificate of another name than {trunk.host}: the provider is told nothing",
            f"If the provider's certificate names another host, type: beffroi trunk set {trunk.name} --host NAME; "
            "if not, somebody may have put himself in its place",
        )
    if trunk.register and state.registered is False:
        return wrong("edge", "is not registered there", "See what is wrong above; it tries again by itself")
    if state.reachable is False:
        return wrong("edge", "has had no answer lately", "See what is wrong above; it tries again by itself")
    return ok("edge", "registered" if trunk.register and state.registered else "is in touch with it")
