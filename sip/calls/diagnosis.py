"""Why somebody was not heard: a call's history in, figures and verdicts out. Pure.

A verdict is an id, the leg that it is about, and a few numbers; what it says in French and in English, and what to do
about it, stands in ``config/data/verdicts.toml``. The most important comes first; ``good`` is a verdict too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from sip.calls import emodel
from sip.calls.history import CallHistory, LegHistory, Stretch

JUDGED_MS: Final = 2000  # a stretch that is shorter says nothing
STRAY_PACKETS: Final = 10  # were still on their way when audio changed
ENOUGH_PACKETS: Final = 50  # a second of audio
LOSS_PERMILLE: Final = 20  # is heard from here on
JITTER_US: Final = 30_000
DELAY_US: Final = 300_000  # of the round trip (ITU-T G.114: 150 ms one way disturb nobody, 400 ms everybody)
QUIET_MS: Final = 20_000  # longer than anything but a telephone that is gone
SILENCE_PEAK: Final = 8  # of 255: digital silence and comfort noise stay below, a voice does not

# Most important first. The words are those of config/data/verdicts.toml.
ORDER: Final = (
    "worker-crashed",
    "srtp-required",
    "srtp-without-tls",
    "no-common-codec",
    "callee-refused-srtp",
    "callee-refused-offer",
    "no-acknowledgement",
    "no-packets-private",
    "no-packets-rewritten",
    "no-packets",
    "one-way-since-hold",
    "one-way-since-transfer",
    "only-silence",
    "vanished",
    "loss-in",
    "loss-out",
    "jitter-in",
    "jitter-out",
    "delay",
    "not-permitted",
    "contact-not-permitted",
    "limit",
    "not-known",
    "loop",
    "unknown-number",
    "nobody",
    "not-registered",
    "trunk-credentials",
    "trunk-forbidden",
    "trunk-silent",
    "trunk-refused",
    "no-trunk",
    "never-rang",
    "no-answer",
    "busy",
    "declined",
    "not-available",
    "recording",
    "emergency-preempted",
    "ceiling",
    "ended-by-us",
    "not-begun",
    "cancelled",
    "failed",
    "served",
    "unconfirmed",
    "good",
    "private-address",
    "rewritten-address",
    "too-short",
)

# Words of Outcome.cause and Refusal.cause, for calls in which nobody talked.
_BY_CAUSE: Final[Mapping[str, str]] = {
    "no-srtp": "srtp-required",
    "srtp-without-tls": "srtp-without-tls",
    "no-codec": "no-common-codec",
    "not-permitted": "not-permitted",
    "contact-not-permitted": "contact-not-permitted",
    "limit": "limit",
    "forged-from": "not-known",
    "unknown-device": "not-known",
    "revoked": "not-known",
    "loop": "loop",
    "unknown": "unknown-number",
    "nobody": "nobody",
    "not-registered": "not-registered",
    "no-answer": "no-answer",
    "busy": "busy",
    "declined": "declined",
    "not-available": "not-available",
    "recording-refused": "recording",
    "recording-failed": "recording",
    "emergency-preempted": "emergency-preempted",
    "ceiling": "ceiling",
    "ended-by-us": "ended-by-us",
    "trunk-failed": "no-trunk",
    "unknown-trunk": "no-trunk",
    "service": "served",
    "no-media": "no-acknowledgement",
    "cancelled": "cancelled",
    "caller-hung-up": "cancelled",
}
_OFFER_REFUSED: Final = frozenset({415, 488, 606})
_CREDENTIALS: Final = frozenset({401, 407, 502})  # the edge answers 502 for endless challenges and for redirections
_TIMEOUTS: Final = frozenset({408, 504})


@dataclass(frozen=True, slots=True)
class Verdict:
    """``leg`` is "" where it is about the call; ``values``: percent, seconds, ms, code."""

    id: str
    leg: str = ""
    values: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LegFigures:
    """How one leg did. In: from the telephone to us. What nobody has reported is None."""

    leg: str
    trunk: bool
    codec: str
    srtp: bool
    rx_packets: int
    loss_in_permille: int
    jitter_in_us: int
    tx_packets: int
    loss_out_permille: int | None
    jitter_out_us: int | None
    rtt_us: int | None
    mos_in_centi: int | None  # 100 times the mean opinion score (sip.calls.emodel)
    mos_out_centi: int | None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is said about a call."""

    verdicts: tuple[Verdict, ...]
    legs: tuple[LegFigures, ...]
    mos_centi: int | None  # the lowest of all legs and directions; None where nothing could be measured

    @property
    def one_way(self) -> bool:
        """Somebody was not heard at all, for the whole call or from some moment on."""
        return any(verdict.id.startswith(("no-packets", "one-way", "only-silence")) for verdict in self.verdicts)


