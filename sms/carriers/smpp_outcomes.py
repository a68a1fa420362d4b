"""What an answer's command_status means (SMPP 3.4 §5.1.3), and its name. Pure."""

from __future__ import annotations

from sms.carriers.carrier import Because, Refused

THROTTLED = frozenset({0x58, 0x14})  # ESME_RTHROTTLED, ESME_RMSGQFUL: nothing was taken, later it may be
# Whoever signed in so will not get in by trying again: a person has to look.
SIGNED_IN_WRONGLY = frozenset({0x03, 0x0D, 0x0E, 0x0F, 0x53})

# What we answer where a message could not be committed: RX_T_APPN says that it is our side and that it passes, so the
# centre keeps the message and tries again; RX_P_APPN, RX_R_APPN and RDELIVERYFAILURE make it throw the message away.
NOT_NOW = 0x64
QUEUE_FULL = 0x14

NAMES = {
    0x01: "ESME_RINVMSGLEN", 0x02: "ESME_RINVCMDLEN", 0x03: "ESME_RINVCMDID", 0x04: "ESME_RINVBNDSTS",
    0x05: "ESME_RALYBND", 0x06: "ESME_RINVPRTFLG", 0x07: "ESME_RINVREGDLVFLG", 0x08: "ESME_RSYSERR",
    0x0A: "ESME_RINVSRCADR", 0x0B: "ESME_RINVDSTADR", 0x0C: "ESME_RINVMSGID", 0x0D: "ESME_RBINDFAIL",
    0x0E: "ESME_RINVPASWD", 0x0F: "ESME_RINVSYSID", 0x11: "ESME_RCANCELFAIL", 0x13: "ESME_RREPLACEFAIL",
    0x14: "ESME_RMSGQFUL", 0x15: "ESME_RINVSERTYP", 0x33: "ESME_RINVNUMDESTS", 0x34: "ESME_RINVDLNAME",
    0x40: "ESME_RINVDESTFLAG", 0x42: "ESME_RINVSUBREP", 0x43: "ESME_RINVESMCLASS", 0x44: "ESME_RCNTSUBDL",
    0x45: "ESME_RSUBMITFAIL", 0x48: "ESME_RINVSRCTON", 0x49: "ESME_RINVSRCNPI", 0x50: "ESME_RINVDSTTON",
    0x51: "ESME_RINVDSTNPI", 0x53: "ESME_RINVSYSTYP", 0x54: "ESME_RINVREPFLAG", 0x55: "ESME_RINVNUMMSGS",
    0x58: "ESME_RTHROTTLED", 0x61: "ESME_RINVSCHED", 0x62: "ESME_RINVEXPIRY", 0x63: "ESME_RINVDFTMSGID",
    0x64: "ESME_RX_T_APPN", 0x65: "ESME_RX_P_APPN", 0x66: "ESME_RX_R_APPN", 0x67: "ESME_RQUERYFAIL",
    0xC0: "ESME_RINVOPTPARSTREAM", 0xC1: "ESME_ROPTPARNOTALLWD", 0xC2: "ESME_RINVPARLEN",
    0xC3: "ESME_RMISSINGOPTPARAM", 0xC4: "ESME_RINVOPTPARAMVAL", 0xFE: "ESME_RDELIVERYFAILURE",
    0xFF: "ESME_RUNKNOWNERR",
}  # fmt: skip

# Whether it is for ever is said only of what lies in the message itself: another carrier would say the same.
_REASONS = (
    dict.fromkeys((0x0B, 0x50, 0x51), (Because.ADDRESS, True))
    | dict.fromkeys((0x0A, 0x48, 0x49), (Because.SENDER, False))  # a sender is agreed with each carrier
    | dict.fromkeys((0x01,), (Because.CONTENT, True))
    | dict.fromkeys((0x65, 0x66), (Because.OTHER, True))
    | dict.fromkeys((0x04, 0x08, 0x45, 0x64), (Because.TEMPORARY, False))
)


def name(status: int) -> str:
    """As the protocol calls it; the number where it is a centre's own."""
    return NAMES.get(status, f"0x{status:08X}")


def refused(status: int, no_credit: frozenset[int] = frozenset()) -> Refused:
    """Of any status but 0 and THROTTLED. `no_credit`: a centre's own, by which it says that nothing is left to pay."""
    if status in no_credit:
        return Refused(Because.CREDIT, False, name(status))
    because, permanent = _REASONS.get(status, (Because.OTHER, False))
    return Refused(because, permanent, name(status))
