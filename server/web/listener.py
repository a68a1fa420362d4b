"""Where the portal is served: TLS with the machine's certificate or the company's own."""

from __future__ import annotations

import asyncio
import logging
import ssl
from pathlib import Path

from aiohttp import web

from config.addresses import Endpoint
from config.paths import Paths
from config.settings import Settings
from server.failure import Failure
from server.services.context import Services
from server.web.application import Portal

log = logging.getLogger(__name__)

LOOK_S = 60.0  # between two looks whether the certificate was renewed
KEEP_ALIVE_S = 75.0
CLOSE_S = 2.0  # for answers that are under way when the daemon stops


def files(settings: Settings, paths: Paths) -> tuple[Path, Path]:
    """Certificate and key."""
    own = settings.web
    if own.certificate:
        return Path(own.certificate), Path(own.key)
    return paths.tls_certificate, paths.tls_key


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 at least. Raises Failure."""
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_alpn_protocols(["http/1.1"])
    _load(made, certificate, key)
    return made


async def run(services: Services) -> None:
    """Until cancelled. Raises Failure, OSError where the port is taken."""
    place = Endpoint.parse(services.settings.web.listen)
    certificate, key = files(services.settings, services.paths)
    tls = context(certificate, key)
    app = Portal(services).application()
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=KEEP_ALIVE_S, shutdown_timeout=CLOSE_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, str(place.host), place.port, ssl_context=tls).start()
        log.info("the portal is served at %s", services.settings.web.origin)
        async with asyncio.TaskGroup() as group:
            group.create_task(_watch(tls, certificate, key), name="certificate")
            group.create_task(services.work.run(services.clock), name="work")
    finally:
        await runner.cleanup()


async def _watch(tls: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """A renewed certificate is used without a restart."""
    seen = _written(certificate)
    while True:
        await asyncio.sleep(LOOK_S)
        if (now := _written(certificate)) == seen:
            continue
        seen = now
        try:
            _load(tls, certificate, key)
        except Failure as failure:
            log.error("the portal keeps its old certificate: %s", failure)
        else:
            log.info("the portal uses its new certificate")


def _load(tls: ssl.SSLContext, certificate: Path, key: Path) -> None:
    try:
        tls.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        remedy = "Type: beffroi quickstart for a new one, or correct web.certificate and web.key"
        raise Failure(f"the certificate {certificate} cannot be used ({error.strerror or 'damaged'})", remedy) from None


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0
