"""When two names are one name: the rule by which a name is bound to a key.

Names are compared without regard to case, to compatible forms (full-width letters, ligatures,
composed or decomposed accents), to characters that do not show, and to the amount of white space:
`Alice`, `alice`, `ａｌｉｃｅ` and `alice` with a zero-width space are one name, held by one key.
Letters of other scripts that look alike (Cyrillic `а`) stay different names: telling them apart is
left to the fingerprint.
"""

from __future__ import annotations

import functools
from typing import Final

MAX_NAME_CHARS: Final = 256
"""The longest name of a peer on the 0.8 wire."""

_UNSEEN_CATEGORIES: Final = frozenset({"Cc", "Cf"})
_UNSEEN_MARKS: Final = frozenset(
    ["\u034f", "\u115f", "\u1160", "\u3164", "\uffa0", *map(chr, range(0xFE00, 0xFE10))]
)


def clean_name(name: str) -> str:
    """Return `name` as it may be kept: at most 256 characters, all of them encodable."""
    return name[:MAX_NAME_CHARS].encode(errors="replace").decode()


@functools.lru_cache(maxsize=16384)
def name_key(name: str) -> str:
    """Return what two spellings of one name have in common; empty when nothing of it shows.

    Source: Unicode 15, section 3.13, after the pattern of NFKC_Casefold.
    """
    if name.isascii() and name.isprintable():
        return " ".join(name.lower().split())
    return _folded(name)


def _folded(name: str) -> str:
    from unicodedata import category, normalize  # a megabyte of tables, which few names need

    def shows(character: str) -> bool:
        if character.isspace():
            return True
        is_unseen = category(character) in _UNSEEN_CATEGORIES
        return not is_unseen and character not in _UNSEEN_MARKS

    folded = normalize("NFKD", normalize("NFKD", name).casefold())
    shown = "".join(filter(shows, folded))
    return normalize("NFC", " ".join(shown.split()))
