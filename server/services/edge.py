"""What a change in the directory means for the running edge. Without a daemon nothing: it pushes all when it starts."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence

from server.failure import Failure
from server.services.context import Services
from server.services.trunk_test import States
from sip.edge.control import EdgeControl
from sip.edge.rpc import RpcError
from storage.devices import Credential

logger = logging.getLogger(__name__)


async def push(services: Services, credential: Credential) -> None:
    """A new device may sign on. An edge that is away gets everything when it is back."""
    if services.edge is None or credential.only_emergency:
        return
    try:
        await services.edge.push_device(
            credential.auth_user, credential.account, credential.ha1, account_id=credential.account_id
        )
    except RpcError as error:
        logger.warning("a new device was not told to the edge: %s", error.code)


async def drop_devices(services: Services, auth_users: Sequence[str]) -> None:
    """Sign these off at once and end their calls. Raises Failure where the edge could not be asked."""
    if services.edge is not None:
        await _sign_off(services, auth_users, services.edge.drop_device)


async def refuse_devices(services: Services, auth_users: Sequence[str]) -> None:
    """As `drop_devices`; the edge goes on knowing them, for emergency calls alone."""
    if services.edge is not None:
        await _sign_off(services, auth_users, services.edge.refuse_device)


async def _sign_off(services: Services, auth_users: Sequence[str], how: Callable[[str], Awaitable[None]]) -> None:
    try:
        for auth_user in auth_users:
            await how(auth_user)
    except RpcError:
        raise Failure(
            "written into the directory, but the edge did not answer: a registered phone may work until it does",
            "Type: beffroi status; the edge is told everything anew when it is back",
            "unavailable",
        ) from None
    finally:
        if services.live is not None:
            for auth_user in auth_users:
                await services.live.end_device(auth_user)


async def trunk_states(services: Services) -> States | None:
    """By trunk id. None where the edge does not run or does not answer."""
    if services.edge is None:
        return None
    try:
        return await services.edge.trunk_states()
    except RpcError:
        return None


def required(services: Services) -> EdgeControl:
    """The running edge. Raises Failure."""
    if services.edge is None:
        raise Failure("the daemon is not running: only it can ask the edge", "Type: beffroi serve", "not_running")
    return services.edge
