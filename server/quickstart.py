"""`beffroi quickstart`: a working instance in one step. A second run finds all done, and renews what has run out.

Everything is made in this order: directories, keys, certificate, database with demonstration accounts, lines, reader
and escrow, prompts, and last the configuration, which says that the instance is set up. A failure takes back what was
made.
Secrets are shown before the database commits them: a set-up that could not show them has not happened.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config import settings as configuration
from config.crosschecks import PORTS_PER_CALL
from config.paths import Paths
from config.settings import Settings
from recording import keys as key_tools
from recording.prompts import PlaceholderError, PromptError, PromptStore
from recording.reader_bundle import ReaderSecret, seal_reader
from server import tls
from server.company import company_facts
from server.failure import Failure
from server.private_files import Made
from server.services.actor import QUICKSTART, Actor
from server.services.audit import note
from server.services.context import Services, database_url, load_keys, utc_now
from server.services.credentials import ha1, new_auth_user, new_secret
from server.services.failures import told
from server.services.lock import DataLock
from server.services.origin import workstation_here
from server.welcome import DEMO_PACK
from sip.calls.planning import prompts_for
from storage import accounts, devices, lines, people, readers
from storage.database import Database
from storage.errors import NotFound
from storage.field_crypto import FieldKeys
from storage.readers import EscrowKey, ReaderKey
from storage.tx import Tx

logger = logging.getLogger(__name__)

DEMO_ACCOUNTS = (("alice", "101", "Alice"), ("bob", "102", "Bob"))
READER_LOGIN = "reader"
TOTP_BYTES = 20  # RFC 4226 section 4, R6
CA_KEY = "ca.key"
_PORTS_WANTED = 21 * PORTS_PER_CALL  # 20 calls, and one that is kept for emergencies
_RTP_OFFSET = 10


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the person at the command line may choose at the first start."""

    address: str | None = None  # None: the machine's main address
    port_base: int | None = None  # all ports from there; None: the usual ones
    rtp: tuple[int, int] | None = None  # first and last port of audio
    domain: str | None = None  # None: the address
    company: str | None = None


@dataclass(frozen=True, slots=True)
class DeviceSecret:
    """What is typed into one phone."""

    account: str
    extension: str
    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FirstSecrets:
    """Shown once. Nobody, this program included, can show them again."""

    devices: tuple[DeviceSecret, ...]
    reader_login: str
    reader_passphrase: str = field(repr=False)
    reader_totp: str = field(repr=False)  # base32
    escrow: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """`done`: what this run made or renewed; empty where all was there."""

    settings: Settings
    done: tuple[str, ...]


async def quickstart(
    data: Path, wishes: Wishes, show: Callable[[Settings, FirstSecrets], None], now: datetime | None = None
) -> Outcome:
    """`show` is called where an empty database is filled, before anything of it is final. Raises Failure."""
    paths, moment, made = Paths(data), now or utc_now(), Made()
    try:
        _directories(paths, made)
        with DataLock(paths.lock, wait_s=2.0), told():
            text, settings = _configuration(paths, wishes)
            done = [*_keys(paths, settings, made), *_certificate(paths, settings, made, moment)]
            done += await _database(paths, settings, made, moment, show)
            if made.file(paths.config, text.encode()):
                done.append("configuration")
    except OSError as error:
        made.take_back()
        where = error.filename or data
        raise Failure(
            f"{where}: {error.strerror}", "See that this user may write there, and that the disk has room"
        ) from error
    except BaseException:
        made.take_back()
        raise
    return Outcome(settings, tuple(done))


