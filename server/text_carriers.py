"""Carriers as the configuration names them."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from config.paths import Paths
from config.settings import Settings
from config.sms_section import Carrier as CarrierSettings
from server.company import site_numbering
from server.failure import Failure
from server.services import secret_sources
from server.services.context import Services
from server.sip_carrier import SipCarrier, TextTrunkEdge
from server.trunks_desk import TrunkView
from sms import address_rules
from sms.addresses import Number
from sms.carriers.carrier import Carrier, Receiver
from sms.carriers.modem import Modem, ModemSettings
from sms.carriers.smpp import SmppCarrier
from sms.carriers.smpp_settings import Binds, SmppSettings, Tls
from sms.carriers.smpp_texts import DefaultAlphabet, LongTexts
from sms.routing import Route
from storage.trunks import Trunk

Views = Callable[[], Mapping[str, TrunkView]]


class Edge(TextTrunkEdge, Protocol):
    """What trunks that carry texts need."""


def build(
    services: Services, receiver: Receiver, edge: Edge, trunks: Sequence[Trunk], views: Views
) -> list[tuple[Carrier, Route]]:
    """All of them, with their routes. Raises Failure: a secret that is missing, a trunk or number that is none."""
    found: list[tuple[Carrier, Route]] = []
    for name, chosen in services.settings.sms.carriers.items():
        try:
            found.append(_one(services, name, chosen, receiver, edge, trunks, views))
        except ValueError as error:
            raise Failure(f"sms.carriers.{name}: {error}", "Correct it in beffroi.toml", "configuration") from None
    return found


def _one(
    services: Services,
    name: str,
    chosen: CarrierSettings,
    receiver: Receiver,
    edge: Edge,
    trunks: Sequence[Trunk],
    views: Views,
) -> tuple[Carrier, Route]:
    settings, paths = services.settings, services.paths
    match chosen.kind:
        case "smpp":
            carrier: Carrier = SmppCarrier(
                smpp(settings, paths, name, chosen), receiver, now=services.clock, dice=random.SystemRandom()
            )
            return carrier, route(name, chosen)
        case "modem":
            modem = Modem(modem_settings(settings, paths, name, chosen), receiver, services.clock)
            return modem, route(name, chosen, carries=modem.carries, senders=frozenset({"number"}))
        case "trunk":
            trunk = next((one for one in trunks if one.name == chosen.trunk), None)
            if trunk is None:
                raise ValueError(f"there is no trunk {chosen.trunk!r}")
            by_sip = SipCarrier(
                name,
                trunk.id,
                edge,
                international_format=trunk.international_format,
                site=lambda: site_numbering(services.settings),
                view=lambda: views().get(trunk.id),
                clock=services.clock,
            )
            return by_sip, route(name, chosen, senders=frozenset({"number", "short"}))


def route(
    name: str,
    chosen: CarrierSettings,
    *,
    carries: frozenset[str] | None = None,
    senders: frozenset[str] = frozenset({"number", "short", "name"}),
) -> Route:
    """What goes that way. `carries`: what it takes at most, whatever is configured."""
    classes = frozenset(str(each) for each in chosen.classes)
    return Route(
        carrier=name,
        prefixes=tuple(chosen.prefixes),
        classes=classes if carries is None else classes & carries,
        senders=senders,
        short_codes=chosen.short_codes,
        cost_microeuros=chosen.part_cost_microeuros,
        preference=chosen.preference,
    )


def smpp(settings: Settings, paths: Paths, name: str, chosen: CarrierSettings) -> SmppSettings:
    """Raises Failure for a secret, ValueError for what is out of bounds."""
    secret = f"smpp.{name}.password"
    if not secret_sources.is_there(settings, paths, secret):
        raise Failure(
            f"the password of carrier {name} is missing",
            f"Put it into keys/{secret}, mode 600, without a line end",
            "configuration",
        )
    with secret_sources.source(settings, paths) as get:
        password = get(secret).decode("ascii", errors="replace").rstrip("\n")
    tls = Tls(
        ca=_path(chosen.ca_file),
        certificate=_path(chosen.certificate_file),
        key=_path(chosen.key_file),
        server_name=chosen.server_name,
    )
    return SmppSettings(
        name=name,
        host=chosen.host,
        port=chosen.port,
        system_id=chosen.system_id,
        password=password,
        country=site_numbering(settings).country,
        system_type=chosen.system_type,
        binds=Binds.PAIR if chosen.pair else Binds.TRANSCEIVER,
        tls=tls if chosen.tls else None,
        window=chosen.window,
        per_s=chosen.per_s or None,
        long_texts=LongTexts(chosen.long_texts),
        default_alphabet=DefaultAlphabet(chosen.alphabet),
        response_s=chosen.response_s,
        zone=ZoneInfo(chosen.zone),
    )


def modem_settings(settings: Settings, paths: Paths, name: str, chosen: CarrierSettings) -> ModemSettings:
    """Raises Failure for a secret, ValueError for what is out of bounds."""
    country, secret = site_numbering(settings).country, f"modem.{name}.pin"
    number = address_rules.recipient(chosen.number, country)
    if not isinstance(number, Number):
        raise ValueError("number: of the SIM, such as +33612345678")
    pin = None
    if secret_sources.is_there(settings, paths, secret):
        with secret_sources.source(settings, paths) as get:
            pin = get(secret).decode("ascii", errors="replace").strip()
    return ModemSettings(
        name=name,
        number=number,
        device=chosen.device,
        directory=paths.run / f"modem-{name}",
        country=country,
        pin=pin,
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None