def judge(history: CallHistory) -> Diagnosis:
    """Figures and verdicts, most important first."""
    legs = tuple(figures(leg) for leg in history.legs if leg.stretches)
    found = [*_of_the_call(history)]
    for leg, measured in zip((leg for leg in history.legs if leg.stretches), legs, strict=True):
        found += _of_a_leg(leg, measured)
    scores = [score for each in legs for score in (each.mos_in_centi, each.mos_out_centi) if score is not None]
    if not any(ORDER.index(verdict.id) < ORDER.index("unconfirmed") for verdict in found):
        found.append(_nothing_wrong(history, legs))
    found.sort(key=lambda verdict: (ORDER.index(verdict.id), verdict.leg))
    return Diagnosis(tuple(found), legs, min(scores, default=None))


def figures(leg: LegHistory) -> LegFigures:
    """All stretches of a leg together."""
    each = [stretch.figures for stretch in leg.stretches]
    rx, rx_lost = sum(f.rx_packets for f in each), sum(f.rx_lost for f in each)
    told = [f for f in each if f.reported]
    tx_told = sum(f.tx_packets for f in told)
    tx_lost = min(sum(f.tx_lost for f in told), tx_told)
    jitter_us = _mean([(f.rx_jitter_us, f.rx_packets) for f in each])
    jitter_out_us = _mean([(f.tx_jitter_us, f.tx_packets) for f in told]) if told else None
    rtt_us = _mean([(f.rtt_us, f.tx_packets) for f in told if f.rtt_us]) if any(f.rtt_us for f in told) else None
    loss_in = _permille(rx_lost, rx + rx_lost)
    loss_out = _permille(tx_lost, tx_told) if told else None
    return LegFigures(
        leg=leg.leg,
        trunk=leg.trunk,
        codec=leg.codec,
        srtp=leg.srtp,
        rx_packets=rx,
        loss_in_permille=loss_in,
        jitter_in_us=jitter_us,
        tx_packets=sum(f.tx_packets for f in each),
        loss_out_permille=loss_out,
        jitter_out_us=jitter_out_us,
        rtt_us=rtt_us,
        mos_in_centi=_mos(loss_in, rtt_us, jitter_us, leg.codec) if rx + rx_lost >= ENOUGH_PACKETS else None,
        mos_out_centi=_mos(loss_out, rtt_us, jitter_out_us, leg.codec)
        if loss_out is not None and tx_told >= ENOUGH_PACKETS
        else None,
    )


def _mos(loss_permille: int, rtt_us: int | None, jitter_us: int | None, codec: str) -> int:
    delay_ms = emodel.one_way_ms((rtt_us or 0) / 1000, (jitter_us or 0) / 1000)
    return round(100 * emodel.mos(emodel.rating(loss_permille / 1000, delay_ms, codec)))


def _mean(weighted: list[tuple[int, int]]) -> int:
    weight = sum(w for _, w in weighted)
    return round(sum(value * w for value, w in weighted) / weight) if weight else 0


