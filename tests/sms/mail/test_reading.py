"""From the bytes of a mail to an order: what mail programs really send, and what must not become a text."""

from __future__ import annotations

import email.mime.text
import email.policy
from dataclasses import replace
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sms.mail.answers import Ignored, Order, Rejection
from sms.mail.reading import Bounds, HandedIn, bare_ends, read
from sms.mail.recipients import number_of

ENVELOPE = HandedIn("login-1", "alice@company.example", ("+33612345678",))
BOUNDS = Bounds(3, lambda text: 1 + len(text) // 161)
HEAD = b"From: Alice <alice@company.example>\r\nSubject: pin 1234\r\nMessage-ID: <1@company.example>\r\n"


def mail(body: bytes, *headers: bytes, head: bytes = HEAD) -> bytes:
    return head + b"".join(line + b"\r\n" for line in headers) + b"\r\n" + body


def order(content: bytes, envelope: HandedIn = ENVELOPE) -> Order:
    made = read(content, envelope, BOUNDS)
    assert isinstance(made, Order), made
    return made


def refusal(content: bytes, envelope: HandedIn = ENVELOPE) -> Rejection:
    made = read(content, envelope, BOUNDS)
    assert isinstance(made, Rejection), made
    assert made.words.isascii() and "\n" not in made.words and len(made.line()) < 200
    return made


def many(*parts: tuple[str, bytes], kind: str = "mixed") -> bytes:
    inside = b"".join(b"--B\r\n" + head.encode() + b"\r\n\r\n" + body + b"\r\n" for head, body in parts)
    return mail(inside + b"--B--\r\n", f'Content-Type: multipart/{kind}; boundary="B"'.encode())


# --- what becomes a text ----------------------------------------------------------------------------------------------


def test_the_plain_words_and_who_ordered_them():
    made = order(mail(b"Your parcel is here.\r\n"))
    assert made == Order(
        "login-1", "alice@company.example", "alice@company.example", ("+33612345678",), "Your parcel is here.",
        "<1@company.example>", 1,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "encoding", "body"),
    [
        ("text/plain; charset=utf-8", "8bit", "Café à 8 €\r\n".encode()),
        ("text/plain; charset=UTF-8", "quoted-printable", b"Caf=C3=A9 =C3=\r\n=A0 8 =E2=82=AC\r\n"),
        ("text/plain; charset=utf-8", "base64", b"Q2Fmw6kgw6AgOCDi\r\ngqw=\r\n"),
        ("text/plain; charset=iso-8859-15", "8bit", "Café à 8 €\r\n".encode("iso-8859-15")),
        ("text/plain; charset=iso-8859-1", "8bit", "Café à 8 €\r\n".encode("cp1252")),
        ('text/plain; charset="windows-1252"', "QUOTED-PRINTABLE", b"Caf=E9 =E0 8 =80\r\n"),
        ("text/plain", "8bit", "Café à 8 €\r\n".encode()),
        ("TEXT/PLAIN; Charset=UTF-16", "base64", b"//5DAGEAZgDpACAA4AAgADgAIACsIA=="),
    ],
)
def test_every_usual_charset_and_encoding(kind: str, encoding: str, body: bytes):
    made = order(mail(body, f"Content-Type: {kind}".encode(), f"Content-Transfer-Encoding: {encoding}".encode()))
    assert made.text == "Café à 8 €"


def test_the_signature_and_blank_ends_are_left_out():
    assert order(mail(b"\r\nSee you at 8. \r\n\r\nBring it.\r\n-- \r\nAlice\r\nSales\r\n")).text == (
        "See you at 8.\n\nBring it."
    )
    assert order(mail(b"See you\r\n--\r\nAlice\r\n")).text == "See you"
    assert order(mail(b"a--\r\n -- \r\n---\r\n")).text == "a--\n --\n---"


def test_lines_that_flow_are_joined_again():
    flowed = b"This line was broken \r\nby the program.\r\n From here.\r\n-- \r\nAlice \r\nB\r\n"
    assert order(mail(flowed, b"Content-Type: text/plain; format=flowed")).text == (
        "This line was broken by the program.\nFrom here."
    )
    joined = order(
        mail(b"\xe6\xbc\xa2 \r\n\xe5\xad\x97\r\n", b"Content-Type: text/plain; charset=utf-8; format=flowed; DelSp=yes")
    )
    assert joined.text == "漢字"


def test_of_an_alternative_the_plain_words_are_taken():
    html = ("Content-Type: text/html", b"<b>Hello</b>")
    plain = ("Content-Type: text/plain", b"Hello")
    assert order(many(plain, html, kind="alternative")).text == "Hello"
    logo = ("Content-Type: image/png; name=logo.png\r\nContent-Disposition: inline; filename=logo.png", b"x")
    page = b"--C\r\nContent-Type: text/html\r\n\r\n<b>Hello</b>\r\n--C\r\n" + logo[0].encode() + b"\r\n\r\nx\r\n--C--"
    related = ('Content-Type: multipart/related; boundary="C"', page)
    assert order(many(plain, related, kind="alternative")).text == "Hello", "a logo of a page is no attachment"
    signed = ("Content-Type: application/pgp-signature; name=signature.asc", b"-----BEGIN PGP SIGNATURE-----")
    assert order(many(plain, signed, kind="signed")).text == "Hello"


