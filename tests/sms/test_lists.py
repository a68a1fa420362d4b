"""Lists as companies have them, and files that want to harm."""

from __future__ import annotations

import contextlib
import io
import random
import time
import zipfile
from collections.abc import Sequence
from datetime import date

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sms import lists
from sms.lists import ListError, read, read_numbers

ROWS = [
    ["Prénom", "Numéro de téléphone", "Montant"],
    ["Zoé", "06 12 34 56 78", "12,50 €"],
    ["Łukasz", "+33700000001", ""],
]


def as_csv(rows: Sequence[Sequence[str]], separator: str = ";", end: str = "\r\n") -> str:
    return "".join(separator.join(row) + end for row in rows)


def as_xlsx(rows: Sequence[Sequence[object]]) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(list(row))
    book.save(made := io.BytesIO())
    return made.getvalue()


@pytest.mark.promise("P22")
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_every_dialect_and_alphabet(encoding: str, separator: str) -> None:
    rows = [[cell.replace("Ł", "L") for cell in row] for row in ROWS]
    found = read(as_csv(rows, separator).encode(encoding))
    assert (found.number_column, found.columns, found.errors) == ("Numéro de téléphone", ("Prénom", "Montant"), ())
    assert [(e.line, e.number) for e in found.entries] == [(2, "06 12 34 56 78"), (3, "+33700000001")]
    assert found.entries[0].fields == {"Prénom": "Zoé", "Montant": "12,50 €"}


def test_commas_quotes_and_lines_within_cells() -> None:
    text = 'sep=,\nname,mobile\n"Dupont, ""Jo""",0612345678\n"two\nlines",0612345679\n\nlast,0612345670\n'
    found = read(text.encode())
    assert [(e.line, e.fields["name"]) for e in found.entries] == [
        (3, 'Dupont, "Jo"'), (4, "two lines"), (7, "last"),
    ]  # fmt: skip


@pytest.mark.promise("P22")
def test_a_spreadsheet() -> None:
    rows: list[list[object]] = [
        ["Nom", "Portable", "Échéance", "Prix"],
        ["Zoé", 612345678, date(2026, 12, 1), 12.5],
        ["Jo", 612345679.0, None, "=1+1"],
        [None, None, None, None],
        ["Al", "+33 6 12 34 56 70", None, True],
    ]
    found = read(as_xlsx(rows))
    assert [(e.line, e.number) for e in found.entries] == [(2, "612345678"), (3, "612345679"), (5, "+33 6 12 34 56 70")]
    assert found.entries[0].fields == {"Nom": "Zoé", "Échéance": "01/12/2026", "Prix": "12.5"}
    assert found.entries[1].fields["Prix"] == ""  # a formula is never evaluated


@pytest.mark.parametrize(
    ("heading", "number"),
    [
        ("nom;tel", "tel"), ("Name;Phone number", "Phone number"), ("N° de téléphone;x", "N° de téléphone"),
        ("Téléphone;Mobile", "Mobile"), ("GSM;Tel", "GSM"), ("id;Numéro", "Numéro"),
    ],
)  # fmt: skip
def test_the_column_is_found_by_its_name(heading: str, number: str) -> None:
    assert read(f"{heading}\n1;2\n".encode()).number_column == number


def test_a_bare_column_of_numbers_and_a_column_that_is_named() -> None:
    assert [e.line for e in read(b"0612345678\n0612345679\n").entries] == [1, 2]
    found = read(b"a;b\n0612345678;x\n", column="A")
    assert (found.number_column, found.columns) == ("a", ("b",))


@pytest.mark.parametrize(
    "raw",
    [
        "Numéro;x\n0612345678;a\n\n# 0612345670\n;b\n".encode(name)
        for name in ("utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be")
    ],
)
def test_numbers_one_a_line_or_in_a_column_whatever_the_alphabet(raw: bytes) -> None:
    assert read_numbers(raw) == [(2, "0612345678"), (5, "")]
    assert read_numbers(raw, column=2) == [(2, "a"), (5, "b")]
    assert read_numbers(raw, column=3) == [(2, ""), (5, "")]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "no lines"),
        (b"Number\n# none\n", "no lines"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "no text"),
        (b"PK\x03\x04rest", "spreadsheet"),
        (b"1\n2," + b"x" * 200_000, "no CSV"),
        (b"1\n2\n3\n4\n", "more than 3 lines"),
    ],
)
def test_files_that_hold_no_numbers_say_what_to_do(raw: bytes, said: str) -> None:
    with pytest.raises(ListError, match=said) as refused:
        read_numbers(raw, most_rows=3)
    assert refused.value.remedy
    assert len(read_numbers(b"1\n2\n3\n", most_rows=3)) == 3


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_the_bytes_numbers_or_an_error(raw: bytes) -> None:
    with contextlib.suppress(ListError):
        assert all(line >= 1 and len(cell) <= 40 for line, cell in read_numbers(raw))


def test_what_is_wrong_is_said_by_line() -> None:
    found = read(("name;mobile\nZoé;\nJo;0612345678;more\nAl;0612345679\n" + "x" * 1001 + ";0612345670\n").encode())
    assert [(e.line, e.column, e.problem) for e in found.errors] == [
        (2, "mobile", "the number is missing"), (3, "", "more cells than columns"),
        (5, "name", "more than 1000 characters"),
    ]  # fmt: skip
    assert all(e.remedy for e in found.errors) and [e.line for e in found.entries] == [4]


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"name;city\nx;y\n", "no column"),
        (b"mobile;Mobile\n1;2\n", "same name"),
        (b"Zoe;0612345678\n", "does not name"),
        (b"\x00\x01\x02", "no text"),
        (b"a;b\n1;2\n" + b"\xff\x00\xfe" * 3, "no text"),
        (b"PK\x03\x04broken", "damaged"),
        (b"mobile\n" + b";".join([b"x"] * 200), "columns"),
    ],
)
def test_files_that_are_no_lists(raw: bytes, said: str) -> None:
    with pytest.raises(ListError, match=said) as refused:
        read(raw)
    assert refused.value.remedy


def zipped(**entries: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "/").replace("_xml", ".xml"), content)
    return made.getvalue()


def test_bombs_are_not_unpacked() -> None:
    with pytest.raises(ListError, match="larger than"):
        read(zipped(xl__workbook_xml=b"<x/>", xl__sheet_xml=bytes(lists.MOST_UNPACKED + 1)))
    with pytest.raises(ListError, match="no XLSX"):
        read(zipped(readme=b"hello"))
    entities = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">' + b"".join(
        b'<!ENTITY %c "%s">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(20)
    )
    with pytest.raises(ListError, match="cannot be read"):
        read(zipped(xl__workbook_xml=entities + b"]><x>&u;</x>"))
    raw = as_xlsx(ROWS)
    shaken = random.Random(1)  # noqa: S311
    for _ in range(150):
        broken = bytearray(raw)
        for _ in range(5):
            broken[shaken.randrange(4, len(broken))] = shaken.randrange(256)
        with contextlib.suppress(ListError):
            read(bytes(broken))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400) | st.text(max_size=300).map(str.encode))
def test_whatever_the_bytes_a_list_or_an_error(raw: bytes) -> None:
    try:
        found = read(raw)
    except ListError as refused:
        assert refused.what and refused.remedy
    else:
        assert all(entry.number for entry in found.entries)


def test_a_hundred_thousand_lines() -> None:
    raw = ("mobile;name\n" + "".join(f"06{n:08d};Zoé {n}\n" for n in range(100_000))).encode()
    before = time.process_time()
    assert len(read(raw).entries) == 100_000
    assert time.process_time() - before < 20
