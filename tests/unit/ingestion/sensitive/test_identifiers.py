"""Identifiers with checksums and issue rules: published examples pass, one digit more or less does not."""

import pytest

from appliance.ingestion.sensitive import identifiers

# Numbers that card schemes, registries and agencies publish as examples; none belongs to anybody.
GOOD = [
    (identifiers.is_card, "4111111111111111"),
    (identifiers.is_card, "4111 1111 1111 1111"),
    (identifiers.is_card, "5555-5555-5555-4444"),
    (identifiers.is_card, "2223003122003222"),
    (identifiers.is_card, "378282246310005"),
    (identifiers.is_card, "6011111111111117"),
    (identifiers.is_card, "3530111333300000"),
    (identifiers.is_card, "30569309025904"),
    (identifiers.is_iban, "DE89 3704 0044 0532 0130 00"),
    (identifiers.is_iban, "gb29nwbk60161331926819"),
    (identifiers.is_iban, "NO9386011117947"),
    (identifiers.is_ssn, "219-09-9999"),
    (identifiers.is_ssn, "219099999"),
    (identifiers.is_npi, "1234567893"),
    (identifiers.is_imei, "490154203237518"),
    (identifiers.is_ein, "12-3456789"),
    (identifiers.is_dea, "AB1234563"),
]
BAD = [
    (identifiers.is_card, "4111111111111112", "checksum"),
    (identifiers.is_card, "411111111111111", "length of the issuer"),
    (identifiers.is_card, "1111111111111117", "no issuer"),
    (identifiers.is_card, "0000000000000000", "no issuer"),
    (identifiers.is_iban, "DE88 3704 0044 0532 0130 00", "check digits"),
    (identifiers.is_iban, "DE89 3704 0044 0532 0130 0", "length of the country"),
    (identifiers.is_iban, "ZZ89370400440532013000", "no country"),
    (identifiers.is_ssn, "666-12-3456", "area"),
    (identifiers.is_ssn, "900-12-3456", "area"),
    (identifiers.is_ssn, "123-00-4567", "group"),
    (identifiers.is_ssn, "123-45-0000", "serial"),
    (identifiers.is_npi, "1234567890", "checksum"),
    (identifiers.is_npi, "3234567893", "first digit"),
    (identifiers.is_imei, "490154203237519", "checksum"),
    (identifiers.is_imei, "770154203237515", "reporting body"),
    (identifiers.is_ein, "07-3456789", "prefix"),
    (identifiers.is_dea, "AB1234567", "checksum"),
]


@pytest.mark.parametrize(("check", "text"), GOOD, ids=[f"{check.__name__}-{text}" for check, text in GOOD])
def test_a_published_example_passes(check, text):
    assert check(text)


@pytest.mark.parametrize(
    ("check", "text", "why"), BAD, ids=[f"{each.__name__}-{why}-{text}" for each, text, why in BAD]
)
def test_one_rule_broken_is_enough(check, text, why):
    assert not check(text)