def test_what_pythons_own_library_writes_is_read():
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"], message["Message-ID"] = "alice@company.example", "<2@company.example>"
    message.set_content("Rendez-vous à 8 h, chère cliente. " * 4)
    message.add_alternative("<p>Rendez-vous</p>", subtype="html")
    assert order(message.as_bytes()).text == ("Rendez-vous à 8 h, chère cliente. " * 4).strip()


def test_no_header_is_ever_part_of_the_text():
    made = order(mail(b"Hello\r\n", b"To: Bob <+33600000000@sms.company.example>", b"Bcc: hidden@company.example"))
    assert made.text == "Hello" and made.recipients == ("+33612345678",)
    assert "1234" not in made.text, "a Subject is no place for what counts"


@pytest.mark.promise("1.7")
def test_several_recipients_are_each_there_once():
    envelope = replace(ENVELOPE, recipients=("+33612345678", "+33600000000", "+33612345678"))
    assert order(mail(b"Hello\r\n"), envelope).recipients == ("+33612345678", "+33600000000")


def test_the_same_mail_by_the_same_login_to_the_same_number_has_the_same_key():
    one, again = order(mail(b"Hello\r\n")), order(mail(b"Hello, edited\r\n"))
    number = "+33612345678"
    assert one.key(number) == again.key(number)
    others = {
        one.key(number),
        one.key("+33600000000"),
        replace(one, sender_id="login-2").key(number),
        replace(one, message_id="<2@company.example>").key(number),
        replace(one, sender_id="login-1<", message_id="1@company.example>").key(number),
    }
    assert len(others) == 5
    assert "612345678" not in one.key(number)