def main_address() -> str:
    """The address this machine would reach others from. No packet is sent: connecting UDP only asks the routes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # RFC 5737: documentation only
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"


def sample(wishes: Wishes) -> str:
    """The configuration of a new instance. Raises ConfigError, Failure."""
    address = wishes.address or main_address()
    base = wishes.port_base
    tls_port, plain_port, worker, control, http, web = (
        (5061, 5060, 5070, 5071, 9464, 8443) if base is None else tuple(range(base, base + 6))
    )
    if base is not None and not 1024 <= base <= 65535 - _RTP_OFFSET:
        raise Failure(f"--port-base {base} leaves no ports", "Give one from 1024 to 65000", "invalid")
    first, last = wishes.rtp or _audio_ports(base)
    host = f"[{address}]" if ":" in address else address
    fit = (last - first + 1) // PORTS_PER_CALL
    calls = {"max_concurrent": max(1, min(20, fit - 1))}
    if fit < 2:
        calls["emergency_reserve"] = 0
    calls["max_per_account"] = min(4, calls["max_concurrent"])
    company = {"name": wishes.company} if wishes.company else {}
    return configuration.sample(
        company=company,
        sip={
            "domain": wishes.domain or host,
            "tls_listen": [f"{host}:{tls_port}"],
            "tcp_listen": [f"127.0.0.1:{plain_port}"],
            "udp_listen": [f"127.0.0.1:{plain_port}"],
            "worker_port": worker,
            "control_port": control,
        },
        media={"address": address, "rtp_port_first": first, "rtp_port_last": last},
        calls=calls,
        http={"listen": f"127.0.0.1:{http}"},
        web={"listen": f"127.0.0.1:{web}"},
    )


def _audio_ports(base: int | None) -> tuple[int, int]:
    if base is None:
        return 20000, 20999
    first = base + _RTP_OFFSET + base % 2
    return first, min(first + _PORTS_WANTED - 1, 65535)


def _directories(paths: Paths, made: Made) -> None:
    for place in (paths.data, paths.keys, paths.tls, paths.vault, paths.prompts, paths.custom_prompts, paths.run):
        made.directory(place)
    made.note(paths.lock)


def _configuration(paths: Paths, wishes: Wishes) -> tuple[str, Settings]:
    """What stands there already, or a new one (which is written last)."""
    if paths.config.exists():
        return "", configuration.load(paths.config)
    text = sample(wishes)
    return text, configuration.parse(text, source="quickstart")


def _keys(paths: Paths, settings: Settings, made: Made) -> list[str]:
    if settings.secrets.source != "files":
        return []  # they are handed over, or in a token: not ours to make
    if paths.database.exists() and not paths.field_key.exists():
        raise Failure(f"{paths.field_key} is missing, and the database was sealed with it",
                      "Put it back from a backup, or use another directory with --data", "damaged")  # fmt: skip
    fresh = {
        paths.field_key: FieldKeys.generate().to_json,
        paths.ledger_key: Ed25519PrivateKey.generate().private_bytes_raw,
        paths.proof_key: Ed25519PrivateKey.generate().private_bytes_raw,
    }
    return [path.name for path, content in fresh.items() if made.file(path, content())]


def _certificate(paths: Paths, settings: Settings, made: Made, now: datetime) -> list[str]:
    """A new one where there is none, where it runs out, or where it lacks a name that phones use."""
    ca_key = paths.keys / CA_KEY
    names = tls.names_for(settings.sip.domain, [*_tls_addresses(settings), settings.web.host])
    if paths.tls_certificate.exists() and paths.tls_key.exists():
        try:
            pem = paths.tls_certificate.read_bytes()
            lasts = tls.expires_at(pem) - now > tls.RENEW_BEFORE
            if lasts and set(names) <= set(tls.names_of(pem)) or not ca_key.exists():
                return []  # good, or not of our making: then it is the owner's to renew
        except ValueError:
            raise Failure(
                f"{paths.tls_certificate} is damaged", "Remove it and type: beffroi quickstart", "damaged"
            ) from None
    done = []
    if not (paths.tls_ca.exists() and ca_key.exists()):
        authority = tls.new_authority(settings.company.name, now)
        for path, content in ((ca_key, authority.key), (paths.tls_ca, authority.certificate)):
            made.replace(path, content)
        done.append("certificate authority")
    pair = tls.new_server(tls.Pair(paths.tls_ca.read_bytes(), ca_key.read_bytes()), names, now)
    for path, content in ((paths.tls_key, pair.key), (paths.tls_certificate, pair.certificate)):
        made.replace(path, content)
    return [*done, "certificate"]


def _tls_addresses(settings: Settings) -> list[str]:
    hosts = [listen.rpartition(":")[0].strip("[]") for listen in settings.sip.tls_listen]
    return [settings.media.address, *(host for host in hosts if host not in ("0.0.0.0", "::"))]  # noqa: S104


async def _database(
    paths: Paths, settings: Settings, made: Made, now: datetime, show: Callable[[Settings, FirstSecrets], None]
) -> list[str]:
    """Migrated; filled where nobody is in it yet."""
    if not settings.storage.url:
        for suffix in ("", "-wal", "-shm"):
            made.note(paths.database.with_name(paths.database.name + suffix))
    keys = load_keys(paths, settings)
    database = await Database.open(database_url(paths, settings), keys.fields, keys.ledger)
    try:
        services = Services(database, paths, settings, keys, clock=lambda: now)
        async with database.transaction() as tx:
            if await _in_use(tx):
                return []
            show(settings, await _fill(services, tx))
            every = await lines.list_all(tx)
        return ["database", "accounts", "lines", "reader", "escrow", *await _prompts(paths, settings, made, every, now)]
    finally:
        await database.close()


async def _prompts(
    paths: Paths, settings: Settings, made: Made, every: Sequence[lines.Line], now: datetime
) -> list[str]:
    """Spoken now, so that the first caller does not wait. One that cannot be made is tried again by the daemon."""
    company = company_facts(settings)
    store = PromptStore(paths.prompts)
    wanted = {(one[0], one[1], tuple(sorted(one[2].items()))) for one in prompts_for(every, company, now)}

    async def speak(prompt_id: str, language: str, values: tuple[tuple[str, str], ...]) -> None:
        try:
            made.note((await store.get(prompt_id, language, dict(values))).path)
        except PlaceholderError:
            pass
        except PromptError as error:
            logger.warning("prompt %s (%s): %s", prompt_id, language, error)

    async with asyncio.TaskGroup() as group:
        for one in sorted(wanted):
            group.create_task(speak(*one))
    return ["prompts"]


async def _in_use(tx: Tx) -> bool:
    try:
        await readers.get_escrow(tx)
    except NotFound:
        return bool(await accounts.list_all(tx) or await people.list_all(tx))
    return True


async def _fill(services: Services, tx: Tx) -> FirstSecrets:
    now = services.clock()
    actor = Actor(QUICKSTART, workstation_here())
    made, members = [], []
    for name, extension, shown in DEMO_ACCOUNTS:
        account = await accounts.add(tx, name, extension, shown, now, country=services.settings.company.country,
                                     language=services.settings.company.languages[0])  # fmt: skip
        user, password = new_auth_user(name), new_secret()
        digest = ha1(user, services.settings.sip.domain, password)
        device = await devices.add(tx, account.id, "first phone", user, digest, now)
        await note(services, tx, actor, "add", "account", account_id=account.id)
        await note(services, tx, actor, "add", "device", account_id=account.id, device_id=device.id)
        made.append(DeviceSecret(name, extension, user, password))
        members.append(account.id)
    await _lines(services, tx, actor, members)
    passphrase, totp = await _reader(services, tx, actor)
    return FirstSecrets(tuple(made), READER_LOGIN, passphrase, totp, await _escrow(services, tx, actor))


async def _lines(services: Services, tx: Tx, actor: Actor, members: list[str]) -> None:
    now = services.clock()
    for line in (
        await lines.add(tx, "echo", "*43", now, kind="echo", pack=DEMO_PACK, consent_mode="opt_in"),
        await lines.add(tx, "recorded", "200", now, members=members, pack=DEMO_PACK, consent_mode="opt_in"),
        await lines.add(tx, "private", "201", now, members=members, metadata_class="none"),
    ):
        await note(services, tx, actor, "add", "line", line_id=line.id, pack=line.pack)


async def _reader(services: Services, tx: Tx, actor: Actor) -> tuple[str, str]:
    now, passphrase = services.clock(), new_secret()
    totp = base64.b32encode(secrets.token_bytes(TOTP_BYTES)).decode("ascii")
    person = await people.add(tx, READER_LOGIN, "First reader", now, roles=("reader",))
    public, secret = key_tools.generate_reader()
    bundle = seal_reader(ReaderSecret(person.id, secret, totp), passphrase)
    await readers.set_key(tx, ReaderKey(person.id, key_tools.algorithm(public), public, bundle, now))
    await readers.set_totp(tx, person.id, b"")  # the secret is in the bundle; here only which codes were used
    await readers.grant(tx, person.id, DEMO_PACK, QUICKSTART, now)
    await note(services, tx, actor, "add", "person", person_id=person.id)
    await note(services, tx, actor, "add", "reader", person_id=person.id)
    await note(services, tx, actor, "grant", "right", person_id=person.id, purpose=DEMO_PACK)
    return passphrase, totp


async def _escrow(services: Services, tx: Tx, actor: Actor) -> str:
    seed = key_tools.new_escrow_seed()
    public, _ = key_tools.escrow_pair(seed)
    await readers.set_escrow(tx, EscrowKey(key_tools.algorithm(public), public, services.clock()))
    await note(services, tx, actor, "add", "escrow")
    return key_tools.escrow_text(seed)


def write_secrets(descriptor: int, settings: Settings, first: FirstSecrets) -> None:
    """As one JSON object, for programs that set up an instance. Raises OSError."""
    import json

    said = {
        "domain": settings.sip.domain,
        "devices": [
            {"account": d.account, "extension": d.extension, "user": d.user, "password": d.password}
            for d in first.devices
        ],
        "reader": {
            "login": first.reader_login,
            "passphrase": first.reader_passphrase,
            "totp_secret": first.reader_totp,
        },
        "escrow": first.escrow,
    }
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        json.dump(said, stream)
        stream.write("\n")
