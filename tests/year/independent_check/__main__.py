"""Finds out whether what lies in a data directory is what a diary says must lie there, and nothing else.

    independent_check --diary FILE --data DIR --outside DIR [--database FILE] [--disk IMAGE] [--opened DIR]

Knows the diary, the files and the tables; nothing of the program that made them. `--outside`: what somebody might have
kept beside it (opens.json: passphrases and the escrow text; wraps.jsonl: every wrap ever made; stolen/: sealed files).
Says in words what is wrong, and then ends with 1.
"""

import argparse
import hashlib
import json
import sqlite3
import sys
from collections import Counter, defaultdict
from contextlib import closing
from pathlib import Path

import law
import ledger
import seal
import search
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

OF_ROWS = {  # kind -> table, its id, what the erasure log calls it
    "call_record": ("call_records", "id", "call"),
    "diagnosis": ("call_diagnoses", "call_id", "diagnosis"),
    "emergency_call": ("emergency_calls", "id", "emergency"),
    "contact_consent": ("contact_consents", "id", "consent"),
    "contact_reference": ("contact_references", "id", "contract"),
    "contact_attempt": ("contact_attempts", "id", "contact"),
    "usage": ("usage", "", "usage"),
}
OF_LOGS = {"access_day": "access", "consent_day": "consent", "erasure_day": "erasure"}
LEFT_OF_A_RECORDING = {"id", "state", "started_at", "expires_at", "ended_at", "destroyed_at"}
SLOT_HEAD = 2


