"""Checks of identifiers that carry a checksum or issue rules. Pure: text in, verdict out.

Each takes the text as it was found, separators included, and answers whether it can be an identifier of its kind.
A check never says that somebody holds the identifier, only that its rules are met.
"""

from __future__ import annotations

import re

_SEPARATORS = re.compile(r"[ -]")
_EIN_NOT_ISSUED = frozenset(f"{each:02d}" for each in (0, 7, 8, 9, 17, 18, 19, 28, 29, 49, 69, 70, 78, 79, 89, 96, 97))
"""Prefixes that no campus of the IRS gives out (IRS, How EINs are assigned)."""
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip
"""Country -> characters of an IBAN (SWIFT, IBAN registry)."""


def digits_of(text: str) -> str:
    """Without the blanks and hyphens that people group digits with."""
    return _SEPARATORS.sub("", text)


def passes_luhn(digits: str) -> bool:
    """ISO/IEC 7812-1 annex B; one of ten random numbers passes."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        if place % 2:
            value = value * 2 - 9 * (value > 4)
        total += value
    return total % 10 == 0


def is_card(text: str) -> bool:
    """A payment card number: issuer range, the length that goes with it, and Luhn."""
    digits = digits_of(text)
    return _fits_issuer(digits) and len(set(digits)) > 1 and passes_luhn(digits)


def _fits_issuer(digits: str) -> bool:
    length, two, four = len(digits), int(digits[:2] or 0), int(digits[:4] or 0)
    if digits.startswith("4"):
        return length in (13, 16, 19)  # Visa
    if 51 <= two <= 55 or 2221 <= four <= 2720:
        return length == 16  # Mastercard
    if two in (34, 37):
        return length == 15  # American Express
    if four == 6011 or two == 65 or 644 <= four // 10 <= 649 or two == 62:
        return 16 <= length <= 19  # Discover, UnionPay
    if 3528 <= four <= 3589:
        return 16 <= length <= 19  # JCB
    if 300 <= four // 10 <= 305 or two in (36, 38, 39):
        return 14 <= length <= 19  # Diners Club
    return False


def is_iban(text: str) -> bool:
    """ISO 13616: the country's length, and the remainder by 97 is 1."""
    plain = text.replace(" ", "").upper()
    if IBAN_LENGTHS.get(plain[:2]) != len(plain) or not plain.isalnum() or not plain.isascii():
        return False
    return int("".join(str(int(each, 36)) for each in plain[4:] + plain[:4])) % 97 == 1


def is_ssn(text: str) -> bool:
    """A United States social security number by the rules since 2011: no checksum, but parts that are never given."""
    digits = digits_of(text)
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    return len(digits) == 9 and area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_npi(text: str) -> bool:
    """A United States national provider identifier: ten digits, Luhn with the prefix 80840 (45 CFR 162.406)."""
    return len(text) == 10 and text[0] in "12" and passes_luhn("80840" + text)


def is_imei(text: str) -> bool:
    """A mobile equipment identity: fifteen digits, Luhn, and a reporting body that exists (3GPP TS 23.003)."""
    digits = digits_of(text)
    return len(digits) == 15 and digits[:2] in _IMEI_BODIES and passes_luhn(digits)


_IMEI_BODIES = frozenset(f"{each:02d}" for each in (1, 10, 30, 33, 35, 44, 45, *range(49, 55), 86, 91, 98, 99))


def is_ein(text: str) -> bool:
    """A United States employer identification number ``12-3456789`` with a prefix that is given out."""
    return text[:2] not in _EIN_NOT_ISSUED


def is_dea(text: str) -> bool:
    """A DEA registration number: two letters, seven digits of which the last is a checksum (21 CFR 1301)."""
    digits = [int(each) for each in text[2:]]
    return (sum(digits[0:6:2]) + 2 * sum(digits[1:6:2])) % 10 == digits[6]
