"""The ledger and the receipts, by RFC 9162, C2SP signed notes and the receipt's own description."""

import base64
import hashlib
import hmac
import json
from collections import defaultdict

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LOGS = ("access", "consent", "erasure")
RECEIPT = b"beffroi/erasure-receipt/1\0"


def root_of(leaves):
    """RFC 9162 2.1.1."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\1" + root_of(leaves[:split]) + root_of(leaves[split:])).digest()


def signed(note, public):
    """The lines of a signed note; None where the signature is not true."""
    text, _, tail = note.partition("\n\n")
    try:
        signature = base64.b64decode(tail.strip().rpartition(" ")[2])[4:]
        public.verify(signature, (text + "\n").encode())
    except (InvalidSignature, ValueError):
        return None
    return text.split("\n")


def entries(rows, public, say):
    """Every log from its first entry, proven to be whole: log -> entries, and (log, day) of what was pruned."""
    found, pruned = {}, set()
    for log in LOGS:
        bodies = sorted((row for row in rows["ledger_entries"] if row["log"] == log), key=lambda row: row["seq"])
        segments = sorted((row for row in rows["ledger_segments"] if row["log"] == log), key=lambda row: row["day"])
        previous, at = bytes(32), 0
        for segment in segments:
            where = f"ledger {log} {segment['day']}"
            of_day = [row for row in bodies if row["day"] == segment["day"]]
            lines = signed(segment["head"], public)
            if lines is None:
                say(f"{where}: its head is not signed")
                continue
            told = [f"beffroi/{log}/{segment['day']}", str(segment["size"]), lines[2], f"first {at + 1}",
                    f"previous {base64.b64encode(previous).decode()}"]  # fmt: skip
            if segment["pruned"]:
                pruned.add((log, segment["day"]))
                note = signed(segment["pruned"], public)
                of_head = base64.b64encode(hashlib.sha256(segment["head"].encode()).digest()).decode()
                if of_day or note is None or note[:2] != ["beffroi/pruned", of_head]:
                    say(f"{where}: is pruned, and does not say so under its signature")
            elif [row["seq"] for row in of_day] != list(range(at + 1, at + 1 + segment["size"])):
                say(f"{where}: its entries are not those that it counts")
            else:
                leaves = [hashlib.sha256(b"\0" + row["body"]).digest() for row in of_day]
                told[2] = base64.b64encode(root_of(leaves)).decode()
            if lines != told:
                say(f"{where}: the head is not that of its entries")
            at += segment["size"]
            previous = hashlib.sha256(("\n".join(lines) + "\n").encode()).digest()
        state = next(signed(row["state"], public) for row in rows["ledger_logs"] if row["log"] == log)
        if state is None or (segments and state[1:] != [str(at), base64.b64encode(previous).decode()]):
            say(f"ledger {log}: does not end where its state says")
        found[log] = [json.loads(row["body"]) for row in bodies]
    return found, pruned


def receipts(rows, erasures, public, seed, say):
    """Every receipt with its entry in the erasure log: [(receipt, entry)]."""
    named = defaultdict(list)
    for entry in erasures:
        if entry.get("complete"):
            named[entry["receipt_id"]].append(entry)
    commitment_key = HKDF(SHA256(), 32, None, b"beffroi/erasure-commitment/1").derive(seed)
    pairs = []
    for row in rows["receipts"]:
        receipt = json.loads(row["body"])
        signature = bytes.fromhex(receipt.pop("signature"))
        body = json.dumps(receipt, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
        try:
            public.verify(signature, RECEIPT + body)
        except InvalidSignature:
            say(f"receipt {row['id']}: its signature is not true")
        mine = named.pop(row["id"], [])
        if len(mine) != 1 or receipt["receipt_id"] != row["id"]:
            say(f"receipt {row['id']}: {len(mine)} entries in the erasure log")
            continue
        if mine[0]["receipt_sha256"] != hashlib.sha256(row["body"].encode()).hexdigest():
            say(f"receipt {row['id']}: is not the one that the erasure log names")
        if not all(receipt["verification"].values()) or receipt["checked_at"] > receipt["backup_effective_at"]:
            say(f"receipt {row['id']}: claims what it has not verified")
        rec_id = mine[0].get("rec_id")
        if rec_id is not None:
            told = hmac.new(commitment_key, rec_id.encode(), hashlib.sha256).hexdigest()
            if receipt["object_ids_commitment"] != told:
                say(f"receipt {row['id']}: is not about recording {rec_id}")
        pairs.append((receipt, mine[0]))
    for receipt_id in named:
        say(f"the erasure log names receipt {receipt_id}, which is not there")
    return pairs
