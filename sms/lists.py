"""Lists of recipients as companies have them: CSV of any dialect and alphabet, and XLSX. What is wrong is said by line.

Nothing in a file is ever evaluated: of a formula the value counts that the spreadsheet has stored. Pure but for memory:
bytes in, rows out. A file is bounded before it is unpacked.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import islice

MOST_BYTES = 64 << 20
MOST_UNPACKED = 256 << 20  # of an XLSX file
MOST_ENTRIES = 1000
MOST_ROWS = 500_000
MOST_COLUMNS = 100
MOST_CELLS = MOST_ROWS * MOST_COLUMNS
MOST_CHARS = 1000  # of a cell
_SEPARATORS = (";", ",", "\t", "|")
# What the column with the number is called, the most telling first.
_NUMBER_NAMES = (  # noqa: SIM905 - a list of quoted words reads worse
    "mobile portable gsm msisdn telmobile telportable telephonemobile telephoneportable numeromobile numeroportable"
    " numerodemobile numerodeportable mobilenumber mobilephone cell cellphone cellnumber numerodetelephone"
    " numerotelephone nodetelephone notelephone telephone tel phonenumber phone numero number destinataire recipient"
).split()
MISSING = ("the number is missing", "Fill it in, or take the line out")
_ONE_A_LINE = "Send one number a line, or CSV"
_DIGITS = re.compile(r"[+0-9][0-9 .\-/()]{5,24}")


class ListError(ValueError):
    """The file as a whole cannot be used. `remedy`: what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class LineError:
    """A line that cannot be used. Never holds what stands there."""

    line: int
    column: str
    problem: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One line: `number` as it is written."""

    line: int
    number: str = field(repr=False)
    fields: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Sheet:
    """`columns`: names of the fields, in order, without the number's."""

    number_column: str
    columns: tuple[str, ...]
    entries: tuple[Entry, ...]
    errors: tuple[LineError, ...]


def read(raw: bytes, *, column: str | None = None, most_rows: int = MOST_ROWS, most_cells: int = MOST_CELLS) -> Sheet:
    """`column`: the one with the number, where its name does not tell. `most_cells`: a line has one in each column,
    whatever stands there. Raises ListError."""
    if len(raw) > MOST_BYTES:
        raise ListError(f"the file is larger than {MOST_BYTES >> 20} MB", "Divide it, and make a campaign of each part")
    rows = _xlsx(raw) if raw[:4] == b"PK\x03\x04" else _csv(raw)
    first = next(rows, None)
    if first is None:
        raise ListError("the file is empty", "Export it again")
    heading = [unicodedata.normalize("NFC", cell).strip() for cell in first[1]]
    if not any(heading):
        raise ListError("the first line is empty", "Put the names of the columns into the first line")
    if any(_DIGITS.fullmatch(cell) for cell in heading):
        if len(heading) > 1:
            raise ListError("the first line does not name the columns", "Put their names above the list: Mobile;Name")
        return _sheet(["number"], 0, _chained(first, rows), most_rows, most_cells)
    at = _number_column(heading, column)
    return _sheet(heading, at, rows, most_rows, most_cells)


def read_numbers(raw: bytes, *, column: int = 1, most_rows: int | None = None) -> list[tuple[int, str]]:
    """Line and what stands there, of a file with one number a line, or a column of CSV. A first line without any digit
    is a heading; empty lines and those that begin with # are left out. Raises ListError."""
    if raw[:4] == b"PK\x03\x04":
        raise ListError("this is a spreadsheet and no CSV", "Save it as CSV, and send that")
    try:
        text = _text(raw)
    except ListError as error:
        raise ListError(error.what, _ONE_A_LINE) from None
    try:
        found = list(islice(_numbers(text, column), None if most_rows is None else most_rows + 1))
    except csv.Error:
        raise ListError("the file is no CSV", _ONE_A_LINE) from None
    if not found:
        raise ListError("the list has no lines", "Export it again")
    if most_rows is not None and len(found) > most_rows:
        raise ListError(f"the list has more than {most_rows} lines", "Divide it")
    return found


