"""Learns the weights of `appliance.ingestion.sensitive.names`; prints the digest and writes the file.

    .venv-dev/bin/python setup/name_weights.py [TARGET]

Words of names come from public lists in two packages of the development environment: those of the United States census
(in zxcvbn) and one half of the names in Faker, over many languages. Words that are none come from zxcvbn's lists of
English text, also one half. The halves are chosen by a checksum; the other halves are what tests measure with.

An averaged perceptron over whole numbers: no floating point, no order that depends on a machine, the same bytes
everywhere. Nothing of the lists is in the result but the weights of letter groups.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import re
import sys
import zlib
from pathlib import Path

import faker.providers.person
from zxcvbn.frequency_lists import FREQUENCY_LISTS

from appliance.ingestion.sensitive.names import BITS, fold, groups

TARGET = Path(__file__).parents[1] / "appliance/ingestion/sensitive/name_weights.bin"
EPOCHS = 4
MARGIN = 15  # an example that is right by less is learned from too
_ATTRIBUTES = re.compile(r"(first|last)_names(_male|_female|_nonbinary)?")
_FOLDED = re.compile(r"[a-z]{2,}")


def is_held_out(word: str) -> bool:
    """Whether a folded word belongs to the half that nothing is learned from."""
    return zlib.crc32(word.encode()) & 1 == 1


def census() -> set[str]:
    """Words of names in the lists of the United States census."""
    return {each for name in ("surnames", "female_names", "male_names") for each in FREQUENCY_LISTS[name]}


def names_of_the_world() -> dict[str, str]:
    """Folded word -> as it is written, for all names in Latin letters that Faker has."""
    found: dict[str, str] = {}
    for module in pkgutil.iter_modules(faker.providers.person.__path__):
        provider = importlib.import_module(f"faker.providers.person.{module.name}").Provider
        for attribute in sorted(filter(_ATTRIBUTES.fullmatch, dir(provider))):
            listed = getattr(provider, attribute)
            for name in () if isinstance(listed, property) else listed:  # some are put together from others
                for word in re.split(r"[\s'’-]+", name):
                    if _FOLDED.fullmatch(fold(word)):
                        found.setdefault(fold(word), word)
    return found


def words_of_text() -> list[str]:
    """English words that are no names, as far as the lists above know."""
    names = census() | set(names_of_the_world())
    lists = (*FREQUENCY_LISTS["english_wikipedia"], *FREQUENCY_LISTS["us_tv_and_film"])
    return [each for each in dict.fromkeys(lists) if _FOLDED.fullmatch(each) and each not in names]


def learn() -> bytes:
    """The weights, one signed byte each."""
    positive = sorted(census() | {each for each in names_of_the_world() if not is_held_out(each)})
    negative = sorted(each for each in words_of_text() if not is_held_out(each))
    examples = [(each, 1) for each in positive] + [(each, -1) for each in negative]
    examples.sort(key=lambda each: zlib.crc32(each[0].encode()))
    hashed = [(list(groups(word)), sign) for word, sign in examples]
    weights, late = [0] * (1 << BITS), [0] * (1 << BITS)
    step = 1
    for _ in range(EPOCHS):
        for features, sign in hashed:
            if sign * sum([weights[each] for each in features]) <= MARGIN:
                for each in features:
                    weights[each] += sign
                    late[each] += sign * step
            step += 1
    mean = [weight * step - behind for weight, behind in zip(weights, late, strict=True)]
    greatest = max(abs(each) for each in mean)
    return b"".join((each * 127 // greatest).to_bytes(1, "big", signed=True) for each in mean)


if __name__ == "__main__":
    data = learn()
    (Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET).write_bytes(data)
    sys.stdout.write(f"sha256:{hashlib.sha256(data).hexdigest()}\n")
