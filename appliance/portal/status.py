"""Status words. Each has a tone and a sign, so that no status is told by colour alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tone = Literal["good", "watch", "bad", "plain"]
SIGNS: dict[Tone, str] = {"good": "✓", "watch": "▲", "bad": "✕", "plain": "●"}


@dataclass(frozen=True, kw_only=True)
class Status:
    tone: Tone
    text: str

    @property
    def sign(self) -> str:
        return SIGNS[self.tone]


def good(text: str) -> Status:
    return Status(tone="good", text=text)


def watch(text: str) -> Status:
    return Status(tone="watch", text=text)


def bad(text: str) -> Status:
    return Status(tone="bad", text=text)


def plain(text: str) -> Status:
    return Status(tone="plain", text=text)


STAGES = {
    "candidate": watch("Waiting for approval"),
    "approved": good("Approved"),
    "live": good("Live"),
    "retired": plain("Retired"),
}
SEVERITIES = {"critical": bad("Critical"), "warning": watch("Warning"), "info": plain("Info")}
FRESHNESS = {"fresh": good("Within limit"), "stale": bad("Over limit"), "never": plain("No data")}
OUTCOMES = {
    "positive": watch("Positive"),
    "negative": plain("Negative"),
    "value": plain("Value"),
    "abstain": plain("Abstained"),
}
CHECKS = {
    "failed": bad("Failed"),
    "skipped": bad("Not judged"),
    "warned": watch("Warned"),
    "passed": good("Passed"),
    "never run": plain("Never run"),
}
FEATURE_STATES = {
    "ok": good("Ok"),
    "default": watch("Default used"),
    "abstain": bad("No usable value"),
    "reject": bad("Rejected"),
}


def of(words: dict[str, Status], word: str) -> Status:
    """The status of a word; one that is not in the table is shown as it is."""
    return words.get(word) or plain(word or "unknown")