def _numbers(text: str, column: int) -> Iterator[tuple[int, str]]:
    lines = text.splitlines()
    separator = ";" if lines and ";" in lines[0] else "\t" if lines and "\t" in lines[0] else ","
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        cells = next(csv.reader([line], delimiter=separator), [])
        cell = cells[column - 1].strip() if 0 < column <= len(cells) else ""
        if number == 1 and not any(char.isdigit() for char in cell):
            continue
        yield number, cell[:40]


def _chained(first: tuple[int, list[str]], rest: Iterator[tuple[int, list[str]]]) -> Iterator[tuple[int, list[str]]]:
    yield first
    yield from rest


def _number_column(heading: Sequence[str], wanted: str | None) -> int:
    names = [_plain(cell) for cell in heading]
    twice = {name for name in names if name and names.count(name) > 1}
    if twice:
        raise ListError("two columns have the same name", "Give each a name of its own")
    if wanted is not None:
        if _plain(wanted) not in names:
            raise ListError("the list has no column of that name", f"Choose one of {', '.join(filter(None, heading))}")
        return names.index(_plain(wanted))
    found = next((name for name in _NUMBER_NAMES if name in names), None)
    if found is None:
        raise ListError("no column is named as one with telephone numbers", "Name it with --column, or call it Mobile")
    return names.index(found)


def _plain(name: str) -> str:
    """`N° de téléphone` as `nodetelephone`."""
    bare = unicodedata.normalize("NFKD", name.replace("°", "o")).casefold()
    return "".join(char for char in bare if char.isalnum())


def _sheet(
    heading: Sequence[str], at: int, rows: Iterator[tuple[int, list[str]]], most_rows: int, most_cells: int
) -> Sheet:
    names = [name if n != at else "" for n, name in enumerate(heading)]
    entries, errors = list[Entry](), list[LineError]()
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(entries) + len(errors) >= most_rows:
            raise ListError(f"the list has more than {most_rows} lines", "Divide it, and make a campaign of each part")
        if (len(entries) + len(errors) + 1) * len(heading) > most_cells:
            raise ListError("the list has too many lines for so many columns", "Take out columns that nobody needs")
        problem = _problem(line, cells, heading, at)
        if problem is not None:
            errors.append(problem)
            continue
        padded = [*cells, *[""] * (len(heading) - len(cells))]
        fields = {name: _value(cell) for name, cell in zip(names, padded, strict=False) if name}
        entries.append(Entry(line, padded[at].strip(), fields))
    columns = tuple(name for name in names if name)
    return Sheet(heading[at], columns, tuple(entries), tuple(errors))


def _problem(line: int, cells: Sequence[str], heading: Sequence[str], at: int) -> LineError | None:
    if len(cells) > len(heading) and any(cell.strip() for cell in cells[len(heading) :]):
        return LineError(line, "", "more cells than columns", "Put quotes around what holds the separator")
    if at >= len(cells) or not cells[at].strip():
        return LineError(line, heading[at], *MISSING)
    long = next((n for n, cell in enumerate(cells) if len(cell) > MOST_CHARS), None)
    if long is not None:
        return LineError(line, heading[min(long, len(heading) - 1)], f"more than {MOST_CHARS} characters", "Shorten it")
    return None


def _value(cell: str) -> str:
    """Data for a template: one line, composed, nothing that cannot be seen."""
    text = unicodedata.normalize("NFC", cell)
    return " ".join("".join(c if c.isprintable() or c.isspace() else "" for c in text).split())


# --- CSV ----------------------------------------------------------------------------------------------------------