class Check:
    def __init__(self, args):
        self.args, self.wrong = args, []
        self.year = law.Year(args.diary)
        self.rows = tables(args.database or args.data / "beffroi.sqlite3")
        self.sqlite = self.year.instance["engine"] == "sqlite"
        self.vault = args.data / "vault"
        self.seed = (args.data / "keys" / "ledger.key").read_bytes()
        self.public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.year.instance["ledger_public"]))
        lines = (args.outside / "wraps.jsonl").read_text().splitlines()
        self.ever = {each["rec_id"]: each for each in map(json.loads, lines)}
        lines = (args.outside / "keks.jsonl").read_text().splitlines()
        self.weeks = {(each["kek_id"], each["reader_id"]): bytes.fromhex(each["blob"])
                      for each in map(json.loads, lines)}  # fmt: skip
        self.counts = Counter()

    def say(self, what):
        self.wrong.append(what)

    def run(self):
        for what in self.year.refused:
            self.say(what)
        if Ed25519PrivateKey.from_private_bytes(self.seed).public_key() != self.public:
            self.say("the ledger key is not the one that the diary names")
        self.settle()
        self.tables()
        self.files()
        self.destructions()
        self.open_all()
        self.raw()

    def settle(self):
        """Of what a sweep that was cut short may or may not have taken, what it did: whole or gone, both are right."""
        there = {row["id"] for row in self.rows["recordings"] if row["state"] != "destroyed"}
        here = {kind: self.ids(kind) for kind in OF_ROWS} | {"recording": there}
        for item in self.year.items.values():
            self.counts[item.fate] += 1
            if item.fate == law.EITHER:
                item.fate = law.THERE if item.id in here[item.kind] else law.GONE

    def ids(self, kind):
        table, column, _ = OF_ROWS[kind]
        if kind == "usage":
            return {f"{row['owner']}|{row['day']}" for row in self.rows[table]}
        return {row[column] for row in self.rows[table]}

    def same(self, what, found, wanted):
        for one in sorted(set(found) - set(wanted)):
            self.say(f"{what} {one} is there and must not be")
        for one in sorted(set(wanted) - set(found)):
            self.say(f"{what} {one} must be there and is not")

    def living(self, kind):
        return {item.id for item in self.year.of(kind) if item.fate == law.THERE}

    # --- tables and files -----------------------------------------------------------------------------------------

    def tables(self):
        for kind in OF_ROWS:
            self.same(kind, self.ids(kind), self.living(kind))
        known, living = {item.id for item in self.year.of("recording")}, self.living("recording")
        self.same("row of recording", {row["id"] for row in self.rows["recordings"]}, known)
        self.same("recording", {r["id"] for r in self.rows["recordings"] if r["state"] == "whole"}, living)
        for row in self.rows["recordings"]:
            if row["state"] == "destroyed" and any(row[name] is not None for name in row.keys() - LEFT_OF_A_RECORDING):
                self.say(f"recording {row['id']} is destroyed, and its row still describes it")
        self.same("index of recording", {row["recording_id"] for row in self.rows["recording_peers"]}, living)
        records = [item for item in self.year.of("call_record") if item.fate == law.THERE]
        for table, form in (("call_peers", "full"), ("call_month_peers", "keyed")):
            wanted = {item.id for item in records if item.form == form}
            self.same(f"{form} number of call", {row["call_id"] for row in self.rows[table]}, wanted)
        needed = {item.at.strftime("%Y-%m") for item in records if item.form == "keyed"}  # of what is held
        for row in self.rows["month_keys"]:
            ended = law.after(law.moment(f"{row['month']}-01T00:00:00Z"), (1, 0))
            if law.after(ended, law.MONTH_KEY) <= self.year.swept and row["month"] not in needed:
                self.say(f"the key of the numbers of {row['month']} must be gone and is there")
        self.same("key of recording", {row["rec_id"] for row in self.rows["rec_keys"]}, living)
        used = [row["slot"] for name in ("rec_keys", "held_keys") for row in self.rows[name]]
        free = [row["slot"] for row in self.rows["free_key_slots"]]
        every = {row["slot"]: row["content"] for row in self.rows["key_slots"]}
        if sorted(used + free) != sorted(every):
            self.say("places of keys: not each of them is either used once or free")
        for slot in free:
            if any(every.get(slot, b"")):
                self.say(f"place {slot} is free, and holds something")
        self.week_keys()
        self.same("destruction under way", {row["id"] for row in self.rows["destructions"]}, ())

    def week_keys(self):
        """A week's key goes a day after its week, once no recording needs it any more."""
        swept = int((self.year.swept - law.moment("1970-01-01T00:00:00Z")).total_seconds())
        needed = {row["kek_id"] for name in ("rec_keys", "held_keys") for row in self.rows[name]}
        wrapped = {row["kek_id"] for row in self.rows["kek_wraps"]}
        for row in self.rows["keks"]:
            over = row["not_after"] // 1_000_000 + 86400 <= swept
            gone = over and row["id"] not in needed
            if gone is (row["destroyed_at"] is None) or gone is (row["id"] in wrapped):
                self.say(f"week key {row['id']} must {'be gone and is there' if gone else 'be there and is gone'}")

    def files(self):
        found = {path.relative_to(self.vault).as_posix() for path in self.vault.rglob("*") if not path.is_dir()}
        wanted = {one for one in self.living("recording") if self.year.broken.get(one) != "removed"}
        self.same("file", found, {f"{one[:2]}/{one[2:4]}/{one}.rec" for one in wanted})

    # --- what was destroyed ---------------------------------------------------------------------------------------

    def destructions(self):
        logs, pruned = ledger.entries(self.rows, self.public, self.say)
        pairs = ledger.receipts(self.rows, logs["erasure"], self.public, self.seed, self.say)
        recordings, weeks, sums = Counter(), Counter(), Counter()
        for receipt, entry in pairs:
            ((kind, count),) = receipt["objects"].items()
            slack = "slack_of_pages" in receipt["exceptions_kept"]
            if slack is self.sqlite and kind != "recording" and kind not in OF_LOGS:
                self.say(f"receipt {receipt['receipt_id']}: what it says of pages is not so on this database")
            if kind == "recording":
                recordings[entry["rec_id"]] += 1
                self.counts[f"by {receipt['trigger']}"] += 1
                item = self.year.items.get((kind, entry["rec_id"]))
                if item is not None and receipt["pack"].partition("@")[0] != item.pack:
                    self.say(f"receipt {receipt['receipt_id']}: recording {item.id} was kept under {item.pack}")
                if item is not None and receipt["trigger"] != item.why:
                    self.say(f"receipt {receipt['receipt_id']}: recording {item.id} went by {item.why}")
            elif kind in ("call_field", "month_key"):
                self.counts[f"{kind} gone"] += count
            elif kind == "kek":
                weeks[entry["kek_id"]] += 1
            else:
                called = "ledger" if kind in OF_LOGS else OF_ROWS[kind][2]
                if entry["object"] != called or entry["count"] != count:
                    self.say(f"receipt {receipt['receipt_id']}: the erasure log says something else of it")
                sums[kind] += count
        gone = {item.id for item in self.year.of("recording") if item.fate == law.GONE}
        self.same("receipt of recording", recordings, gone)
        self.same("receipt of week key", weeks, {r["id"] for r in self.rows["keks"] if r["destroyed_at"] is not None})
        for one, count in (recordings + weeks).items():
            if count > 1:
                self.say(f"{one} has {count} receipts")
        for kind, log in OF_LOGS.items():
            if sums[kind] != sum(where == log for where, _ in pruned):
                self.say(f"{sum(where == log for where, _ in pruned)} of {kind} are gone, receipts say {sums[kind]}")
        for kind in OF_ROWS:
            count = sum(item.fate == law.GONE for item in self.year.of(kind))
            if sums[kind] != count:
                self.say(f"{count} of {kind} are gone, receipts speak of {sums[kind]}")
        self.counts["receipts"] = len(pairs)

    # --- what opens -----------------------------------------------------------------------------------------------

    def open_all(self):
        told = json.loads((self.args.outside / "opens.json").read_text())
        readers = {row["person_id"]: row["secret"] for row in self.rows["reader_keys"]}
        secrets = {one: seal.of_reader(readers[one], words) for one, words in told["readers"].items()}
        secrets["escrow"] = self.escrow = seal.of_escrow(told["escrow"])
        self.keks = defaultdict(dict)  # kek -> reader -> its secret, opened
        for row in self.rows["kek_wraps"]:
            opened = seal.open_kek(row["blob"], secrets[row["reader_id"]], row["kek_id"], row["reader_id"])
            if opened is None:
                self.say(f"key {row['kek_id']}: what is wrapped to {row['reader_id']} does not open")
            else:
                self.keks[row["kek_id"]][row["reader_id"]] = opened
        slots = {row["slot"]: row["content"] for row in self.rows["key_slots"]}
        held = [(row["rec_id"], row["kek_id"], unpacked(slots[row["slot"]])) for row in self.rows["rec_keys"]]
        for rec_id, kek, wrap in held:
            item = self.year.items.get(("recording", rec_id))
            if item is not None:
                self.opens(item, kek, wrap)
        every = {unpacked(content) for content in slots.values()} - {b""}
        for item in self.year.of("recording"):
            if item.fate == law.GONE:
                self.opens_not(item, every)

    def opens(self, item, kek, wrap):
        """By each of its readers, and by escrow."""
        may = {one for one, purposes in self.year.instance["readers"].items() if item.pack in purposes} | {"escrow"}
        self.same(f"reader of recording {item.id}:", self.keks[kek], may)
        broken = self.year.broken.get(item.id)
        path = self.vault / item.id[:2] / item.id[2:4] / f"{item.id}.rec"
        deks = {seal.open_dek(wrap, secret, item.id, item.pack, kek) for secret in self.keks[kek].values()}
        if len(deks) != 1 or None in deks:
            self.say(f"recording {item.id}: its key does not open by each of its readers")
            return
        if not path.exists():
            return
        sealed = path.read_bytes()
        audio = seal.plain(sealed, deks.pop(), item.id, item.pack)
        if broken is None and hashlib.sha256(sealed).hexdigest() != item.about["sha256"]:
            self.say(f"recording {item.id}: its file is not the one that was sealed")
        if (audio is None) is (broken is None):
            self.say(f"recording {item.id} ({broken or 'untouched'}): it {'opens' if audio else 'does not open'}")
        if audio is not None:
            self.counts["opened"] += 1
            if not audio.startswith(b"OggS"):
                self.say(f"recording {item.id}: what is in it is no audio")
            if self.args.opened:
                (self.args.opened / f"{item.id}.ogg").write_bytes(audio)

    def opens_not(self, item, every):
        """With every passphrase, the escrow text, a copy of the week's key and of the file from before, and every wrap
        that is left. That the attempt is worth something the wrap shows that was kept elsewhere."""
        stolen, kek = self.args.outside / "stolen" / item.id, item.about["kek"]
        if not stolen.exists():
            return
        sealed = stolen.read_bytes()
        secret = seal.open_kek(self.weeks[kek, "escrow"], self.escrow, kek, "escrow")
        control = seal.open_dek(bytes.fromhex(self.ever[item.id]["wrap"]), secret, item.id, item.pack, kek)
        if control is None or seal.plain(sealed, control, item.id, item.pack) is None:
            self.say(f"recording {item.id}: the check itself cannot open what it should")
        self.counts["stayed shut"] += 1
        for wrap in every:
            dek = seal.open_dek(wrap, secret, item.id, item.pack, kek)
            if dek is not None and seal.plain(sealed, dek, item.id, item.pack) is not None:
                self.say(f"recording {item.id} is destroyed, and opens")

    # --- bytes ----------------------------------------------------------------------------------------------------

    def raw(self):
        if not self.sqlite:
            return  # what PostgreSQL leaves in its pages the receipts say
        places = {"the data directory": [p for p in self.args.data.rglob("*") if p.is_file() and p.suffix != ".rec"]}
        if self.args.disk:
            places["the disk"] = [self.args.disk]
        wraps = {f"recording {one}": bytes.fromhex(each["wrap"]) for one, each in self.ever.items()}
        wraps |= {f"week key {kek} for {reader}": blob for (kek, reader), blob in self.weeks.items()}
        weeks = {row["kek_id"] for row in self.rows["kek_wraps"]}
        living = {f"recording {one}" for one in self.living("recording")}
        living |= {f"week key {kek} for {reader}" for kek, reader in self.weeks if kek in weeks}
        consents = ledger.entries(self.rows, self.public, lambda _: None)[0]["consent"]
        spoken = {entry.get(name) for entry in consents for name in ("call_id", "consent_id")}
        gone = {i.id for i in self.year.items.values() if i.kind not in ("recording", "usage") and i.fate == law.GONE}
        gone -= {i.id for i in self.year.items.values() if i.fate == law.THERE} | spoken
        numbers = {number for number in self.year.numbers if number.startswith("+")}
        for where, paths in places.items():
            written = search.Bytes(paths)
            found = written.with_piece_of(wraps)
            for what in sorted(found - living):
                self.say(f"a piece of the wrap of {what}, which is destroyed, stands in {where}")
            for what in sorted(living - found):
                self.say(f"the wrap of {what}, which is kept, is not in {where}: the search is worthless")
            for text in sorted(written.with_text(gone)):
                self.say(f"{text}, which is gone, stands in {where}")
            for number in sorted(written.with_text(numbers)):
                self.say(f"a telephone number ending in {number[-3:]} stands in clear in {where}")
            self.counts[f"wraps not in {where}"] = len(wraps) - len(living)


def tables(path):
    """Every row; the write-ahead log beside the file counts. The file is not written to."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: [dict(row) for row in connection.execute(f'SELECT * FROM "{name}"')] for name in names}  # noqa: S608


def unpacked(content):
    length = int.from_bytes(content[:SLOT_HEAD], "big")
    return content[SLOT_HEAD : SLOT_HEAD + length]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, needed in (("diary", 1), ("data", 1), ("outside", 1), ("database", 0), ("disk", 0), ("opened", 0)):
        parser.add_argument(f"--{name}", type=Path, required=bool(needed))
    check = Check(parser.parse_args())
    check.run()
    for what in check.wrong:
        print(what)
    print(", ".join(f"{count} {what}" for what, count in sorted(check.counts.items())))
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
