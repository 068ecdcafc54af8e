"""What is looked for in columns: one registry, from which the tags' reference page is generated.

A detector says which texts have its form, which of these pass its check, and which names of columns speak for it. What
shares of a column decide is in its two `Limits`: one for columns whose name speaks for it, one for the others. A
detector without limits for others finds nothing in a column whose name says nothing.

Sources: the rules of each identifier are cited in `identifiers`; the shares were chosen on the generated corpus of
`tests/unit/ingestion/sensitive/corpus.py` with these considerations. A check that one of ten random numbers passes
(Luhn) decides only where most texts of the form pass. A form without a checksum that other numbers share (nine digits)
needs the column's name.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.ingestion.sensitive import identifiers, names

NONE = "none"  # what a mapping declares where a finding does not hold


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From where on a column is tagged.

    Attributes:
        share: of the values that are not empty and pass.
        passing: of the values with the form that pass.
        hits: values that pass, at least.
    """

    share: float
    passing: float = 0.0
    hits: int = 1


def _always(_: str) -> bool:
    return True


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Looks for one kind of sensitive value.

    Attributes:
        tag: what a column is tagged with.
        form: the whole text; RE2 and Python read it alike.
        check: of a text that has the form.
        named: searched in the column's name, which is split into words by ``_`` first.
        hinted, plain: limits for columns whose name speaks for it, and for others (None: not looked for).
        embedded: searched within longer texts, such as notes; empty where that would find too much.
        vetoed: searched in the column's name; a match means another thing of the same form.
    """

    tag: str
    title: str
    evidence: str
    form: str
    named: str
    hinted: Limits
    plain: Limits | None
    check: Callable[[str], bool] = field(default=_always)
    embedded: str = ""
    vetoed: str = ""


def _is_address(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    # Numbers of versions have this form too, and small parts.
    return address.version == 6 or max(address.packed) > 63


def _is_birth_date(text: str) -> bool:
    digits = re.findall(r"\d+", text)
    for year, month, day in ((0, 1, 2), (2, 1, 0), (2, 0, 1)):
        try:
            found = dt.date(*(int(digits[place]) for place in (year, month, day)))
        except (ValueError, IndexError):
            continue
        if 1900 <= found.year <= 2100:
            return True
    return False


def _is_phone(text: str) -> bool:
    digits = [each for each in re.split(r"[xe]", text)[0] if each.isdigit()]  # without the extension
    return 8 <= len(digits) <= 15 and len(set(digits)) > 1  # ITU-T E.164: fifteen at most


def _is_place(text: str) -> bool:
    parts = [float(each) for each in re.findall(r"-?\d+\.\d+", text)]
    return all(abs(each) <= 180 for each in parts) and any(each != 0 for each in parts)


DETECTORS: tuple[Detector, ...] = (
    Detector(
        tag="pii.card",
        title="Payment card number",
        evidence="issuer range, length and Luhn checksum",
        form=r"\d{13,19}|\d{4}([ -]\d{4}){2}[ -]\d{1,7}|\d{4}[ -]\d{6}[ -]\d{4,5}|\d{4}([ -]\d{4}){3}[ -]\d{3}",
        check=identifiers.is_card,
        named=r"\b(card|pan|cc|ccnum|creditcard|cardnumber)\b",
        hinted=Limits(share=0.02, passing=0.1),
        plain=Limits(share=0.05, passing=0.5),
        embedded=r"(?<![\w.-])(?:\d{4}[ -]?\d{4}[ -]?\d{4}[ -]?\d{4}|3[47]\d{2}[ -]?\d{6}[ -]?\d{5})(?![\w-])",
    ),
    Detector(
        tag="pii.iban",
        title="International bank account number",
        evidence="length by country and remainder by 97",
        form=r"[A-Za-z]{2}\d{2} ?([A-Za-z0-9]{4} ?){2,7}[A-Za-z0-9]{0,4}",
        check=identifiers.is_iban,
        named=r"\b(iban|account|konto)\b",
        hinted=Limits(share=0.02, passing=0.1),
        plain=Limits(share=0.05, passing=0.5),
        embedded=r"\b[A-Z]{2}\d{2} ?(?:[A-Z0-9]{4} ?){2,7}[A-Z0-9]{1,4}\b",
    ),
    Detector(
        tag="pii.ssn",
        title="United States social security number",
        evidence="parts that are given out; nine digits alone only with the column's name",
        form=r"\d{3}[- ]\d{2}[- ]\d{4}|\d{9}",
        check=identifiers.is_ssn,
        named=r"\b(ssn|social security|socialsecurity|tax ?id|tin)\b",
        hinted=Limits(share=0.1, passing=0.3),
        plain=None,
        embedded=r"(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])",
    ),
    Detector(
        tag="pii.ssn",
        title="United States social security number, written with hyphens",
        evidence="parts that are given out; nearly all values of the form",
        form=r"\d{3}-\d{2}-\d{4}",
        check=identifiers.is_ssn,
        named=r"\b(ssn|social security)\b",
        hinted=Limits(share=0.1, passing=0.3),
        plain=Limits(share=0.5, passing=0.97),
        vetoed=r"\b(part|sku|item|catalog|product|order|serial|meter|asset|device)\b",
    ),
    Detector(
        tag="pii.npi",
        title="United States national provider identifier",
        evidence="Luhn checksum with the prefix 80840",
        form=r"[12]\d{9}",
        check=identifiers.is_npi,
        named=r"\b(npi|provider|prescriber|physician)\b",
        hinted=Limits(share=0.3, passing=0.5),
        plain=Limits(share=0.5, passing=0.9, hits=3),
    ),
    Detector(
        tag="pii.imei",
        title="Mobile equipment identity",
        evidence="fifteen digits, reporting body and Luhn checksum",
        form=r"\d{15}|\d{2}-\d{6}-\d{6}-\d",
        check=identifiers.is_imei,
        named=r"\b(imei|handset|phone|mobile)\b",
        hinted=Limits(share=0.3, passing=0.5),
        plain=Limits(share=0.5, passing=0.9, hits=3),
        vetoed=r"\b(card|pan)\b",
    ),
    Detector(
        tag="pii.ein",
        title="United States employer identification number",
        evidence="prefix that is given out, and the column's name",
        form=r"\d{2}-\d{7}|\d{9}",
        check=identifiers.is_ein,
        named=r"\b(ein|fein|employer|tax ?id)\b",
        hinted=Limits(share=0.3, passing=0.5),
        plain=None,
    ),
    Detector(
        tag="pii.dea",
        title="DEA registration number",
        evidence="checksum of seven digits behind two letters",
        form=r"[ABCDEFGHJKLMPRSTUX][A-Z9]\d{7}",
        check=identifiers.is_dea,
        named=r"\b(dea|prescriber|registrant)\b",
        hinted=Limits(share=0.3, passing=0.5),
        plain=Limits(share=0.5, passing=0.8, hits=3),
    ),
    Detector(
        tag="pii.email",
        title="E-mail address",
        evidence="form",
        form=r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,24}",
        named=r"\b(e ?mail|mail)\b",
        hinted=Limits(share=0.05),
        plain=Limits(share=0.05),
        # Begins where such a text begins and is bounded: a hostile text must not cost the square of its length.
        embedded=r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}"
        r"\.[A-Za-z]{2,24}\b",
    ),
    Detector(
        tag="pii.phone",
        title="Telephone number",
        evidence="country code or parentheses; plain digits only with the column's name",
        form=r"\+?[0-9(][0-9 ()./-]{6,20}[0-9]( ?(x|ext\.?) ?\d{1,6})?",
        check=_is_phone,
        named=r"\b(phone|tel|telephone|mobile|cell|fax|telefon|handy)\b",
        hinted=Limits(share=0.3, passing=0.5),
        plain=None,
        embedded=r"(?<![\w+(])(?:\+[1-9]\d{0,2}[ .-]\(?\d{1,4}\)?[ .-]\d{2,4}[ .-]?\d{2,6}"
        r"|\([2-9]\d{2}\) ?[2-9]\d{2}-\d{4})(?!\w)",
        vetoed=r"\b(model|imei)\b",
    ),
    Detector(
        tag="pii.phone",
        title="Telephone number in a form that nothing else has",
        evidence="country code, parentheses, or the North American groups",
        form=r"\+[1-9][0-9 ()./-]{6,18}[0-9]|(\+?1[ .-]?)?\([2-9]\d{2}\) ?[2-9]\d{2}[ .-]\d{4}"
        r"|(1-)?[2-9]\d{2}[.-][2-9]\d{2}[.-]\d{4}( ?x\d{1,6})?",
        check=_is_phone,
        named=r"\b(phone|tel)\b",
        hinted=Limits(share=0.3),
        plain=Limits(share=0.5),
        vetoed=r"\b(part|sku|item|catalog|product|order|serial|meter|asset|device|model)\b",
    ),
    Detector(
        tag="pii.ip",
        title="Internet address",
        evidence="form, and a part above 63 (version numbers have none)",
        form=r"\d{1,3}(\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}",
        check=_is_address,
        named=r"\b(ip|ipv4|ipv6|address|host)\b",
        hinted=Limits(share=0.2),
        plain=Limits(share=0.5, passing=0.5),
        vetoed=r"\b(firmware|version|release|oid)\b",
    ),
    Detector(
        tag="pii.mac",
        title="Hardware address of a network interface",
        evidence="form",
        form=r"[0-9A-Fa-f]{2}([:-])[0-9A-Fa-f]{2}(([:-])[0-9A-Fa-f]{2}){4}|([0-9A-Fa-f]{4}\.){2}[0-9A-Fa-f]{4}",
        named=r"\bmac\b",
        hinted=Limits(share=0.2),
        plain=Limits(share=0.5),
    ),
    Detector(
        tag="pii.birth_date",
        title="Date of birth",
        evidence="the column's name, and dates since 1900",
        form=r"\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ]00:00(:00)?(\.0+)?Z?)?|\d{1,2}[-/.]\d{1,2}[-/.]\d{4}",
        check=_is_birth_date,
        named=r"\b(dob|birth|birthday|birthdate|born|geburt\w*|naissance)\b",
        hinted=Limits(share=0.3),
        plain=None,
        vetoed=r"\b(place|country|city)\b",
    ),
    Detector(
        tag="pii.location",
        title="Geographic coordinates",
        evidence="a pair of degrees, or the column's name and degrees with three decimals",
        form=r"-?\d{1,3}\.\d{3,}|-?\d{1,3}\.\d{3,} ?[,;] ?-?\d{1,3}\.\d{3,}",
        check=_is_place,
        named=r"\b(lat|latitude|lon|lng|long|longitude|gps|coordinates?|geo|location)\b",
        hinted=Limits(share=0.3, passing=0.8),
        plain=None,
    ),
    Detector(
        tag="pii.location",
        title="Geographic coordinates, two in one text",
        evidence="form and range",
        form=r"-?\d{1,2}\.\d{4,} ?[,;] ?-?\d{1,3}\.\d{4,}",
        check=_is_place,
        named=r"\b(gps|coordinates?)\b",
        hinted=Limits(share=0.3),
        plain=Limits(share=0.5, passing=0.95),
    ),
    Detector(
        tag="phi.diagnosis",
        title="Diagnosis code (ICD-10)",
        evidence="form and the column's name",
        form=r"[A-Za-z]\d[0-9A-Za-z](\.?[0-9A-Za-z]{1,4})?",
        named=r"\b(icd|icd10|diagnosis|dx)\b",
        hinted=Limits(share=0.3),
        plain=None,
    ),
    Detector(
        tag="pii.name",
        title="Name of a person",
        evidence="two or more words that read like names, by letters",
        form=r"[^\d@/\\_:;]{3,80}",
        check=lambda text: names.looks_like_name(text, words=2),
        named=r"\b(name|fullname|customer|patient|contact|person|owner|holder|technician|inspector|operator|employee|"
        r"author|reporter|resident|subscriber|crew|lineman|foreman|user|client|member|doctor|physician|signed|by)\b",
        hinted=Limits(share=0.4),
        plain=Limits(share=0.65),
        vetoed=r"\b(street|city|town|county|state|country|address|company|organi[sz]ation|firm|vendor|supplier|"
        r"manufacturer|maker|brand|product|model|device|asset|station|substation|feeder|site|region|plant|file|host|"
        r"measure|unit|job|role|occupation|color|colour|title|place|ort|strasse)\b",
    ),
    Detector(
        tag="pii.name",
        title="Part of a person's name",
        evidence="the column's name, and single words that read like names",
        form=r"[^\d@/\\_:;]{2,40}",
        check=lambda text: names.looks_like_name(text, words=1),
        named=r"\b(first ?name|last ?name|given ?name|family ?name|surname|forename|middle ?name|vorname|nachname|"
        r"firstname|lastname|nom|prenom|apellido|cognome)\b",
        hinted=Limits(share=0.4),
        plain=None,
    ),
)

TAGS = tuple(dict.fromkeys(each.tag for each in DETECTORS))
"""Every tag that a mapping may declare, but for `NONE`."""
