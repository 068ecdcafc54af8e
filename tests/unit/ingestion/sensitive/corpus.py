"""Columns with known answers, made anew from each seed: identifiers, names that nothing was learned from, and columns
that look like them and are none."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from faker import Faker

ROWS = (1, 3, 20, 200)


def _trainer():
    path = Path(__file__).parents[4] / "setup" / "name_weights.py"
    found = importlib.util.spec_from_file_location("name_weights", path)
    module = importlib.util.module_from_spec(found)
    sys.modules["name_weights"] = module
    found.loader.exec_module(module)
    return module


trainer = _trainer()


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A column: its name, its values, and the tag that is right (empty: none)."""

    name: str
    values: list[str | None]
    tag: str
    kind: str


def unseen_words() -> list[str]:
    """Words of names, as written, that are in no list that was learned from."""
    census = trainer.census()
    world = trainer.names_of_the_world()
    return sorted(text for word, text in world.items() if trainer.is_held_out(word) and word not in census)


def luhn(prefix: str) -> str:
    """`prefix` with its check digit."""
    digits = [int(each) for each in prefix][::-1]
    total = sum(each if place % 2 else sum(divmod(2 * each, 10)) for place, each in enumerate(digits))
    return prefix + str(-total % 10)


def digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


def dea(rng: random.Random) -> str:
    six = digits(rng, 6)
    total = sum(map(int, six[0::2])) + 2 * sum(map(int, six[1::2]))
    return rng.choice("ABFGM") + rng.choice("ABCDEFGHKLMNPRSTW") + six + str(total % 10)


def grouped(text: str, rng: random.Random) -> str:
    separator = rng.choice(["", "", " ", "-"])
    return separator.join(text[start : start + 4] for start in range(0, len(text), 4))


def structured(rng: random.Random, fake: Faker) -> list[tuple[str, tuple[str, ...], Callable[[], str]]]:
    """Tag, names of columns (an empty one says nothing), and how a value is made."""
    sixteen = ("visa16", "mastercard", "discover")
    return [
        (
            "pii.card",
            ("card_number", "PAN", "", ""),
            lambda: grouped(fake.credit_card_number(rng.choice(sixteen)), rng),
        ),
        ("pii.card", ("cc", ""), lambda: fake.credit_card_number("amex")),
        ("pii.iban", ("iban", "account", "", ""), lambda: fake.iban()),
        ("pii.ssn", ("ssn", "SSN_text", "", ""), lambda: fake.ssn()),
        ("pii.ssn", ("ssn",), lambda: fake.ssn().replace("-", "")),
        ("pii.npi", ("npi", "provider_npi", ""), lambda: luhn("80840" + rng.choice("12") + digits(rng, 8))[5:]),
        ("pii.imei", ("imei", ""), lambda: luhn(rng.choice(["35", "86", "01"]) + digits(rng, 12))),
        ("pii.ein", ("ein", "employer_id"), lambda: fake.ein()),
        ("pii.dea", ("dea", "prescriber", ""), lambda: dea(rng)),
        ("pii.email", ("email", "mail_address", ""), lambda: fake.email()),
        ("pii.phone", ("phone", "mobile"), lambda: fake.phone_number()),
        ("pii.phone", ("", "c7"), lambda: f"+{rng.choice(['1', '49', '44'])} {digits(rng, 3)} {digits(rng, 7)}"),
        ("pii.ip", ("ip", "last_ip", ""), lambda: fake.ipv4()),
        ("pii.ip", ("ip", ""), lambda: fake.ipv6()),
        ("pii.mac", ("mac", ""), lambda: fake.mac_address()),
        ("pii.birth_date", ("dob", "birth_date", "dateOfBirth"), lambda: str(fake.date_of_birth())),
        ("pii.location", ("position", ""), lambda: f"{fake.latitude()}, {fake.longitude()}"),
        ("pii.location", ("latitude", "gps_lat"), lambda: str(fake.latitude())),
    ]


