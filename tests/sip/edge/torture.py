"""The messages of RFC 4475 section 3, written down from it: what a SIP parser may meet, valid or not.

`{host}` is replaced by our domain and `{n}` by something new each time, so that no message is a repetition of the last.
What the document writes as <hex> is bytes here. Bodies that say nothing are shortened.
"""

# ruff: noqa: E501 - messages as they are sent

from __future__ import annotations

from tests.sip.edge.conftest import DOMAIN

SDP = "v=0\no=mhandley 29739 7272939 IN IP4 192.0.2.3\ns=-\nc=IN IP4 192.0.2.4\nt=0 0\nm=audio 49217 RTP/AVP 0 12\n"


def plain(
    method: str = "OPTIONS",
    uri: str = "sip:user@{host}",
    *,
    via: str = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{n}",
    to: str = "sip:user@{host}",
    sender: str = "<sip:caller@example.net>;tag=323",
    cseq: str = "",
    length: str = "",
    more: str = "",
    body: str = "",
    version: str = "SIP/2.0",
) -> str:
    """A sound request, but for what is bent."""
    return (
        f"{method} {uri} {version}\nVia: {via}\nMax-Forwards: 70\nFrom: {sender}\nTo: {to}\nCall-ID: {{n}}.torture\n"
        f"CSeq: {cseq or f'8 {method}'}\nContact: <sip:caller@host5.example.net>\n{more}"
        f"Content-Length: {length or len(body.replace(chr(10), chr(13) + chr(10)))}\n\n{body}"
    )


def reply(status: str, **bent: str) -> str:
    lines = plain("INVITE", **bent).split("\n", 1)[1]  # type: ignore[arg-type]
    return f"SIP/2.0 {status}\n{lines}"


INVITE = {"more": "Content-Type: application/sdp\n", "body": SDP}

WSINV = (
    """INVITE sip:vivekg@{host};unknownparam SIP/2.0
TO :
 sip:vivekg@{host} ;   tag    = 1918181833n
from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.{n}
Content-Length   : 150
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw{n}
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33

"""
    + SDP
)

INTMETH = (
    "!interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:"
    "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@{host} SIP/2.0\nVia: SIP/2.0/TCP host1.example.com;branch=z9hG4bK-.!%66*_+`'~{n}\n"
    'To: "BEL:\\\x07 NUL:\\\x00 DEL:\\\x7f" <sip:1_unusual.URI~(to-be!sure)&isn\'t+it$/crazy?,/;;*@example.com>\n'
    "From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%=\"работающий\";tag=_token~1'+`*%!-.\n"
    "Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}}{{{n}\nCSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~\n"
    "Max-Forwards: 255\nextensionHeader-!.%*+_`'~:﻿大停電\nContent-Length: 0\n\n"
)

LONGREQ = plain(
    "INVITE", "sip:user@{host}", to=f'"I have a user name of {"extreme " * 10}proportion"<sip:user@{{host}}:6000;unknownparam1='
    f'very{"long" * 20}value;longparam{"name" * 25}=shortvalue;very{"long" * 25}ParameterNameWithNoValue>',
    sender=f"sip:{'amazinglylongcallername' * 5}@example.net;tag=12{'982' * 50}424;unknownheaderparam{'name' * 20}="
    f"unknowheaderparam{'value' * 15};unknownValueless{'paramname' * 10}",
    via="SIP/2.0/TCP sip33.example.com\n" + "".join(f"v: SIP/2.0/TCP sip{n}.example.com\n" for n in range(32, 0, -1))
    + f"Via: SIP/2.0/TCP host.example.com;received=192.0.2.5;branch=very{'long' * 50}branchvalue{{n}}",
    more=f"Unknown-{'Long' * 20}-Name: unknown-{'long' * 20}-value\nContent-Type: application/sdp\n", body=SDP,
)  # fmt: skip

MULTIPART = (
    'MIME-Version: 1.0\nContent-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha1; '
    "boundary=7a9cbec02ceef655\nContent-Transfer-Encoding: binary\n"
)