def test_neither_text_nor_number_is_in_what_a_traceback_would_print():
    shown = repr(order(mail(b"Your parcel is here.\r\n"))) + repr(ENVELOPE)
    assert not any(word in shown for word in ("parcel", "612345678", "alice"))


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (mail(b"<b>Hello</b>", b"Content-Type: text/html"), "5.6.1"),
        (many(("Content-Type: text/html", b"<b>x</b>"), kind="alternative"), "5.6.1"),
        (mail(b""), "5.6.0"),
        (mail(b" \r\n\r\n-- \r\nAlice\r\n"), "5.6.0"),
        (mail(b"aGVsbG8\r\n", b"Content-Transfer-Encoding: base64"), "5.6.0"),
        (mail(b"begin 644 x\r\n", b"Content-Transfer-Encoding: x-uuencode"), "5.6.1"),
        (mail(b"+AGE-", b"Content-Type: text/plain; charset=utf-7"), "5.6.1"),
        (mail(b"uryyb", b"Content-Type: text/plain; charset=rot13"), "5.6.1"),
        (mail(b"x", b"Content-Type: text/plain; charset=none-of-them"), "5.6.1"),
        (mail(b"\xff\xfe", b"Content-Type: text/plain; charset=utf-8"), "5.6.0"),
        (mail(b"caf\xe9", b"Content-Type: text/plain; charset=us-ascii"), "5.6.0"),
        (many(("Content-Type: text/plain", b"Hi"), ("Content-Type: application/pdf", b"%PDF")), "5.6.1"),
        (many(("Content-Type: text/plain", b"Hi"), ("Content-Type: image/jpeg", b"x")), "5.6.1"),
        (many(("Content-Type: text/plain", b"Hi"), ("Content-Type: message/rfc822", b"Subject: x\r\n\r\nx")), "5.6.1"),
        (many(("Content-Type: text/plain\r\nContent-Disposition: attachment; filename=a.txt", b"Hi")), "5.6.1"),
        (many(*[("Content-Type: text/plain", b"Hi")] * 60), "5.6.0"),
        (mail(b"x" * 1000), "5.3.4"),
        (mail(b"x", head=b"From: a@b.example\r\n"), "5.6.0"),
        (mail(b"x", b"Message-ID: <2@company.example>"), "5.6.0"),
        (mail(b"x", b"From: other@company.example"), "5.6.0"),
        (mail(b"x", *[b"Received: from a by b"] * 30), "5.4.6"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_text_is_refused_with_what_to_do(content: bytes, status: str):
    refused = refusal(content)
    assert (refused.status, refused.permanent) == (status, True)


def test_too_long_says_how_long():
    assert "7 segments, and 3 may be sent" in refusal(mail(b"x" * 1000)).words


@pytest.mark.parametrize(
    "line",
    [b"Auto-Submitted: auto-replied", b"Auto-Submitted: (no) no",
     b"Auto-Submitted: auto-generated; x=y", b"List-Id: <a.b>", b"Precedence: Bulk",
     b"X-Autoreply: yes", b"List-Unsubscribe: <mailto:x@y>", b"Return-Path: <>", b"X-Loop: a@b"],
)  # fmt: skip
def test_what_a_machine_wrote_is_answered_to_nobody(line: bytes):
    """RFC 3834: by a relay a refusal would become a mail to whoever was answered by a machine."""
    content = mail(b"I am away until Monday.\r\n", line)
    assert isinstance(read(content, replace(ENVELOPE, relayed=True), BOUNDS), Ignored)
    assert refusal(content).status == "5.7.1", "who hands in a mail of their own hears of it"
    assert isinstance(read(mail(b"x"), replace(ENVELOPE, mail_from="<>", relayed=True), BOUNDS), Ignored)


def test_a_programs_login_may_say_that_nobody_typed_it():
    program = replace(ENVELOPE, automatic=True)
    assert order(mail(b"disk full", b"Auto-Submitted: auto-generated"), program).text == "disk full"
    assert refusal(mail(b"away", b"Auto-Submitted: auto-replied"), program).status == "5.7.1"
    assert order(mail(b"x", b"Auto-Submitted: No (typed)")).text == "x"


# --- smuggling, and what nobody would write ---------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\n.\n", b"\r.\r", b"\r\n.\n", b"\n.\r\n", b"\r\r\n", b"\n\r\n"])
def test_a_line_end_that_is_no_line_end_is_refused(end: bytes):
    assert refusal(mail(b"Hello" + end + b"MAIL FROM:<x@y>")).status == "5.6.0"
    assert bare_ends(end) and not bare_ends(b"a\r\nb\r\n")


@given(st.binary(max_size=400))
def test_no_bytes_raise(content: bytes):
    assert isinstance(read(content, ENVELOPE, BOUNDS), Order | Rejection | Ignored)


_HEADERS = st.sampled_from([
    "Content-Type: ", "Content-Type: multipart/mixed; boundary=", "Content-Transfer-Encoding: ", "From: ",
    "Content-Disposition: ", "Message-ID: ", "Auto-Submitted: ", "Content-Type: text/plain; charset*=",
    "Content-Disposition: attachment; filename*0*=", "--B", "Content-Type: message/rfc822",
])  # fmt: skip


@given(st.lists(st.tuples(_HEADERS, st.text(max_size=30)), max_size=8), st.text(max_size=60))
def test_no_headers_raise(lines: list[tuple[str, str]], body: str):
    head = "".join(f"{name}{value}\r\n" for name, value in lines).replace("\r\n\r\n", "\r\n")
    content = f"{head}\r\n{body}".encode(errors="surrogatepass")
    made = read(content, ENVELOPE, BOUNDS)
    if isinstance(made, Order):
        assert made.text.strip() and "\r" not in made.text and "\x00" not in made.text


def test_a_mail_of_a_thousand_boxes_in_boxes_ends():
    depth = 900
    head = b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (i, i) for i in range(depth))
    assert refusal(b"Message-ID: <a@b>\r\n" + head + b"\r\nx\r\n").permanent


# --- whom it is for ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("+33612345678@sms.company.example", "+33612345678"),
        ("+33612345678@SMS.Company.Example.", "+33612345678"),
        ("0612345678@sms.company.example", "0612345678"),
        ('"+33 6 12.34-56(78)"@sms.company.example', "+33612345678"),
        ("36105@sms.company.example", "36105"),
    ],
)
def test_a_number_before_the_at(address: str, number: str):
    assert number_of(address, "sms.company.example") == number


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("bob@sms.company.example", "5.1.3"),
        ("+@sms.company.example", "5.1.3"),
        ("+33612345678901234@sms.company.example", "5.1.3"),
        ("٠٦١٢٣٤٥٦٧٨@sms.company.example", "5.1.3"),
        ("+33612345678@company.example", "5.7.1"),
        ("+33612345678@evil.sms.company.example", "5.7.1"),
        ("+33612345678%other@sms.company.example", "5.1.3"),
        ("+33612345678", "5.7.1"),
    ],
)
def test_what_is_no_number_and_what_is_for_others(address: str, status: str):
    made = number_of(address, "sms.company.example")
    assert isinstance(made, Rejection) and made.status == status and "336" not in made.words.replace("+33612345678", "")


def test_an_answer_is_one_line_whatever_its_words_are():
    line = Rejection(550, "5.7.1", "no consent\r\n250 taken\u2028for Hélène").line()
    assert line == "550 5.7.1 no consent 250 taken for H?l?ne"
    assert len(Rejection(550, "5.7.1", "x" * 5000).line()) == 500


def test_the_bounds_of_a_text():
    with pytest.raises(ValueError, match="1 to 255"):
        Bounds(0, len)