def _permille(part: int, whole: int) -> int:
    return round(1000 * part / whole) if whole else 0


# --- what is wrong with the call ----------------------------------------------------------------------------------


def _of_the_call(history: CallHistory) -> Iterator[Verdict]:
    if history.crashed:
        yield Verdict("worker-crashed")
    if history.talked or not history.cause or history.crashed:
        if history.cause in ("ceiling", "emergency-preempted"):
            yield Verdict(history.cause)
        return
    if not history.reached and history.cause == "cancelled":
        # The engine refuses by itself an offer of which it understands nothing, and then tells nobody.
        yield Verdict("no-common-codec" if _refused_by_engine(history) else "not-begun")
        return
    refusals = [verdict for leg in history.legs if leg.leg != "a" for verdict in _of_a_refusal(leg)]
    if refusals and history.cause not in ("cancelled", "caller-hung-up"):
        yield from refusals
        return
    name = _BY_CAUSE.get(history.cause, "failed")
    if name == "no-answer" and not any(leg.rang_ms is not None for leg in history.legs if not leg.inward):
        name = "never-rang"
    yield Verdict(name, values={"code": history.code} if name == "failed" else {})


def _refused_by_engine(history: CallHistory) -> bool:
    return any("SDP" in why or "CODEC" in why for _, why in history.troubles)


def _of_a_refusal(leg: LegHistory) -> Iterator[Verdict]:
    """A leg that we have dialled and that was refused, where its status tells more than the call's cause."""
    if leg.up_ms is not None or leg.ended_by == "us" or leg.status < 300:
        return
    if leg.status in _OFFER_REFUSED:
        yield Verdict("callee-refused-srtp" if leg.srtp_asked else "callee-refused-offer", leg.leg)
    elif leg.trunk and leg.status in _CREDENTIALS:
        yield Verdict("trunk-credentials", leg.leg, {"code": leg.status})
    elif leg.trunk and leg.status == 403:
        yield Verdict("trunk-forbidden", leg.leg)
    elif leg.trunk and leg.status in _TIMEOUTS:
        yield Verdict("trunk-silent", leg.leg)
    elif leg.trunk and leg.status not in (404, 480, 486, 600, 603, 604):
        yield Verdict("trunk-refused", leg.leg, {"code": leg.status})


# --- what is wrong with a leg -------------------------------------------------------------------------------------