def _csv(raw: bytes) -> Iterator[tuple[int, list[str]]]:
    text = _text(raw)
    skipped = 0
    declared = re.match(r"sep=(.)\r?\n", text)
    if declared:
        text, skipped = text[declared.end() :], 1
    separator = declared.group(1) if declared else _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    begins = 1
    try:
        for cells in reader:
            if len(cells) > MOST_COLUMNS:
                raise ListError(f"line {begins + skipped} has more than {MOST_COLUMNS} columns", "Is it a list at all?")
            yield begins + skipped, cells
            begins = reader.line_num + 1
    except csv.Error as error:
        raise ListError(f"line {begins + skipped}: {error}", "Export the list again as CSV") from None


def _text(raw: bytes) -> str:
    """UTF-8 and UTF-16 with or without mark, else Windows-1252 as French Excel writes it."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        names: tuple[str, ...] = ("utf-16",)
    elif raw[1:2] == b"\0" and raw[:1] != b"\0":
        names = ("utf-16-le",)
    elif raw[:1] == b"\0":
        names = ("utf-16-be",)
    else:
        names = ("utf-8-sig", "cp1252")
    for name in names:
        try:
            text = raw.decode(name)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise ListError("the file is no text", "Export the list as CSV (UTF-8) or XLSX")


def _separator(text: str) -> str:
    """The one that cuts the first lines into the same number of cells, and the most."""
    head = "".join(islice(io.StringIO(text, newline=""), 20))
    best, most = _SEPARATORS[0], (False, 1)
    for separator in _SEPARATORS:
        try:
            widths = [len(row) for row in csv.reader(io.StringIO(head, newline=""), delimiter=separator) if row]
        except csv.Error:
            continue
        if not widths or max(widths) < 2:
            continue
        score = (len(set(widths)) == 1, widths[0])
        if score > most:
            best, most = separator, score
    return best


# --- XLSX ---------------------------------------------------------------------------------------------------------


def _xlsx(raw: bytes) -> Iterator[tuple[int, list[str]]]:
    """Of the first sheet that holds anything."""
    _bounded(raw)
    import openpyxl  # loads slowly: only who imports such a file waits for it

    try:
        book = openpyxl.load_workbook(io.BytesIO(raw), read_only=True, data_only=True, keep_links=False)
        for sheet in book.worksheets:
            empty = True
            rows = sheet.iter_rows(values_only=True, max_col=MOST_COLUMNS)
            for line, cells in enumerate(rows, 1):
                said = [_cell(cell) for cell in cells]
                while said and not said[-1]:
                    said.pop()
                if said or not empty:
                    empty = False
                    yield line, said
            if not empty:
                return
    except ListError:
        raise
    except Exception:  # the library raises whatever it meets in a file that is none
        raise ListError("this XLSX file cannot be read", "Save it again, or export the list as CSV") from None


def _bounded(raw: bytes) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            entries = archive.infolist()
            # What an entry says of its size the reader holds it to: zipfile stops there.
            if len(entries) > MOST_ENTRIES or sum(one.file_size for one in entries) > MOST_UNPACKED:
                raise ListError(f"unpacked it is larger than {MOST_UNPACKED >> 20} MB", "Export the list as CSV")
            if "xl/workbook.xml" not in archive.namelist():
                raise ListError("this is a ZIP file and no XLSX", "Export the list as CSV or XLSX")
    except ListError:
        raise
    except Exception:  # as below
        raise ListError("this XLSX file is damaged", "Save it again, or export the list as CSV") from None


def _cell(value: object) -> str:
    """As a person reads it: 612345678.0 is a number whose zero the spreadsheet took."""
    match value:
        case None | bool():
            return ""
        case float() if value.is_integer():
            return str(int(value))
        case datetime():
            return f"{value:%d/%m/%Y}" if (value.hour, value.minute) == (0, 0) else f"{value:%d/%m/%Y %H:%M}"
        case date():
            return f"{value:%d/%m/%Y}"
        case _:
            return str(value)
