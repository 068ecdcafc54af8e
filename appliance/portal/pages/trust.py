"""Trust: why an artifact can be trusted, each link of the chain checked anew from bytes when the page is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.base.clock import rfc3339
from appliance.orchestration.verification import Verifier
from appliance.portal import status
from appliance.portal.pages.query import text
from appliance.portal.pages.reading import read
from appliance.portal.rendering import Page
from appliance.portal.view import PortalData
from appliance.trust.verdict import Link, Verdict

RETRY_AFTER_S = 20
EXAMPLES = 3

KINDS = {
    "recomputed": ("Recomputed", "Done again from the bytes that are there, and compared with what was recorded."),
    "signature": ("Signatures", "Checked offline against the site's own trust root, by the unmodified verifier."),
    "lineage": ("Lineage", "What rests on what. The id of a document is its digest and must be an entry of the log."),
    "file": ("Files", "Each file below the subject, against the digest that was logged when it was written."),
    "log": ("Transparency log", "Every entry is hashed again, up to the signed root."),
    "audit": ("Audit records", "Who did what: the chain of records, and the signature of each by a role key."),
    "trust": ("Trust root", "The public keys and certificates that everything above is checked with."),
    "model": ("Model", "The version that answered, as the log knows it."),
    "check": ("Checks", "Other checks of the chain."),
}


EXPLAINED = ("recomputed", "signature", "lineage", "file", "log", "audit", "trust")

# From the subject down: a step holds the links whose artifact begins with one of its words.
STEPS = (
    (
        ("prediction ", "commit predictions.", "raw spool:predictions", "raw predictions:"),
        "The answer",
        "record and recomputation",
    ),
    (("model ",), "The model", "package, signatures"),
    (("training-set ",), "Training set", "rows by digest"),
    (("commit ", "silver.", "labels."), "The tables", "commit by commit"),
    (("raw ",), "Raw bytes", "files that came in"),
    (("",), "Log and keys", "entries, checkpoint"),
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One stage of the way from the subject down to the log."""

    title: str
    meaning: str
    count: int
    ok: bool


@dataclass(frozen=True, kw_only=True)
class Group:
    """Links of one kind about one artifact."""

    name: str
    links: tuple[Link, ...]

    @property
    def ok(self) -> bool:
        return all(link.ok for link in self.links)


@dataclass(frozen=True, kw_only=True)
class Section:
    """Links of one kind, by artifact."""

    kind: str
    title: str
    meaning: str
    groups: tuple[Group, ...]

    @property
    def count(self) -> int:
        return sum(len(group.links) for group in self.groups)

    @property
    def ok(self) -> bool:
        return all(group.ok for group in self.groups)


def subject_of(query: Mapping[str, str]) -> str:
    """What to verify; empty when the form was not filled in."""
    return text(query, "id", most=512)


def form(data: PortalData) -> Page:
    """The form, with ids to try."""
    newest = read("the lake", lambda: data.predictions(EXAMPLES, {}).to_pylist())
    models = read("the models", lambda: [f"{name}/{version}" for name, version in data.models().versions])
    return Page(
        template="trust.html",
        context={
            "nav": "trust",
            "predictions": newest.value if newest else [],
            "models": models.value if models else [],
            "kinds": {kind: KINDS[kind] for kind in EXPLAINED},
        },
    )


def verify(data: PortalData, subject: str) -> Page:
    """Verify and show. Takes as long as reading everything below the subject.

    Raises:
        ApplianceError: APL-VERIFY-001, nothing of that name is known.
    """
    started = data.clock.now()
    verdict = Verifier(data.site, data.clock).verify(subject)
    return Page(
        template="verdict.html",
        context={
            "nav": "trust",
            "verdict": verdict,
            "state": status.good("Verified") if verdict.ok else status.bad("NOT VERIFIED"),
            "checked_at": rfc3339(started),
            "took_s": (data.clock.now() - started).total_seconds(),
            "steps": steps(verdict.links),
            "sections": sections(verdict.links),
            "subject_page": page_of(verdict),
            "bad_mark": status.bad("Does not hold"),
        },
    )


def busy(subject: str) -> Page:
    return Page(
        template="busy.html",
        context={"nav": "trust", "subject": subject, "retry_after_s": RETRY_AFTER_S},
        status=503,
        headers={"retry-after": str(RETRY_AFTER_S)},
    )


def steps(links: Sequence[Link]) -> tuple[Step, ...]:
    """The links summed up on the way down; steps that the subject does not have are left out."""
    of_step: list[list[Link]] = [[] for _ in STEPS]
    for link in links:
        index = next(index for index, (words, _, _) in enumerate(STEPS) if link.name.startswith(words))
        of_step[index].append(link)
    return tuple(
        Step(title=title, meaning=meaning, count=len(mine), ok=all(link.ok for link in mine))
        for (_, title, meaning), mine in zip(STEPS, of_step, strict=True)
        if mine
    )


def sections(links: Sequence[Link]) -> tuple[Section, ...]:
    """The links in the order in which a reader asks; kinds that are not known come last."""
    kinds = [*KINDS, *sorted({link.kind for link in links} - KINDS.keys())]
    found = []
    for kind in kinds:
        names = dict.fromkeys(link.name for link in links if link.kind == kind)
        if not names:
            continue
        title, meaning = KINDS.get(kind, (kind.capitalize(), ""))
        groups = tuple(
            Group(name=name, links=tuple(link for link in links if (link.kind, link.name) == (kind, name)))
            for name in names
        )
        found.append(Section(kind=kind, title=title, meaning=meaning, groups=groups))
    return tuple(found)


def page_of(verdict: Verdict) -> str:
    """The page of the subject itself, empty when it has none."""
    if verdict.subject.startswith("pr-"):
        return f"/predictions/{verdict.subject}"
    name, slash, version = verdict.subject.partition("/")
    return f"/models/{name}/{version}" if slash and version.isdecimal() else ""