def _of_a_leg(leg: LegHistory, measured: LegFigures) -> Iterator[Verdict]:
    expected = [stretch for stretch in leg.stretches if not stretch.held and stretch.length_ms >= JUDGED_MS]
    if expected and not any(stretch.figures.rx_packets for stretch in expected):
        yield Verdict(_why_nothing_came(leg), leg.leg)
    elif expected:
        yield from _of_what_came(leg, measured, expected)
    if measured.loss_out_permille is not None and measured.loss_out_permille >= LOSS_PERMILLE:
        yield Verdict("loss-out", leg.leg, {"percent": _percent(measured.loss_out_permille)})
    if (measured.jitter_out_us or 0) >= JITTER_US:
        yield Verdict("jitter-out", leg.leg, {"ms": (measured.jitter_out_us or 0) // 1000})
    if (measured.rtt_us or 0) >= DELAY_US:
        yield Verdict("delay", leg.leg, {"ms": (measured.rtt_us or 0) // 1000})


def _why_nothing_came(leg: LegHistory) -> str:
    if leg.signalled in ("private", "none") and leg.signalling == "public":
        return "no-packets-private"
    if leg.signalled == "public" and leg.signalling == "private":
        return "no-packets-rewritten"
    return "no-packets"


def _of_what_came(leg: LegHistory, measured: LegFigures, expected: list[Stretch]) -> Iterator[Verdict]:
    broken = _broken_since(expected)
    if broken is not None:
        yield Verdict(f"one-way-since-{broken}", leg.leg)
    peaks = [stretch.peak for stretch in expected if stretch.peak >= 0 and stretch.figures.rx_packets]
    if peaks and max(peaks) < SILENCE_PEAK and measured.rx_packets >= 3 * ENOUGH_PACKETS:
        yield Verdict("only-silence", leg.leg)
    last = leg.stretches[-1]
    if broken is None and not last.held and last.figures.rx_packets and last.quiet_ms >= QUIET_MS:
        yield Verdict("vanished", leg.leg, {"seconds": last.quiet_ms // 1000})
    if measured.loss_in_permille >= LOSS_PERMILLE:
        yield Verdict("loss-in", leg.leg, {"percent": _percent(measured.loss_in_permille)})
    if measured.jitter_in_us >= JITTER_US:
        yield Verdict("jitter-in", leg.leg, {"ms": measured.jitter_in_us // 1000})
    outside = leg.source != leg.signalled or leg.signalling == "public"
    if leg.moved and leg.signalled in ("private", "none") and outside:
        yield Verdict("private-address", leg.leg)
    elif leg.moved and leg.source != "loopback":  # no router lies between this machine and itself
        yield Verdict("rewritten-address", leg.leg)


def _broken_since(expected: list[Stretch]) -> str | None:
    """After what audio that had come came no more: "hold" or "transfer"; None where it went on."""
    heard = False
    since = None
    for stretch in expected:
        if stretch.figures.rx_packets > STRAY_PACKETS:
            heard, since = True, None
        elif heard and since is None:
            since = "transfer" if stretch.since == "transfer" else "hold"
    return since


def _percent(permille: int) -> int:
    return max(1, (permille + 5) // 10)


def _nothing_wrong(history: CallHistory, legs: tuple[LegFigures, ...]) -> Verdict:
    measured = [leg for leg in legs if leg.mos_in_centi is not None]
    if not measured or len(measured) < len(legs):
        return Verdict("too-short")
    return Verdict("good" if all(leg.mos_out_centi is not None for leg in legs) else "unconfirmed")


# --- the echo test ------------------------------------------------------------------------------------------------

# What the echo test may say of its one leg.
ECHO_PROMPTS: Final = (
    "PROMPT_ECHO_GOOD",
    "PROMPT_ECHO_UNCONFIRMED",
    "PROMPT_ECHO_SILENT",
    "PROMPT_ECHO_MUTE",
    "PROMPT_ECHO_LOSS_LITTLE",
    "PROMPT_ECHO_LOSS",
    "PROMPT_ECHO_LOSS_HEAVY",
    "PROMPT_ECHO_LOSS_BACK",
    "PROMPT_ECHO_UNEVEN",
)


def echo_result(leg: LegHistory) -> str:
    """Which prompt tells the caller of an echo test how the own connection is."""
    measured = figures(leg)
    if not measured.rx_packets:
        return "PROMPT_ECHO_SILENT"
    peak = max((stretch.peak for stretch in leg.stretches), default=-1)
    if 0 <= peak < SILENCE_PEAK:
        return "PROMPT_ECHO_MUTE"
    if measured.loss_in_permille >= LOSS_PERMILLE:
        bounds = ((50, "PROMPT_ECHO_LOSS_LITTLE"), (150, "PROMPT_ECHO_LOSS"))
        return next((name for bound, name in bounds if measured.loss_in_permille < bound), "PROMPT_ECHO_LOSS_HEAVY")
    if (measured.loss_out_permille or 0) >= LOSS_PERMILLE:
        return "PROMPT_ECHO_LOSS_BACK"
    if max(measured.jitter_in_us, measured.jitter_out_us or 0) >= JITTER_US or (measured.rtt_us or 0) >= DELAY_US:
        return "PROMPT_ECHO_UNEVEN"
    return "PROMPT_ECHO_GOOD" if measured.loss_out_permille is not None else "PROMPT_ECHO_UNCONFIRMED"
