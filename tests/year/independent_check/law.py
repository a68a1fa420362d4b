"""What the law and the packs' documents ask for, written down by itself: from the diary alone, what must be there at
the end of it and what must be gone. Nothing here is read from the program."""

import json
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

# Pack: (months, days) that a recording is kept from its end while nothing else has happened; whether an objection
# destroys it. Quality 3 months (CNIL, ex NS-57); contract 14 days to see whether one is concluded (CNIL 25.04.2022);
# orders 5 years (L533-10 CMF); insurance 1 month without a contract (R112-7 C. assur.); dispatch 2 months; health 7
# days until it stands in the care record; a report 1 year while its case is open.
RECORDINGS = {
    "REC_QUALITY": ((3, 0), True),
    "REC_CONTRACT": ((0, 14), True),
    "REC_MIFID": ((60, 0), False),
    "REC_INSURANCE_FR": ((1, 0), True),
    "REC_EMERGENCY": ((2, 0), False),
    "REC_HEALTH": ((0, 7), True),
    "REC_WHISTLEBLOW": ((12, 0), True),
}
# Packs that wait for an event: which, and (months, days) from the end of its day on (Regulation 1182/71 Art. 3).
EVENTS = {
    "REC_CONTRACT": ("contract_concluded", (60, 0)),
    "REC_INSURANCE_FR": ("contract_signed", (24, 0)),
    "REC_HEALTH": ("transferred_to_care_record", (0, 0)),
    "REC_WHISTLEBLOW": ("case_closed", (2, 0)),
}
BECAUSE = {"withdrawal": "consent_withdrawn", "no-contract": "no_contract", "order": "admin_order"}
FOR_A_CONTRACT = {"REC_CONTRACT", "REC_INSURANCE_FR"}
BY_LAW = {"REC_MIFID", "REC_INSURANCE_FR", "REC_EMERGENCY"}  # consent has nothing to withdraw
KEPT_BY_LAW = {"REC_MIFID", "REC_INSURANCE_FR"}  # and not before their time by an order
# GDPR Art. 17: what goes because the person asks; the rest is kept, or somebody decides.
FORGOTTEN = {"REC_QUALITY", "CDR_MINIMAL"}
NEVER_RECORDED = {"REC_NONE"}
NO_TRACE = {"REC_WHISTLEBLOW"}  # lines whose calls leave no record (Dir. 2019/1937 art. 16)
CALL_RECORDS = {"standard": (6, 0), "minimal": (0, 30)}
STRICTNESS = ("standard", "minimal", "none")
# How a record ages from its start: (age, how exact the start is from then on, in which form the number is kept).
AGES = {
    "CDR_STANDARD": (((1, 0), "hour", "keyed"), ((3, 0), "day", "prefix")),
    "CDR_MINIMAL": (((0, 14), "day", "prefix"),),
}
MONTH_KEY = (3, 0)  # after the month whose numbers it hashed
USAGE, EMERGENCY = (13, 0), (12, 0)
ATTEMPT, EVIDENCE = (0, 31), (60, 0)

GONE, THERE, EITHER = "gone", "there", "either"


