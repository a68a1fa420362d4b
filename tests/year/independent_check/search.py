"""Raw bytes: of files, and of a disk with all that no file points to any more."""

import numpy as np

BLOCK = 4096


class Bytes:
    """Everything that was written somewhere; blocks of zeros are left out."""

    def __init__(self, paths):
        kept = []
        for path in paths:
            raw = np.fromfile(path, np.uint8)
            raw = np.concatenate([raw, np.zeros(-len(raw) % BLOCK, np.uint8)]).reshape(-1, BLOCK)
            kept.append(raw[raw.any(axis=1)].reshape(-1))
        self._all = np.concatenate(kept) if kept else np.zeros(0, np.uint8)
        self._text = None

    def with_piece_of(self, secrets):
        """Names of those of which a piece of 40 bytes stands anywhere, wherever it begins. `secrets`: name -> bytes."""
        names, pieces = [], []
        for name, secret in secrets.items():
            words = np.frombuffer(secret[: len(secret) // 8 * 8], "<u8")[::4]
            pieces.append(words)
            names += [name] * len(words)
        if not names:
            return set()
        wanted, owner = np.concatenate(pieces), np.array(names)
        order = np.argsort(wanted)
        wanted, owner, found = wanted[order], owner[order], set()
        for shift in range(8):
            end = shift + (len(self._all) - shift) // 8 * 8
            words = np.frombuffer(self._all[shift:end].tobytes(), "<u8")
            at = np.searchsorted(wanted, words).clip(max=len(wanted) - 1)
            hits = np.unique(words[wanted[at] == words])
            for hit in hits:
                found |= set(owner[wanted == hit])
        return found

    def with_text(self, texts):
        """Those that stand anywhere as they are."""
        if self._text is None:
            self._text = self._all.tobytes()
        return {text for text in texts if text.encode() in self._text}
