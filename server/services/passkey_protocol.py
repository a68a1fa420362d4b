"""WebAuthn (W3C, level 2) with python-fido2: what a browser is asked, and whether its answer is right. No database.

The relying party is the portal's host name, and the origin has to be the portal's exactly. No attestation is asked for:
which maker's key somebody uses is nobody's business.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from config.settings import Settings
from storage.people import Person
from storage.sign_in_factors import Passkey

if TYPE_CHECKING:
    from fido2.server import Fido2Server

_TIMEOUT_MS = 240_000  # less than a challenge lives
_WRONG = (ValueError, TypeError, KeyError, AttributeError, IndexError, AssertionError, OverflowError)


def creation(settings: Settings, person: Person, known: Sequence[Passkey]) -> tuple[dict[str, Any], dict[str, Any]]:
    """For navigator.credentials.create, and what is to be held. `known`: those that it must not be once more."""
    from fido2.webauthn import PublicKeyCredentialUserEntity, ResidentKeyRequirement, UserVerificationRequirement

    user = PublicKeyCredentialUserEntity(name=person.login, id=person.id.encode(), display_name=person.login)
    options, state = _server(settings).register_begin(
        user,
        [_credential(one) for one in known],
        resident_key_requirement=ResidentKeyRequirement.DISCOURAGED,
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    return _for_browser(options), _held(state)


def created(settings: Settings, state: Mapping[str, Any], answer: Mapping[str, Any]) -> tuple[bytes, int] | None:
    """Credential data and counter of a new passkey; None where the answer is not right."""
    try:
        made = _server(settings).register_complete(dict(state), dict(answer))
        if made.credential_data is None:
            return None
        return bytes(made.credential_data), made.counter
    except _WRONG:
        return None


def request(settings: Settings, known: Sequence[Passkey]) -> tuple[dict[str, Any], dict[str, Any]]:
    """For navigator.credentials.get, and what is to be held."""
    from fido2.webauthn import UserVerificationRequirement

    options, state = _server(settings).authenticate_begin(
        [_credential(one) for one in known], user_verification=UserVerificationRequirement.PREFERRED
    )
    return _for_browser(options), _held(state)


def answered(
    settings: Settings, known: Sequence[Passkey], state: Mapping[str, Any], answer: Mapping[str, Any]
) -> tuple[Passkey, int] | None:
    """Which passkey has answered, and its counter; None where the answer is not right."""
    from fido2.webauthn import AuthenticationResponse

    try:
        said = AuthenticationResponse.from_dict(dict(answer))
        found = _server(settings).authenticate_complete(dict(state), [_credential(one) for one in known], said)
        count = said.response.authenticator_data.counter
    except _WRONG:
        return None
    by_id = {_credential(one).credential_id: one for one in known}
    return by_id[found.credential_id], count


def _server(settings: Settings) -> Fido2Server:
    from fido2.server import Fido2Server
    from fido2.webauthn import PublicKeyCredentialRpEntity

    logging.getLogger("fido2").setLevel(logging.WARNING)  # it writes down which credential was used
    company = PublicKeyCredentialRpEntity(name=settings.company.name, id=settings.web.host)
    server = Fido2Server(company, verify_origin=lambda origin: origin == settings.web.origin)
    server.timeout = _TIMEOUT_MS  # type: ignore[assignment]
    return server


def _credential(passkey: Passkey) -> Any:
    from fido2.webauthn import AttestedCredentialData

    return AttestedCredentialData(passkey.credential)


def _for_browser(options: Any) -> dict[str, Any]:
    return _plain(dict(options))  # type: ignore[no-any-return]


def _held(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if value is None else str(getattr(value, "value", value)) for name, value in state.items()}


def _plain(value: Any) -> Any:
    """JSON: texts, numbers, lists, objects without what is None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return getattr(value, "value", value)