def moment(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def after(when, period):
    """Calendar months first (the last day of a shorter month), then days."""
    months, days = period
    year, month = divmod(when.year * 12 + when.month - 1 + months, 12)
    return when.replace(year=year, month=month + 1, day=min(when.day, monthrange(year, month + 1)[1])) + timedelta(days)


def rounded(when, exact):
    whole = when.replace(minute=0, second=0)
    return whole.replace(hour=0) if exact == "day" else whole


@dataclass
class Item:
    """`targets`: what a hold on it may name."""

    kind: str
    id: str
    expires: datetime
    targets: set = field(default_factory=set)
    pack: str = ""
    number: str = ""  # of the telephone, to search for
    about: dict = field(default_factory=dict)
    line: str = ""  # where it is known
    at: datetime | None = None
    form: str = "full"  # in which a call record has its number
    fate: str = THERE
    why: str = "retention_expiry"  # it went, or will

    @property
    def key(self):
        return self.kind, self.id


class Year:
    """The diary, lived once more."""

    def __init__(self, path):
        self.instance, self.accounts, self.items, self.calls = {}, {}, {}, {}
        self.refused = []  # what the diary itself says that must not be
        self.broken = {}  # recording -> what somebody did to its file
        self.numbers = set()
        self.swept = None  # when a sweep last ran to its end
        self._versions = []  # of the policy: (from when, what it says of periods)
        self._standing, self._lines, self._listened = {}, {}, set()
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            getattr(self, "_" + entry["what"])(entry, moment(entry["at"]))

    def of(self, kind):
        return [item for item in self.items.values() if item.kind == kind]

    def _add(self, kind, item_id, expires, targets, **more):
        self.items[kind, item_id] = Item(kind, item_id, expires, set(targets), **more)

    def _instance(self, entry, at):
        self.instance = entry

    def _account(self, entry, at):
        self.accounts[entry["id"]] = entry

    def _line(self, entry, at):
        pass

    def _version(self, entry, at):
        self._versions.append((at, {pack: tuple(period) for pack, period in entry["kept"].items()}))

    def _kept(self, pack, at, otherwise):
        """For how long what began then is kept: as the version says that was in force."""
        said = [kept for since, kept in self._versions if since <= at]
        return said[-1].get(pack, otherwise) if said else otherwise

    def _shortened(self):
        """A new version that keeps for less counts for what is there; one that keeps for longer does not. Of a call
        the beginning is known, as exactly as its record says it, and a day stands for its length."""
        for item in self.items.values():
            kept = self._versions[-1][1].get(item.pack) if self._versions else None
            if kept is not None and item.fate != GONE:
                began = moment(item.about["ended"]) if item.kind == "recording" else item.at + timedelta(1)
                item.expires = min(item.expires, after(began, kept))

    def _call(self, entry, at):
        classes = [each for each in entry["class"] if each]
        kept = max(classes, key=STRICTNESS.index)
        if entry["pack"] in NO_TRACE:
            kept = "none"
        call, began, ended = entry["id"], moment(entry["began"]), moment(entry["ended"])
        self.numbers |= set(entry["numbers"].values())
        targets = {call} | (set(entry["numbers"].values()) if kept == "standard" else set())
        self.calls[call] = kept
        if kept == "none":
            return
        shown = began if kept == "standard" else began.replace(minute=0, second=0)
        line = entry["line"] if kept == "standard" else ""
        place = {"line": line, "at": began}
        pack = f"CDR_{kept.upper()}"
        period = self._kept(pack, began, CALL_RECORDS[kept])
        begins = ended if kept == "standard" else shown  # a minimal record does not tell when the call ended
        place["at"] = shown
        self._add("call_record", call, after(begins, period), targets, pack=pack, **place)
        self.items["call_record", call].form = "full" if kept == "standard" else "prefix"
        days = self.instance["diagnosis_days"]
        if days and entry["diagnosis"]:
            self._add("diagnosis", call, shown + timedelta(days), targets, **place)

    def _recording(self, entry, at):
        if entry["pack"] in NEVER_RECORDED or entry["pack"] not in RECORDINGS:
            self.refused.append(f"{entry['id']} was recorded under {entry['pack']}, which never records")
            return
        period = self._kept(entry["pack"], moment(entry["began"]), RECORDINGS[entry["pack"]][0])
        targets = {entry["id"], entry["call"], *entry["numbers"].values()}
        expires = after(moment(entry["ended"]), period)
        place = {"line": entry["line"], "at": moment(entry["began"])}
        self._add("recording", entry["id"], expires, targets, pack=entry["pack"], about=entry, **place)

    def _admitted(self, entry, what):
        """The recording that the entry is about; None for one that the law never let come about."""
        item = self.items.get(("recording", entry["recording"]))
        if item is None:
            self.refused.append(f"{what} was entered for {entry['recording']}, which nobody may have recorded")
        return item

    def _objection(self, entry, at):
        item = self._admitted(entry, "an objection")
        if item and RECORDINGS[item.pack][1] and item.fate != GONE:
            item.expires = min(item.expires, at)
            if not self._held(item):
                item.fate, item.why = GONE, "objection"

    def _event(self, entry, at):
        item, day = self._admitted(entry, entry["event"]), moment(f"{entry['day']}T00:00:00Z")
        if item is None:
            return
        event, period = EVENTS.get(item.pack, ("", (0, 0)))
        if event != entry["event"] or day > at or day.date() < item.at.date() or "event" in item.about:
            self.refused.append(f"{entry['event']} was entered for {item.id}, and must not be")
            return
        item.about["event"] = entry["day"]
        item.expires = after(day + timedelta(1), period)

    def _ordered(self, entry, at):
        item, because = self._admitted(entry, entry["because"]), entry["because"]
        if item is None:
            return
        may = {
            "withdrawal": item.pack not in BY_LAW,
            "no-contract": item.pack in FOR_A_CONTRACT and "event" not in item.about,
            "order": item.pack not in KEPT_BY_LAW or item.expires <= at,
        }[because]
        may = may and not self._held(item)
        if may is not entry["done"]:
            self.refused.append(f"{item.id}: {because} was {'carried out' if entry['done'] else 'refused'} wrongly")
        if may:
            item.fate, item.why = GONE, BECAUSE[because]

    def _request(self, entry, at):
        number, heard, going = entry["number"], set(), []
        for item in self.of("recording"):
            if item.fate != GONE and number in item.about["numbers"].values():
                heard.add(item.about["call"])
                going.append(item)
        calls = {item.id for item in self.of("call_record") if item.form != "prefix" and number in item.targets} | heard
        found = {item.id: item for item in self.of("call_record") if item.id in calls and item.fate != GONE}
        going = [item for item in (*going, *found.values()) if item.pack in FORGOTTEN]
        for item in self.of("diagnosis"):
            record = found.get(item.id)
            if item.id in calls and (record is None or record.pack in FORGOTTEN) and item.expires > at:
                going.append(item)
        going += [item for item in self.of("contact_attempt") if number in item.targets]
        for item in [one for one in going if one.fate != GONE and not self._held(one)]:
            item.fate, item.why = GONE, "art17_request"

    def _contact(self, entry, at):
        period = ATTEMPT if entry["kind"] == "attempt" else EVIDENCE
        self.numbers.add(entry["number"])
        began = moment(entry["from"])
        place = {"line": entry.get("line", ""), "at": began}
        self._add(
            f"contact_{entry['kind']}", entry["id"], after(began, period), {entry["id"], entry["number"]}, **place
        )

    def _withdrawal(self, entry, at):
        self.items["contact_consent", entry["contact"]].expires = after(at, EVIDENCE)

    def _emergency(self, entry, at):
        expires = after(moment(entry["ended"]), EMERGENCY)
        self._add("emergency_call", entry["id"], expires, {entry["id"], entry["account"]})

    def _usage(self, entry, at):
        day = moment(f"{entry['day']}T00:00:00Z") + timedelta(days=1)
        self._add("usage", f"account:{entry['account']}|{entry['day']}", after(day, USAGE), {entry["account"]})

    def _hold(self, entry, at):
        on = ("recordings", "calls", "accounts", "numbers")
        self._standing[entry["id"]] = {target for name in on for target in entry.get(name, ())}
        self._lines[entry["id"]] = [
            (one["line"], moment(f"{one['since']}T00:00:00Z"), moment(f"{one['until']}T00:00:00Z") + timedelta(1))
            for one in entry.get("lines", ())
        ]

    def _lift(self, entry, at):
        del self._standing[entry["id"]], self._lines[entry["id"]]

    def _listening(self, entry, at):
        self._listened = set(entry["recordings"])

    def _mischief(self, entry, at):
        self.broken[entry["recording"]] = entry["how"]

    def _end(self, entry, at):
        pass

    def _swept(self, entry, at):
        """A sweep that was cut short may have taken what was due; the next one that is whole has."""
        if entry["trusted"]:
            self._shortened()
        for item in self.items.values():
            if entry["trusted"] and item.fate != GONE and item.expires <= at:
                if self._held(item) or (item.kind == "recording" and item.id in self._listened):
                    continue
                if entry["whole"]:
                    item.fate = GONE
                else:
                    item.fate = EITHER
        if entry["trusted"] and entry["whole"]:
            self._aged(at)
        self._listened = set()
        if entry["trusted"] and entry["whole"]:
            self.swept = at

    def _aged(self, now):
        """What goes in a record before it goes as a whole. What is held stays as it is."""
        for item in self.of("call_record"):
            for age, exact, form in AGES[item.pack]:
                if item.fate == GONE or after(item.at, age) > now or self._held(item) or item.form == form == "keyed":
                    continue
                item.at, item.form = rounded(item.at, exact), form
                item.expires = min(rounded(item.expires, exact), after(item.at, CALL_RECORDS[item.pack[4:].lower()]))
                if form == "prefix":
                    item.targets = {item.id}

    def _held(self, item):
        """A hold on a recording, its call, or whom it lets hear keeps it, and with it the record of its call."""
        if any(item.line == line and began <= item.at < ended
               for held in self._lines.values() for line, began, ended in held):  # fmt: skip
            return True
        targets = set(item.targets)
        if item.kind in ("call_record", "diagnosis"):
            for one in self.of("recording"):
                if one.about["call"] == item.id and one.fate != GONE:
                    if self._held(one):
                        return True
                    targets |= one.targets
        return any(on & targets for on in self._standing.values())