TORTURE: dict[str, str] = {
    # 3.1.1 valid
    "3.1.1.1 wsinv, a short tortuous INVITE": WSINV,
    "3.1.1.2 intmeth, wide range of valid characters": INTMETH,
    "3.1.1.3 esc01, valid use of % escaping": plain("INVITE", "sip:sips%3Auser%40example.com@{host}",
        to="sip:%75se%72@{host}", sender="<sip:I%20have%20spaces@example.net>;tag=938", **INVITE),
    "3.1.1.4 escnull, escaped nulls in URIs": plain("REGISTER", "sip:{host}", to="sip:null-%00-null@{host}",
        sender="sip:null-%00-null@{host};tag=839923423",
        more="Contact: <sip:%00@host5.example.com>\nContact: <sip:%00%00@host5.example.com>\nL:0\n"),
    "3.1.1.5 esc02, % when it is no escape": plain("RE%47IST%45R", "sip:registrar.{host}",
        to='"%Z%45" <sip:resource@{host}>', sender='"%Z%45" <sip:resource@{host}>;tag=f232jadfj23',
        more='Contact: <sip:alias1@host1.example.com>\nContact: <sip:alias3@host3.example.com>\n'),
    "3.1.1.6 lwsdisp, no LWS between display name and <": plain(sender="caller<sip:caller@example.com>;tag=323"),
    "3.1.1.7 longreq, long values in header fields": LONGREQ,
    "3.1.1.8 dblreq, extra trailing octets in a datagram": plain("REGISTER", "sip:{host}", to="sip:j.user@{host}")
        + plain("INVITE", "sip:joe@{host}", **INVITE),
    "3.1.1.9 semiuri, semicolon-separated parameters in the user part": plain(uri="sip:user;par=u%40example.net@{host}",
        to="sip:j_user@{host}"),
    "3.1.1.10 transports, varied and unknown transports": plain(via="SIP/2.0/UDP t1.example.com;branch=z9hG4bKk{n}\n"
        "Via: SIP/2.0/SCTP t2.example.com;branch=z9hG4bKklasjdhf\nVia: SIP/2.0/TLS t3.example.com;branch=z9hG4bK2980unddj\n"
        "Via: SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en\nVia: SIP/2.0/TCP t5.example.com;branch=z9hG4bK0a9idfnee"),
    "3.1.1.11 mpart01, multipart MIME message": plain("MESSAGE", more=MULTIPART, body="--7a9cbec02ceef655\n"
        "Content-Type: text/plain\nContent-Transfer-Encoding: binary\n\nHello\n--7a9cbec02ceef655\n"
        "Content-Type: application/octet-stream\nContent-Transfer-Encoding: binary\n\n0\x82\x01R\x06\t*\x86\x00\n--7a9cbec02ceef655--\n"),
    "3.1.1.12 unreason, unusual reason phrase": reply("200 = 2**3 * 5**2 но сто девяносто девять - простое"),
    "3.1.1.13 noreason, empty reason phrase": reply("100 "),
    # 3.1.2 invalid
    "3.1.2.1 badinv01, extraneous header field separators": plain("INVITE", **INVITE).replace(
        "Contact: <", 'Contact: "Joe" <').replace("From: ", "From: ").replace("@example.net>;tag=323", "@example.net>;;,;,,;tag=3"),
    "3.1.2.2 clerr, Content-Length larger than the message": plain("INVITE", length="9999", **INVITE),
    "3.1.2.3 ncl, negative Content-Length": plain("INVITE", length="-999", **INVITE),
    "3.1.2.4 scalar02, request scalars with overlarge values": plain("REGISTER", "sip:{host}",
        cseq="36893488147419103232 REGISTER", more="Max-Forwards: 300\nExpires: " + "1" + "0" * 99 + "\n"),
    "3.1.2.5 scalarlg, response scalars with overlarge values": reply("503 Service Unavailable",
        cseq="9292394834772304023312 OPTIONS", more="Retry-After: 949302838503028349304023988\nWarning: 1812 overture\n"),
    "3.1.2.6 quotbal, unterminated quoted string": plain("INVITE", to='"Mr. J. User <sip:j.user@{host}>', **INVITE),
    "3.1.2.7 ltgtruri, <> enclosing the Request-URI": plain("INVITE", "<sip:user@{host}>", **INVITE),
    "3.1.2.8 lwsruri, LWS within the Request-URI": plain("INVITE", "sip:user@{host}; lr", **INVITE),
    "3.1.2.9 lwsstart, multiple SP in the start line": plain("INVITE", "sip:user@{host}  ", **INVITE).replace(" sip", "  sip", 1),
    "3.1.2.10 trws, SP at the end of the start line": plain(version="SIP/2.0  "),
    "3.1.2.11 escruri, escaped headers in the Request-URI": plain("INVITE", "sip:user@{host}?Route=%3Csip:example.com%3E", **INVITE),
    "3.1.2.12 baddate, invalid time zone in Date": plain("INVITE", more="Date: Fri, 01 Jan 2010 16:00:00 EST\n"
        "Content-Type: application/sdp\n", body=SDP),
    "3.1.2.13 regbadct, name-addr without <> in Contact": plain("REGISTER", "sip:{host}",
        more="Contact: sip:user@example.com?Route=%3Csip:sip.example.com%3E\n"),
    "3.1.2.14 badaspec, spaces within an addr-spec": plain(to='"Watson, Thomas" < sip:t.watson@{host} >'),
    "3.1.2.15 baddn, non-token characters in a display name": plain(sender="Bell, Alexander <sip:a.g.bell@example.com>;tag=43"),
    "3.1.2.16 badvers, unknown protocol version": plain(version="SIP/7.0", via="SIP/7.0/UDP c.example.com;branch=z9hG4bK{n}"),
    "3.1.2.17 mismatch01, start line and CSeq method differ": plain(cseq="8 NOTIFY"),
    "3.1.2.18 mismatch02, unknown method with CSeq mismatch": plain("NEWMETHOD", cseq="8 INVITE"),
    "3.1.2.19 bigcode, overlarge response code": reply("4294967301 better not break the receiver"),
    # 3.2 transaction layer
    "3.2.1 badbranch, missing transaction identifier": plain(via="SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK"),
    # 3.3 application layer
    "3.3.1 insuf, missing required header fields": "INVITE sip:user@{host} SIP/2.0\nCSeq: 193942 INVITE\n"
        "Via: SIP/2.0/UDP 192.0.2.95;branch=z9hG4bK{n}\nContent-Type: application/sdp\nl: 0\n\n",
    "3.3.2 unkscm, Request-URI with an unknown scheme": plain(uri="nobodyKnowsThisScheme:totallyopaquecontent"),
    "3.3.3 novelsc, Request-URI with a known but atypical scheme": plain(uri="soap.beep://192.0.2.103:3002"),
    "3.3.4 unksm2, unknown schemes in header fields": plain("REGISTER", "sip:{host}", to="isbn:2983792873",
        sender="<http://www.example.com>;tag=3234233", more="Contact: <name:John_Smith>\n"),
    "3.3.5 bext01, Proxy-Require and Require": plain(more="Require: nothingSupportsThis, nothingSupportsThisEither\n"
        "Proxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis\n"),
    "3.3.6 invut, unknown Content-Type": plain("INVITE", more="Content-Type: application/unknownformat\n", body="<audio>\n"),
    "3.3.7 regaut01, unknown authorization scheme": plain("REGISTER", "sip:{host}",
        more="Authorization: NoOneKnowsThisScheme opaque-data=here\n"),
    "3.3.8 multi01, multiple values in single-value fields": plain("INVITE", cseq="5 INVITE\nCSeq: 59 INVITE", **INVITE)
        .replace("Call-ID:", "Call-ID: {n}.multi01a\nCall-ID:").replace("From:", "From: sip:x@example.net;tag=3413415\nFrom:")
        .replace("Max-Forwards: 70", "Max-Forwards: 70\nMax-Forwards: 5"),
    "3.3.9 mcl01, multiple Content-Length values": plain(length="13\nContent-Length: 5", body="There's no way to know how many\n"),
    "3.3.10 bcast, 200 response with broadcast Via": reply("200 OK", via="SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1\n"
        "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK{n}"),
    "3.3.11 zeromf, Max-Forwards of zero": plain().replace("Max-Forwards: 70", "Max-Forwards: 0"),
    "3.3.12 cparam01, REGISTER with a contact header parameter": plain("REGISTER", "sip:{host}",
        more="Contact: sip:+19725552222@gw1.example.net;unknownparam\n"),
    "3.3.13 cparam02, REGISTER with a url parameter": plain("REGISTER", "sip:{host}",
        more="Contact: <sip:+19725552222@gw1.example.net;unknownparam>\n"),
    "3.3.14 regescrt, REGISTER with an url escaped header": plain("REGISTER", "sip:{host}",
        more="Contact: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>\n"),
    "3.3.15 sdp01, unacceptable Accept offering": plain("INVITE", more="Accept: text/nobodyKnowsThis\n"
        "Content-Type: application/sdp\n", body=SDP),
    # 3.4 backward compatibility
    "3.4.1 inv2543, INVITE with RFC 2543 syntax": "INVITE sip:UserB@{host} SIP/2.0\nVia: SIP/2.0/UDP iftgw.example.com\n"
        "From: <sip:+13035551111@ift.client.example.net;user=phone>\nRecord-Route: <sip:UserB@example.com;maddr=ss1.example.com>\n"
        "To: sip:+16505552222@{host};user=phone\nCall-ID: inv2543.{n}\nCSeq: 56 INVITE\nContent-Type: application/sdp\n\n" + SDP,
}  # fmt: skip


def message(name: str, number: int) -> bytes:
    """One of them, as new."""
    text = TORTURE[name].replace("{host}", DOMAIN).replace("{n}", f"{number}x{abs(hash(name)) % 10**6}")
    return text.replace("{{", "{").replace("}}", "}").replace("\n", "\r\n").encode()
