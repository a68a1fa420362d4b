"""The inside of tests.peers.deskphone: a softphone on pjsua2, driven by JSON lines. Run as a program, never imported.

Reads one JSON object a line: {"id": 1, "do": "dial", ...}; writes {"answer": 1, "value": ...} or {"answer": 1, "error":
"..."}, and events {"event": "CALL_ESTABLISHED", "call": 0, ...}. Everything happens in one thread.

What pjsip prints goes to standard error: it fills a buffer of its own, and the beginning of a line there would stand
in front of one of ours.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from pathlib import Path
from typing import Any

import pjsua2 as pj

UP = (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)
STATES = {
    pj.PJSIP_INV_STATE_INCOMING: "CALL_INCOMING",
    pj.PJSIP_INV_STATE_EARLY: "CALL_RINGING",
    pj.PJSIP_INV_STATE_CONFIRMED: "CALL_ESTABLISHED",
    pj.PJSIP_INV_STATE_DISCONNECTED: "CALL_CLOSED",
}


OUT = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def say(**what: Any) -> None:
    OUT.write(json.dumps(what) + "\n")
    OUT.flush()


class Call(pj.Call):  # type: ignore[misc]
    def __init__(self, desk: Desk, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(desk.account, call_id)
        self.desk = desk
        self.number = desk.numbers
        desk.numbers += 1
        desk.calls[self.number] = self
        self.recorder: Any = None
        self.status = -1

    def onCallState(self, _prm: Any) -> None:  # noqa: N802
        info = self.getInfo()
        if kind := STATES.get(info.state):
            say(event=kind, call=self.number, peer=info.remoteUri, param=f"{info.lastStatusCode} {info.lastReason}")
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.recorder = None
            self.desk.calls.pop(self.number, None)
            self.desk.gone.append(self)  # must not be destroyed in its own callback

    def onCallMediaState(self, _prm: Any) -> None:  # noqa: N802
        info = self.getInfo()
        for media in info.media:
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            if media.status != self.status:
                self.status = media.status
                say(event="CALL_MEDIA", call=self.number, status=int(media.status), direction=int(media.dir))
            if media.status in UP:
                audio = self.getAudioMedia(media.index)
                if self.recorder is None:
                    self.recorder = pj.AudioMediaRecorder()
                    self.recorder.createRecorder(str(self.desk.heard / f"{self.number:04}-dec.wav"))
                audio.startTransmit(self.recorder)
                self.desk.player.startTransmit(audio)

    def onDtmfDigit(self, prm: Any) -> None:  # noqa: N802
        say(event="CALL_DTMF_START", call=self.number, param=prm.digit, method=int(prm.method))

    def onCallTransferStatus(self, prm: Any) -> None:  # noqa: N802
        say(event="TRANSFER", call=self.number, param=f"{prm.statusCode} {prm.reason}", final=bool(prm.finalNotify))

    def onCallTsxState(self, prm: Any) -> None:  # noqa: N802
        tsx = prm.e.body.tsxState.tsx
        if tsx.method in ("REFER", "UPDATE", "INFO", "PRACK") and tsx.state == pj.PJSIP_TSX_STATE_COMPLETED:
            say(
                event="TSX", call=self.number, method=tsx.method, code=tsx.statusCode, own=tsx.role == pj.PJSIP_ROLE_UAC
            )


class Account(pj.Account):  # type: ignore[misc]
    desk: Desk

    def onRegState(self, prm: Any) -> None:  # noqa: N802
        say(event="REGISTER_OK" if prm.code == 200 and prm.expiration else "REGISTER", param=str(prm.code))

    def onInstantMessage(self, prm: Any) -> None:  # noqa: N802
        say(event="TEXT", peer=prm.fromUri, kind=prm.contentType, param=prm.msgBody)

    def onInstantMessageStatus(self, prm: Any) -> None:  # noqa: N802
        say(event="TEXT_STATUS", peer=prm.toUri, param=f"{prm.code} {prm.reason}")

    def onIncomingCall(self, prm: Any) -> None:  # noqa: N802
        call = Call(self.desk, prm.callId)
        info = call.getInfo()
        say(event="CALL_INCOMING", call=call.number, peer=info.remoteUri, message=prm.rdata.wholeMsg)
        if not self.desk.options["silent"]:
            answer = pj.CallOpParam()
            answer.statusCode = 200 if self.desk.options["answer"] == "auto" else 180
            call.answer(answer)


class Desk:
    """One phone with one account."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options
        self.heard = Path(options["heard"])
        self.calls: dict[int, Call] = {}
        self.gone: list[Call] = []
        self.numbers = 0
        self.buddies: dict[str, Any] = {}
        self.endpoint = endpoint = pj.Endpoint()
        endpoint.libCreate()
        config = pj.EpConfig()
        config.uaConfig.threadCnt = 0
        config.uaConfig.mainThreadOnly = True
        config.uaConfig.userAgent = "deskphone"
        config.logConfig.level = config.logConfig.consoleLevel = options["log_level"]
        config.logConfig.filename = options["log"]
        config.medConfig.clockRate = config.medConfig.sndClockRate = options["rate"]
        config.medConfig.noVad = True
        config.medConfig.ecTailLen = 0
        endpoint.libInit(config)
        transport = pj.TransportConfig()
        transport.boundAddress, transport.port = options["address"], options["port"]
        kinds = {"udp": pj.PJSIP_TRANSPORT_UDP, "tcp": pj.PJSIP_TRANSPORT_TCP}
        endpoint.transportCreate(kinds[options["transport"]], transport)
        endpoint.audDevManager().setNullDev()
        endpoint.libStart()
        for codec in endpoint.codecEnum2():
            rank = options["codecs"].index(codec.codecId) if codec.codecId in options["codecs"] else None
            endpoint.codecSetPriority(codec.codecId, 0 if rank is None else 250 - rank)
        self.player = pj.AudioMediaPlayer()
        self.player.createPlayer(options["says"])
        self.account = Account()
        self.account.desk = self
        self.account.create(self._account())

    def _account(self) -> Any:
        o = self.options
        account = pj.AccountConfig()
        account.idUri = f"sip:{o['user']}@{o['domain']}"
        kind, secret = (pj.PJSIP_CRED_DATA_DIGEST, o["ha1"]) if o["ha1"] else (0, o["password"])
        account.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", o["auth_user"], kind, secret))
        if o["server"]:
            account.sipConfig.proxies.append(f"sip:{o['server']};transport={o['transport']};lr")
        if o["register"]:
            account.regConfig.registrarUri = f"sip:{o['domain']}"
            account.regConfig.timeoutSec = o["refresh_s"]
            account.regConfig.firstRetryIntervalSec = 1
        account.natConfig.contactRewriteUse = 0
        account.natConfig.viaRewriteUse = 0
        account.natConfig.sipOutboundUse = 0
        account.natConfig.sdpNatRewriteUse = 0
        account.mediaConfig.transportConfig.port = o["rtp_first"]
        account.mediaConfig.transportConfig.portRange = o["rtp_count"]
        account.mediaConfig.transportConfig.boundAddress = o["address"]
        account.mediaConfig.srtpUse = pj.PJMEDIA_SRTP_MANDATORY if o["srtp"] else pj.PJMEDIA_SRTP_DISABLED
        account.mediaConfig.srtpSecureSignaling = 0
        account.callConfig.prackUse = pj.PJSUA_100REL_MANDATORY if o["prack"] else pj.PJSUA_100REL_NOT_USED
        account.callConfig.timerUse = pj.PJSUA_SIP_TIMER_ALWAYS if o["timer_s"] else pj.PJSUA_SIP_TIMER_INACTIVE
        if o["timer_s"]:
            account.callConfig.timerMinSESec = 90
            account.callConfig.timerSessExpiresSec = o["timer_s"]
        return account

    # --- what it is told ----------------------------------------------------------------------------------------------

    def do_dial(self, uri: str, headers: dict[str, str]) -> int:
        call = Call(self)
        prm = pj.CallOpParam(True)
        for name, value in headers.items():
            header = pj.SipHeader()
            header.hName, header.hValue = name, value
            prm.txOption.headers.append(header)
        call.makeCall(uri if uri.startswith("sip:") else f"sip:{uri}@{self.options['domain']}", prm)
        return call.number

    def do_text(self, uri: str, words: str, kind: str) -> None:
        config = pj.BuddyConfig()
        config.uri = uri if uri.startswith("sip:") else f"sip:{uri}@{self.options['domain']}"
        config.subscribe = False
        buddy = self.buddies.setdefault(config.uri, pj.Buddy())
        if not buddy.isValid():
            buddy.create(self.account, config)
        prm = pj.SendInstantMessageParam()
        prm.content, prm.contentType = words, kind
        buddy.sendInstantMessage(prm)

    def do_answer(self, call: int, code: int) -> float:
        prm = pj.CallOpParam()
        prm.statusCode = code
        at = time.monotonic()
        self.calls[call].answer(prm)
        return at

    def do_hang_up(self, call: int, code: int) -> None:
        prm = pj.CallOpParam()
        prm.statusCode = code
        self.calls[call].hangup(prm)

    def do_hang_up_all(self) -> None:
        self.endpoint.hangupAllCalls()

    def do_hold(self, call: int) -> None:
        self.calls[call].setHold(pj.CallOpParam())

    def do_resume(self, call: int) -> None:
        prm = pj.CallOpParam(True)
        prm.opt.flag |= pj.PJSUA_CALL_UNHOLD
        self.calls[call].reinvite(prm)

    def do_reinvite(self, call: int) -> None:
        self.calls[call].reinvite(pj.CallOpParam(True))

    def do_update(self, call: int) -> None:
        self.calls[call].update(pj.CallOpParam(True))

    def do_press(self, call: int, digits: str, info: bool) -> None:
        if not info:
            self.calls[call].dialDtmf(digits)
            return
        prm = pj.CallSendDtmfParam()
        prm.digits, prm.method = digits, pj.PJSUA_DTMF_METHOD_SIP_INFO
        self.calls[call].sendDtmf(prm)

    def do_refer(self, call: int, uri: str) -> None:
        target = uri if uri.startswith("sip:") else f"sip:{uri}@{self.options['domain']}"
        self.calls[call].xfer(target, pj.CallOpParam())

    def do_refer_to_call(self, call: int, other: int) -> None:
        self.calls[call].xferReplaces(self.calls[other], pj.CallOpParam())

    def do_dump(self, call: int) -> str:
        return str(self.calls[call].dump(True, ""))

    def do_info(self, call: int) -> dict[str, Any]:
        info = self.calls[call].getInfo()
        return {"peer": info.remoteUri, "state": int(info.state), "call_id": info.callIdString}

    def do_unregister(self) -> None:
        self.account.setRegistration(False)

    # --- loop ---------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        buffer = b""
        while True:
            self.endpoint.libHandleEvents(20)
            self.gone.clear()
            ready, _, _ = select.select([0], [], [], 0)
            if not ready:
                continue
            data = os.read(0, 65536)
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                if not self._obey(json.loads(line)):
                    return

    def _obey(self, order: dict[str, Any]) -> bool:
        number, what = order.pop("id"), order.pop("do")
        if what == "quit":
            self.endpoint.hangupAllCalls()
            for _ in range(15):
                self.endpoint.libHandleEvents(20)
            return False
        try:
            say(answer=number, value=getattr(self, f"do_{what}")(**order))
        except (pj.Error, KeyError, ValueError) as error:
            say(answer=number, error=getattr(error, "reason", "") or repr(error))
        return True


if __name__ == "__main__":
    Desk(json.loads(sys.argv[1])).run()
    os._exit(0)  # pjlib ends badly where Python's objects outlive it
