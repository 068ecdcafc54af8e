"""The grammar of feature expressions, and nothing else.

    expression = term { ("+" | "-") term }            term   = factor { ("*" | "/") factor }
    factor     = ["-"] ( number | aggregate | "(" expression ")" )
    aggregate  = function "(" measure [ "," duration ] ")"     function = mean max min sum std slope count last

Rules
1. A measure is a name, or ``source.name`` where a view has several sources.
2. The window of an aggregate is (t - duration, t]. `last` may leave the duration out: the TTL of its view counts.
3. The result is a postfix program over terms; the same program runs in batch and online (`features.compute`).
4. Not here on purpose: conditions, functions of the clock, user code. What cannot be written is a new function above.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from appliance.base.duration import duration_us
from appliance.base.errors import ApplianceError
from appliance.features import codes

FUNCTIONS = ("count", "sum", "mean", "min", "max", "std", "slope", "last")  # the kernel knows them by index
MAX_CHARACTERS = 500
MAX_DEPTH = 20

_TOKEN = re.compile(
    r"\s*(?:(?P<duration>\d+(?:us|ms|min|s|h|d)\b)|(?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)"
    r"|(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)|(?P<sign>[-+*/(),]))"
)


@dataclass(frozen=True, kw_only=True)
class Term:
    """One aggregate. `span_us` is 0 where the TTL of the view counts."""

    function: str
    measure: str
    span_us: int


@dataclass(frozen=True, kw_only=True)
class Expression:
    """A compiled expression.

    Attributes:
        terms: the aggregates in order of appearance, each once.
        program: postfix; an int is the index of a term, a float a constant, a text one of ``+ - * / neg``.
    """

    text: str
    terms: tuple[Term, ...]
    program: tuple[int | float | str, ...]


def parse_expression(text: str) -> Expression:
    """Compile `text`.

    Raises:
        ApplianceError: APL-FEATURES-003.
    """
    if len(text) > MAX_CHARACTERS:
        raise ApplianceError(codes.EXPRESSION_INVALID, f"{len(text)} characters, at most {MAX_CHARACTERS} are read")
    return _Parser(text).parse()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        self._next = 0
        self._terms: list[Term] = []
        self._program: list[int | float | str] = []
        self._depth = 0
        position = 0
        stripped = text.rstrip()
        while position < len(stripped):
            match = _TOKEN.match(stripped, position)
            if match is None:
                raise self._fault(f"cannot read {stripped[position:].strip()[:20]!r}")
            self._tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            position = match.end()

    def parse(self) -> Expression:
        self._sum()
        if self._next < len(self._tokens):
            raise self._fault(f"expected the end, got {self._tokens[self._next][1]!r}")
        if not self._terms:
            raise self._fault("reads no measure: a constant is not a feature")
        return Expression(text=self._text, terms=tuple(self._terms), program=tuple(self._program))

    def _sum(self) -> None:
        self._product()
        while (sign := self._take("+", "-")) is not None:
            self._product()
            self._program.append(sign)

    def _product(self) -> None:
        self._factor()
        while (sign := self._take("*", "/")) is not None:
            self._factor()
            self._program.append(sign)

    def _factor(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._fault(f"nested deeper than {MAX_DEPTH}")
        if self._take("-") is not None:
            self._factor()
            self._program.append("neg")
        elif self._take("(") is not None:
            self._sum()
            self._need(")")
        else:
            kind, value = self._advance("a number, an aggregate or a bracket")
            if kind == "number":
                self._program.append(float(value))
            elif kind == "name" and value in FUNCTIONS:
                self._aggregate(value)
            else:
                raise self._fault(f"expected one of {', '.join(FUNCTIONS)}, got {value!r}")
        self._depth -= 1

    def _aggregate(self, function: str) -> None:
        self._need("(")
        kind, measure = self._advance("a measure")
        if kind != "name":
            raise self._fault(f"expected a measure in {function}(), got {measure!r}")
        span_us = 0
        if self._take(",") is not None:
            kind, value = self._advance("a duration")
            if kind != "duration":
                raise self._fault(f"expected a duration such as 24h in {function}(), got {value!r}")
            span_us = duration_us(value)
        elif function != "last":
            raise self._fault(f"{function}({measure}) needs a window, for example {function}({measure}, 24h)")
        self._need(")")
        term = Term(function=function, measure=measure, span_us=span_us)
        if term not in self._terms:
            self._terms.append(term)
        self._program.append(self._terms.index(term))

    def _advance(self, expected: str) -> tuple[str, str]:
        if self._next >= len(self._tokens):
            raise self._fault(f"expected {expected}, got the end")
        self._next += 1
        return self._tokens[self._next - 1]

    def _take(self, *signs: str) -> str | None:
        if self._next < len(self._tokens) and self._tokens[self._next] in [("sign", sign) for sign in signs]:
            self._next += 1
            return self._tokens[self._next - 1][1]
        return None

    def _need(self, sign: str) -> None:
        if self._take(sign) is None:
            got = self._tokens[self._next][1] if self._next < len(self._tokens) else "the end"
            raise self._fault(f"expected {sign!r}, got {got!r}")

    def _fault(self, message: str) -> ApplianceError:
        return ApplianceError(codes.EXPRESSION_INVALID, f"{message} in {self._text!r}")