def hard_negatives(rng: random.Random, fake: Faker) -> list[tuple[str, Callable[[], str]]]:
    start = rng.randrange(10_000_000, 90_000_000)
    count = iter(range(10**9))
    return [
        ("device_id", lambda: f"tx-{next(count):04d}"),
        ("device_id", lambda: f"{start + next(count)}"),
        ("device_id", lambda: f"TX{digits(rng, 7)}"),
        ("device_id", lambda: digits(rng, 15)),
        ("device_id", lambda: digits(rng, 9)),
        ("device_id", lambda: digits(rng, 10)),
        ("meter_id", lambda: f"1{digits(rng, 9)}"),
        ("meter_id", lambda: digits(rng, 16)),
        ("order_no", lambda: f"4{digits(rng, 15)}" if rng.random() < 0.2 else digits(rng, 16)),
        ("order_no", lambda: f"{digits(rng, 3)}-{digits(rng, 2)}-{digits(rng, 4)}"),
        ("part_number", lambda: f"{rng.choice('ABCDE')}{rng.choice('XYZ')}{digits(rng, 7)}"),
        ("t", lambda: str(1_700_000_000 + next(count) * 900)),
        ("t", lambda: str(1_700_000_000_000 + next(count) * 900_000)),
        ("t", lambda: str(1_700_000_000_000_000 + next(count) * 900_000_000)),
        ("event_time", lambda: str(fake.date_time_this_decade())),
        ("installed", lambda: str(fake.date_this_decade())),
        ("firmware", lambda: ".".join(str(rng.randrange(10)) for _ in range(4))),
        ("build", lambda: ".".join(str(rng.randrange(30)) for _ in range(4))),
        ("value", lambda: f"{rng.uniform(-40, 120):.4f}"),
        ("load", lambda: f"{rng.gauss(400, 90):.6f}"),
        ("uuid", lambda: fake.uuid4()),
        ("digest", lambda: fake.sha256()),
        ("street", lambda: f"{fake.last_name()} {rng.choice(['Street', 'Road', 'Avenue', 'Lane'])}"),
        ("x", lambda: f"{fake.last_name()} {rng.choice(['Street', 'Road', 'Avenue', 'Lane'])}"),
        ("address", lambda: fake.street_address()),
        ("city", lambda: fake.city()),
        ("state", lambda: fake.state()),
        ("country", lambda: fake.country()),
        ("company", lambda: fake.company()),
        ("substation", lambda: f"{fake.last_name()} Substation"),
        ("y", lambda: f"{fake.last_name()} {rng.choice(['Energy', 'Power', 'Electric', 'Systems'])}"),
        ("product", lambda: f"{rng.choice(['Power', 'Grid', 'Volt'])}{rng.choice(['Max', 'Line'])} {digits(rng, 3)}"),
        (
            "z",
            lambda: rng.choice(["Oil Temperature", "Load Current", "Tap Position", "Bushing Monitor", "Cooling Fan"]),
        ),
        ("status", lambda: rng.choice(["In Service", "Out Of Order", "Under Repair", "Stand By", "Not Known"])),
        ("phrase", lambda: fake.catch_phrase()),
        ("note", lambda: fake.sentence()),
        ("measure", lambda: rng.choice(["oil_temperature", "load", "tap_position"])),
        ("postal", lambda: fake.postcode()),
        ("feeder", lambda: f"F-{digits(rng, 3)}/{digits(rng, 2)}"),
        ("serial", lambda: f"SN{digits(rng, 11)}"),
        ("batch", lambda: f"{digits(rng, 4)}-{digits(rng, 4)}-{digits(rng, 4)}"),
        ("ean", lambda: fake.ean13()),
        ("isbn", lambda: fake.isbn13()),
        ("color", lambda: fake.color_name()),
        ("job", lambda: fake.job()),
    ]


def _column(rng: random.Random, make: Callable[[], str], rows: int, *, spoiled: float = 0.0) -> list[str | None]:
    def value() -> str | None:
        if rng.random() < 0.1 and rows > 3:
            return None
        return rng.choice(["n/a", "-", "unknown"]) if rng.random() < spoiled else make()

    return [value() for _ in range(rows)]


