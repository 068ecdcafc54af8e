"""Whether a text looks like the name of a person: a linear score over letter groups, no list of names.

Rules
1. A name is two to five words, or one where the caller asks for words of names: letters, hyphens, apostrophes, initials
   and titles, no digit. ``Last, First`` is a name too.
2. Words that streets, firms and equipment are called by (``name_words.toml``) make it none, whatever the letters say.
3. Each word has a score: the sum of the weights of its letter groups of one to five letters, ends included; above zero
   it is more like a name than like a word. The mean over the words decides.

The weights are learned by an averaged perceptron over whole numbers (`setup/name_weights.py`), so that everybody who
trains gets the same bytes; `name_weights.bin` holds one signed byte for each of 2^16 hashed groups.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
import zlib
from collections.abc import Iterator
from functools import cache
from importlib import resources

BITS = 16  # of a group's hash
LONGEST_GROUP = 5  # letters
MAX_CHARACTERS = 80
_WORDS = tomllib.loads(resources.files(__package__).joinpath("name_words.toml").read_text("utf-8"))
TITLES = frozenset(_WORDS["titles"].split())
PARTICLES = frozenset(_WORDS["particles"].split())
OTHER_WORDS = frozenset(word for text in _WORDS["other"].values() for word in text.split())
_DEGREE = re.compile(r"(?:[^\W\d_]+\.-?)+[^\W\d_]{2,}")  # B.Eng., Dipl.-Ing.
_WORD = r"(?:(?:[^\W\d_]\.)+|(?:[^\W\d_]+\.-?)+[^\W\d_]{2,}\.?|[^\W\d_]+(?:['’-][^\W\d_]+)*\.?)"
_SHAPE = re.compile(rf"{_WORD}(?:,? {_WORD}){{0,5}}")
_LATIN = {ord(a): b for a, b in zip("ßøłæđıðþœ", ("ss", "o", "l", "ae", "d", "i", "d", "th", "oe"), strict=True)}


def fold(word: str) -> str:
    """Lower case, without accents: the form that is scored."""
    plain = unicodedata.normalize("NFKD", word.lower().translate(_LATIN))
    return "".join(each for each in plain if not unicodedata.combining(each))


def groups(word: str) -> Iterator[int]:
    """Hashes of the letter groups of a folded word; the order does not count."""
    text = f"^{word}$"
    for length in range(1, LONGEST_GROUP + 1):
        for start in range(len(text) - length + 1):
            yield zlib.crc32(text[start : start + length].encode()) & ((1 << BITS) - 1)


@cache
def _weights() -> memoryview:
    data = resources.files(__package__).joinpath("name_weights.bin").read_bytes()
    return memoryview(data).cast("b")


def score(word: str) -> int:
    """Of one word; above zero it is more like part of a name."""
    weights = _weights()
    return sum(weights[each] for each in groups(fold(word)))


def looks_like_name(text: str, *, words: int) -> bool:
    """Whether a text has at least so many words and reads like a person's name (rules 1 to 3)."""
    if len(text) > MAX_CHARACTERS or not _SHAPE.fullmatch(text):
        return False
    found = [each.strip(".,") for each in text.replace(",", " ").split()]
    plain = [each for each in found if each.lower() not in TITLES and not _DEGREE.fullmatch(each)]
    if any(each.lower() in OTHER_WORDS for each in plain) or not words <= len(plain) <= 5:
        return False
    scored = [each for each in plain if len(each.replace(".", "")) > 1 and each.lower() not in PARTICLES]
    if not scored or not any(each[0].isupper() for each in scored):
        return False
    # A part with a hyphen counts as its parts: Anna-Maria.
    parts = [part for each in scored for part in re.split(r"[-'’]", each) if len(part) > 1]
    return bool(parts) and sum(score(each) for each in parts) > 0
