"""Watches one call and remembers what is needed to tell how it went (``sip.calls.history``).

It is given every command to the worker and every event of it, keeps counts, kinds and times, and nothing that names
anybody. What it keeps is bounded, however long the call and however busy its phones.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sip.calls import acts
from sip.calls.history import CallHistory, Figures, Kind, LegHistory, Side, Step, Stretch
from sip.calls.plan import CallPlan, Outcome, Refusal, TrunkTarget
from sip.edge.protocol import EdgeRequest
from sip.worker import protocol as p

FIRST_STEPS = 60  # of the ladder are kept from the beginning,
LAST_STEPS = 20  # and as many from the end
STRETCHES = 16  # of a leg: the first and the last
TROUBLES = 8
LEGS = 12
FRAMES_PER_S = 50
QUIET_AFTER_S = 5.0  # without a packet between two measurements: from then on the leg is quiet
CALLER = "a"

_PRIVATE = tuple(  # RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291 section 2.5.6
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "fc00::/7",
        "fe80::/10",
    )
)
_ERROR_NAME = re.compile(r"\(?(PJ[A-Z0-9_]{3,60})\)?")
_RATES = re.compile(r"/.*")


def address_kind(source: str) -> Kind:
    """Of "tls:192.0.2.7:40312" as the edge names a source."""
    host = source.partition(":")[2].rpartition(":")[0].strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    if address.is_loopback:
        return "loopback"
    if address.is_unspecified:
        return "none"
    return "private" if any(address in network for network in _PRIVATE) else "public"


@dataclass
class _Stretch:
    """A stretch that may still go on. A leg's figures are told as sums since its beginning: ``base`` is what had come
    when this stretch began."""

    since: str
    began_s: float
    base: Figures
    held: bool = False
    ended_s: float | None = None
    figures: Figures = Figures()
    measured_s: float = 0.0  # when the figures were last told
    heard_s: float = 0.0  # when packets were last known to come
    # A telephone that sends nothing while nobody speaks (RFC 3389) sends less than 50 packets a second, and goes on.
    dense: bool = False  # it has sent all the time, at least between two looks
    thin: bool = False  # between the last two looks it has not
    sparse: bool = False  # and then went on
    stopped: bool = False  # nothing at all between two looks
    peak: int = -1

    def measure(self, total: Figures, peak: int, now_s: float, *, final: bool = False) -> None:
        new = _less(total, self.base)
        came = new.rx_packets + new.rx_lost - self.figures.rx_packets - self.figures.rx_lost
        since_s = max(self.measured_s, self.began_s)
        spoken_s, looked_s = came / FRAMES_PER_S, now_s - since_s
        if came > 0:
            self.sparse = self.sparse or self.thin
            self.thin = spoken_s < 0.8 * looked_s
            self.dense = self.dense or not self.thin
            # Where it is not known when they came: at once after the last time that was looked.
            self.heard_s = now_s if self.sparse else min(now_s, since_s + spoken_s)
        self.stopped = came == 0 and looked_s > QUIET_AFTER_S
        self.figures, self.measured_s = new, now_s
        self.peak = max(self.peak, peak)

    def told(self, now_s: float) -> Stretch:
        end_s = self.ended_s if self.ended_s is not None else now_s
        quiet_s = max(0.0, (self.measured_s or end_s) - max(self.heard_s, self.began_s))
        return Stretch(
            self.since,
            max(0, round(1000 * (end_s - self.began_s))),
            self.figures,
            self.held,
            round(1000 * quiet_s) if quiet_s > QUIET_AFTER_S and (self.dense or self.stopped) else 0,
            self.peak,
        )


def figures_of(event: p.LegQuality) -> Figures:
    """As the worker tells them."""
    return Figures(
        event.rx_packets,
        max(0, event.rx_lost),
        event.rx_jitter_us,
        event.tx_packets,
        max(0, event.tx_lost),
        event.tx_jitter_us,
        event.rtt_us,
    )


def _less(total: Figures, base: Figures) -> Figures:
    """What has come since; means stay those of the whole."""
    return replace(
        total,
        rx_packets=max(0, total.rx_packets - base.rx_packets),
        rx_lost=max(0, total.rx_lost - base.rx_lost),
        tx_packets=max(0, total.tx_packets - base.tx_packets),
        tx_lost=max(0, total.tx_lost - base.tx_lost),
    )


@dataclass
class _Leg:
    name: str
    inward: bool
    asked_s: float
    trunk: bool = False
    transport: str = ""
    signalling: Kind = ""
    srtp_asked: bool | None = None
    srtp: bool = False
    codec: str = ""
    network: p.LegNetwork | None = None
    held: bool = False
    rang_s: float | None = None
    up_s: float | None = None
    down_s: float | None = None
    status: int = 0
    hung_up: bool = False  # by us
    ended_by: Side = ""
    next_since: str = "start"  # what the next stretch begins with
    total: Figures = Figures()  # as last told
    stretches: list[_Stretch] = field(default_factory=list)
    current: _Stretch | None = None
    closing: _Stretch | None = None  # over, and its last figures are still to be told

    def begin(self, now_s: float) -> _Stretch:
        if self.current is None:
            if len(self.stretches) >= STRETCHES:
                self.stretches.pop(STRETCHES // 2)
            self.current = _Stretch(self.next_since, now_s, self.total, self.held, measured_s=now_s)
            self.stretches.append(self.current)
            self.next_since = "change"
        return self.current

    def end(self, now_s: float) -> None:
        if self.current is not None:
            self.current.ended_s = now_s
            self.closing, self.current = self.current, None

    def measure(self, event: p.LegQuality, now_s: float) -> None:
        self.total, peak = figures_of(event), event.level
        if self.closing is not None and (not event.final or self.current is None):
            self.closing.measure(self.total, peak, self.closing.ended_s or now_s)
            if self.current is not None:
                self.current.base = self.total
        elif self.current is not None:
            self.current.measure(self.total, peak, now_s)
        elif self.stretches:
            self.stretches[-1].measure(self.total, peak, self.stretches[-1].ended_s or now_s)
        self.closing = None


class Watch:
    """One call, as it happens. Times are of the clock that it is given with each call."""

    def __init__(self, plan: CallPlan, request: EdgeRequest | None, now_s: float) -> None:
        self.plan = plan
        self._began_s = now_s
        self._legs: dict[str, _Leg] = {}
        self._first: list[Step] = []
        self._last: list[Step] = []
        self._left_out = 0
        self._troubles: list[tuple[str, str]] = []
        self._transfers = 0
        self._reached = False
        self._answered = False
        self._crashed = False
        self._trunks = {target.leg for _, target in plan.targets() if isinstance(target, TrunkTarget)}
        if request is not None:
            caller = self._leg(CALLER, now_s, inward=True)
            caller.transport = request.source.partition(":")[0]
            caller.signalling = address_kind(request.source)
            caller.srtp_asked = request.savp
            caller.trunk = bool(request.trunk)
            self._step(now_s, CALLER, True, "INVITE")

    # --- what happens -----------------------------------------------------------------------------

    def asked(self, command: object, now_s: float) -> None:
        """A command that goes to the worker."""
        match command:
            case p.Answer(leg=leg, code=code):
                self._step(now_s, leg, False, str(code))
                self._answered = self._answered or (leg == CALLER and code == 200)
            case p.Dial(leg=name, srtp=srtp):
                leg_ = self._leg(name, now_s, inward=False)
                leg_.srtp_asked = srtp
                leg_.trunk = name in self._trunks
                self._step(now_s, name, False, "INVITE")
            case p.Hangup(leg=name, code=code):
                self._hang_up(self._leg(name, now_s), code, now_s)
            case p.Notify(leg=name, code=code):
                self._step(now_s, name, False, f"NOTIFY {code}")

    def happened(self, event: object, now_s: float) -> None:
        """An event of the worker, the recorder or an operator."""
        match event:
            case p.Incoming(leg=name):
                self._reached = True
                if name != CALLER and name not in self._legs:
                    self._leg(name, now_s, inward=True)
                    self._step(now_s, name, True, "INVITE")
            case p.LegRinging(leg=name, code=code, media=media):
                leg = self._leg(name, now_s)
                leg.rang_s = leg.rang_s if leg.rang_s is not None else now_s
                self._step(now_s, name, True, str(183 if media and code == 180 else code))
            case p.LegUp(leg=name):
                self._up(self._leg(name, now_s), now_s)
            case p.LegDown(leg=name, code=code):
                self._down(self._leg(name, now_s), code, now_s)
            case p.LegMedia():
                self._media(self._leg(event.leg, now_s), event, now_s)
            case p.LegNetwork(leg=name):
                self._leg(name, now_s).network = event
            case p.LegQuality(leg=name):
                self._quality(self._leg(name, now_s), event, now_s)
            case p.Trouble(where=where, why=why):
                self._trouble(where, why)
            case p.WorkerGone():
                self._crashed = True
            case acts.Transfer(joining=joining):
                self._transferred([target for stage in joining.stages for target in stage.targets], now_s)
            case acts.BecomeRelay():
                self._transferred((), now_s)

    def referred(self, leg: str, code: int, now_s: float) -> None:
        """A leg has asked for a transfer, and this was its answer."""
        self._step(now_s, leg, True, "REFER")
        self._step(now_s, leg, False, str(code))

    def _transferred(self, targets: Iterable[object], now_s: float) -> None:
        """The conversation goes on with other legs; ``targets``: what may be dialled for it."""
        self._transfers += 1
        self._trunks |= {target.leg for target in targets if isinstance(target, TrunkTarget)}
        for leg in self._legs.values():
            leg.next_since = "transfer"
            if leg.current is not None:
                leg.end(now_s)
                leg.begin(now_s)

    # --- what is known ----------------------------------------------------------------------------

    def legs_up(self) -> list[str]:
        """Legs that can be measured now."""
        return [leg.name for leg in self._legs.values() if leg.current is not None and leg.down_s is None]

    def unsettled(self) -> list[str]:
        """Legs whose audio has just changed: their figures now tell what belongs to which stretch."""
        return [leg.name for leg in self._legs.values() if leg.closing is not None and leg.current is not None]

    def history(self, now_s: float, outcome: Outcome | None = None) -> CallHistory:
        """Of a call that goes on, or (with its outcome) that is over."""
        return CallHistory(
            kind=self.plan.kind.value,
            cause=outcome.cause if outcome is not None else "",
            code=outcome.code if outcome is not None else 0,
            length_ms=self._ms(now_s),
            legs=tuple(self._told(leg, now_s) for leg in self._legs.values()),
            ladder=(*self._first, *self._last),
            troubles=tuple(self._troubles),
            transfers=self._transfers,
            reached=self._reached,
            answered=self._answered,
            talked=outcome is not None and outcome.talk_began_s is not None,
            crashed=self._crashed,
            left_out=self._left_out,
        )

    def _told(self, leg: _Leg, now_s: float) -> LegHistory:
        network = leg.network
        return LegHistory(
            leg=leg.name,
            inward=leg.inward,
            trunk=leg.trunk,
            transport=leg.transport,
            signalling=leg.signalling,
            srtp_asked=leg.srtp_asked,
            srtp=leg.srtp,
            codec=leg.codec,
            signalled=_kind(network.signalled) if network is not None else "",
            source=_kind(network.source) if network is not None else "",
            moved=network is not None and network.moved,
            asked_ms=self._ms(leg.asked_s),
            rang_ms=None if leg.rang_s is None else self._ms(leg.rang_s),
            up_ms=None if leg.up_s is None else self._ms(leg.up_s),
            down_ms=None if leg.down_s is None else self._ms(leg.down_s),
            status=leg.status,
            ended_by=leg.ended_by,
            stretches=tuple(stretch.told(now_s) for stretch in leg.stretches),
        )

    # --- legs -------------------------------------------------------------------------------------

    def _leg(self, name: str, now_s: float, *, inward: bool = False) -> _Leg:
        if name not in self._legs:
            leg = _Leg(name, inward, now_s)
            if len(self._legs) >= LEGS:
                return leg  # is forgotten at once
            self._legs[name] = leg
        return self._legs[name]

    def _up(self, leg: _Leg, now_s: float) -> None:
        leg.up_s = now_s
        self._step(now_s, leg.name, True, "ACK" if leg.inward else "200")
        if not leg.inward:
            self._step(now_s, leg.name, False, "ACK")
        self._settle(leg, now_s)

    def _settle(self, leg: _Leg, now_s: float) -> None:
        """Audio counts from the answer on; what comes before it counts with it."""
        if leg.current is not None and len(leg.stretches) == 1 and not leg.current.figures.rx_packets:
            leg.current.began_s = leg.current.measured_s = now_s

    def _down(self, leg: _Leg, code: int, now_s: float) -> None:
        if leg.down_s is not None:
            return
        leg.down_s, leg.status = now_s, code
        leg.ended_by = "us" if leg.hung_up else "phone"
        leg.end(now_s)
        if leg.hung_up and leg.up_s is None and leg.inward:
            self._step(now_s, leg.name, True, "ACK")
        elif leg.hung_up:
            self._step(now_s, leg.name, True, "200" if leg.up_s is not None else str(code))
        elif leg.up_s is not None:
            self._step(now_s, leg.name, True, "BYE")
        else:
            self._step(now_s, leg.name, True, "CANCEL" if leg.inward else str(code))

    def _hang_up(self, leg: _Leg, code: int, now_s: float) -> None:
        if leg.hung_up or leg.down_s is not None:
            return
        leg.hung_up = True
        if leg.up_s is not None:
            self._step(now_s, leg.name, False, "BYE")
        else:
            self._step(now_s, leg.name, False, str(code) if leg.inward else "CANCEL")

    def _media(self, leg: _Leg, event: p.LegMedia, now_s: float) -> None:
        leg.codec = _RATES.sub("", event.codec) or leg.codec
        leg.srtp = event.srtp or leg.srtp
        again = bool(leg.stretches)
        if event.held != leg.held:
            leg.held = event.held
            what = "hold" if event.held else "resume"
            self._step(now_s, leg.name, True, f"re-INVITE ({what})")
            leg.end(now_s)
            leg.next_since = what
        elif again and leg.current is None and event.active:
            self._step(now_s, leg.name, True, "re-INVITE")
        if event.active:
            leg.begin(now_s)
        else:
            leg.end(now_s)

    def _quality(self, leg: _Leg, event: p.LegQuality, now_s: float) -> None:
        if not leg.stretches:
            leg.begin(now_s if leg.up_s is None else leg.up_s)
        leg.measure(event, now_s)
        leg.codec = leg.codec or _RATES.sub("", event.codec)
        if event.final and leg.current is not None:
            leg.end(now_s)
            leg.closing = None

    def _trouble(self, where: str, why: str) -> None:
        name = _ERROR_NAME.search(why)
        trouble = (re.sub(r"[^a-z_]", "", where)[:30], name[1] if name is not None else "")
        if trouble not in self._troubles and len(self._troubles) < TROUBLES:
            self._troubles.append(trouble)

    # --- the ladder -------------------------------------------------------------------------------

    def _ms(self, at_s: float) -> int:
        return max(0, round(1000 * (at_s - self._began_s)))

    def _step(self, now_s: float, leg: str, inward: bool, what: str) -> None:
        step = Step(self._ms(now_s), leg, inward, what)
        if len(self._first) < FIRST_STEPS:
            self._first.append(step)
            return
        self._last.append(step)
        if len(self._last) > LAST_STEPS:
            self._last.pop(0)
            self._left_out += 1


def refused(request: EdgeRequest, refusal: Refusal) -> CallHistory:
    """A call that was refused before it began."""
    leg = LegHistory(
        CALLER,
        inward=True,
        trunk=bool(request.trunk),
        transport=request.source.partition(":")[0],
        signalling=address_kind(request.source),
        srtp_asked=request.savp,
        down_ms=0,
        status=refusal.code,
        ended_by="us",
    )
    ladder = (Step(0, CALLER, True, "INVITE"), Step(0, CALLER, False, str(refusal.code)))
    return CallHistory("ring", refusal.cause, refusal.code, 0, (leg,), ladder, reached=False)


def _kind(text: str) -> Kind:
    return text if text in ("loopback", "private", "public", "none") else ""  # type: ignore[return-value]