def identifiers(seed: int, *, repeats: int = 2) -> Iterator[Sample]:
    """Columns of structured identifiers; one in ten values is spoiled where there are enough."""
    rng = random.Random(seed)
    fake = Faker(["en_US", "en_GB", "de_DE"])
    fake.seed_instance(seed)
    fake = _American(fake)
    for tag, columns, make in structured(rng, fake) * repeats:
        for column in columns:
            for rows in ROWS:
                # One or two values say little where the check lets a tenth of all numbers pass, or is only a form.
                if rows < 3 and not column and tag in ("pii.npi", "pii.imei", "pii.dea"):
                    continue
                values = _column(rng, make, rows, spoiled=0.1 if rows > 3 else 0.0)
                yield Sample(name=column or f"c{rng.randrange(100)}", values=values, tag=tag, kind=tag)


def negatives(seed: int, *, repeats: int = 3) -> Iterator[Sample]:
    rng = random.Random(seed + 1)
    fake = Faker("en_US")
    fake.seed_instance(seed + 1)
    for number in range(repeats):
        for name, make in hard_negatives(rng, fake):
            rows = (20, 200, 1000)[number % 3]
            yield Sample(name=name, values=_column(rng, make, rows), tag="", kind=name)


def notes(seed: int, *, columns: int = 30) -> Iterator[Sample]:
    """Free text: some hold one identifier in a few of their values, the others hold numbers that are none."""
    rng = random.Random(seed + 3)
    fake = Faker("en_US")
    fake.seed_instance(seed + 3)
    found: list[tuple[str, Callable[[], str]]] = [
        ("pii.card", lambda: grouped(fake.credit_card_number("visa16"), rng)),
        ("pii.email", lambda: fake.email()),
        ("pii.iban", lambda: fake.iban()),
        ("pii.ssn", lambda: fake.ssn()),
        ("pii.phone", lambda: f"({rng.randrange(201, 990)}) {rng.randrange(200, 999)}-{digits(rng, 4)}"),
        ("", lambda: digits(rng, 16)),
        ("", lambda: f"TX{digits(rng, 7)} at {digits(rng, 10)}"),
        ("", lambda: f"{digits(rng, 4)}-{digits(rng, 2)}-{digits(rng, 2)} {digits(rng, 2)}:15"),
        ("", lambda: f"v{rng.randrange(9)}.{rng.randrange(9)}.{rng.randrange(9)}"),
    ]
    for number in range(columns):
        tag, make = found[number % len(found)]
        values: list[str | None] = [fake.sentence() for _ in range(100)]
        for _ in range(rng.randrange(1, 5)):
            values[rng.randrange(100)] = f"{fake.sentence()} {make()} {fake.word()}."
        yield Sample(name="note", values=values, tag=tag, kind="notes")


def persons(seed: int, *, columns: int = 60) -> Iterator[Sample]:
    """Columns of names made of words that nothing was learned from, in the forms that tables have."""
    rng = random.Random(seed + 2)
    words = unseen_words()

    def word() -> str:
        return rng.choice(words)

    forms: list[tuple[tuple[str, ...], Callable[[], str]]] = [
        (("customer_name", "owner", "c1", "text"), lambda: f"{word()} {word()}"),
        (("full_name", "technician", "c2"), lambda: f"{word()}, {word()}"),
        (("reported_by", "c3"), lambda: f"{word()} {rng.choice('ABCDEFGHKLMNPRST')}. {word()}"),
        (("contact", "c4"), lambda: f"{rng.choice(['Dr.', 'Mr.', 'Mrs.', 'Ms.'])} {word()} {word()}"),
        (("c5",), lambda: f"{word()} {word()}".upper()),
        (("first_name", "last_name", "surname"), word),
    ]
    for number in range(columns):
        names, make = forms[number % len(forms)]
        rows = (20, 200, 1000)[number % 3]
        yield Sample(
            name=rng.choice(names), values=_column(rng, make, rows, spoiled=0.05), tag="pii.name", kind="names"
        )


class _American:
    """Faker over some countries, with the American identifiers of the United States alone."""

    def __init__(self, fake: Faker) -> None:
        self._fake = fake

    def __getattr__(self, name: str):
        return getattr(self._fake["en_US"] if name in ("ssn", "ein") else self._fake, name)
