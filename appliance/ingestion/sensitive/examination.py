"""Which columns are sensitive: shares of their values against the detectors' limits. Pure.

Rules
1. A finding names column, tag and counts, never a value.
2. Of a column's different values at most `MAX_FORMED`, taken evenly, are held against the form, and at most
   `MAX_CHECKED` of those that have it are checked; the counts are scaled. The smallest share that tags a column is 2 %:
   twenty thousand values do not miss it.
3. Every text that is longer than an identifier is searched for one within (`Detector.embedded`), up to `MAX_SEARCHED`
   that can hold one; most of those found must pass the check, and one is enough.
4. The first finding by order of `DETECTORS` stands where several hold for a column; the number of values decides first.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from appliance.ingestion.sensitive.detectors import DETECTORS, Detector, Limits

MAX_FORMED = 20_000
MAX_CHECKED = 5_000
MAX_SEARCHED = 200_000
_CAN_HOLD = r"@|\d{3}"  # what every identifier that is searched within texts has
MAX_CHARACTERS = 2_000  # of a long text
_WORDS = re.compile(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*|\d+")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A column that must be declared.

    Attributes:
        values: that are not empty.
        matches: of these, that pass the check (scaled where not all were looked at).
        named: whether the column's name spoke for it.
        within: whether the values hold it inside longer text.
    """

    column: str
    tag: str
    values: int
    matches: int
    named: bool
    within: bool = False

    @property
    def confidence(self) -> float:
        """Share of values that pass; between 0 and 1."""
        return min(1.0, self.matches / self.values)

    def describe(self) -> str:
        """For people: what was seen, without a value."""
        how = "hold within their text" if self.within else "are"
        name = ", and its name says so" if self.named else ""
        return f"{self.column}: {self.matches} of {self.values} values {how} {self.tag}{name}"


def examine(columns: Mapping[str, pa.Array | pa.ChunkedArray]) -> tuple[Finding, ...]:
    """Findings by column, in the order of `columns`; at most one for each.

    Args:
        columns: values as text; numbers and times are taken as they would be written, other types are passed over.
    """
    found = []
    for name, values in columns.items():
        texts = _texts(values)
        if texts is not None:
            finding = _examine_column(name, texts)
            if finding is not None:
                found.append(finding)
    return tuple(found)


def _texts(values: pa.Array | pa.ChunkedArray) -> pa.Table | None:
    """Different texts without surrounding white space, with their counts; None for types that hold no text."""
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        if not (
            pa.types.is_integer(values.type) or pa.types.is_floating(values.type) or pa.types.is_temporal(values.type)
        ):
            return None
        values = values.cast(pa.string())
    present = values.cast(pa.string()).drop_null()
    counted = pc.value_counts(present.combine_chunks() if isinstance(present, pa.ChunkedArray) else present)
    texts = pc.utf8_trim_whitespace(counted.field("values"))
    table = pa.table({"text": texts, "count": counted.field("counts")})
    return table.filter(pc.not_equal(table["text"], ""))


def _examine_column(name: str, texts: pa.Table) -> Finding | None:
    values = int(pc.sum(texts["count"]).as_py() or 0)
    if not values:
        return None
    sample = _evenly(texts, MAX_FORMED)
    scale = values / int(pc.sum(sample["count"]).as_py())
    words = " ".join(_WORDS.findall(name)).lower()
    best: Finding | None = None
    for detector in DETECTORS:
        limits, named = _limits(detector, words)
        if limits is None:
            continue
        shaped, passed = (round(scale * each) for each in _count(detector, sample))
        if passed and _holds(limits, values, shaped, passed) and (best is None or passed > best.matches):
            best = Finding(column=name, tag=detector.tag, values=values, matches=passed, named=named)
    return best or _within(name, texts, values)


def _limits(detector: Detector, words: str) -> tuple[Limits | None, bool]:
    if detector.vetoed and re.search(detector.vetoed, words):
        return None, False
    named = re.search(detector.named, words) is not None
    return (detector.hinted if named else detector.plain), named


def _holds(limits: Limits, values: int, shaped: int, passed: int) -> bool:
    return passed >= min(limits.hits, values) and passed >= limits.share * values and passed >= limits.passing * shaped


def _count(detector: Detector, texts: pa.Table) -> tuple[int, int]:
    """Values that have the form, and of these those that pass."""
    has_form = texts.filter(pc.match_substring_regex(texts["text"], f"^({detector.form})$"))
    shaped = int(pc.sum(has_form["count"]).as_py() or 0)
    if not shaped:
        return 0, 0
    taken = _evenly(has_form, MAX_CHECKED)
    counts = taken["count"].to_numpy()
    passes = np.fromiter((detector.check(each) for each in taken["text"].to_pylist()), np.bool_, taken.num_rows)
    return shaped, round(shaped * float(counts[passes].sum()) / float(counts.sum()))


def _within(name: str, texts: pa.Table, values: int) -> Finding | None:
    candidates = pc.and_(
        pc.greater(pc.utf8_length(texts["text"]), 12), pc.match_substring_regex(texts["text"], _CAN_HOLD)
    )
    long = _evenly(texts.filter(candidates), MAX_SEARCHED)["text"].to_pylist()
    for detector in DETECTORS:
        if detector.embedded:
            seen, passed = _search(detector, long)
            if passed and 2 * passed > seen:
                return Finding(column=name, tag=detector.tag, values=values, matches=passed, named=False, within=True)
    return None


def _search(detector: Detector, texts: Iterable[str]) -> tuple[int, int]:
    """Forms found within texts, and those that pass; a text that is one as a whole was judged before."""
    pattern = _compiled(detector.embedded)
    seen = passed = 0
    for text in texts:
        for match in pattern.finditer(text[:MAX_CHARACTERS]):
            if len(match[0]) < len(text):
                seen += 1
                passed += detector.check(match[0])
    return seen, passed


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _evenly(table: pa.Table, most: int) -> pa.Table:
    if table.num_rows <= most:
        return table
    return table.take(np.linspace(0, table.num_rows - 1, most).astype(np.int64))
