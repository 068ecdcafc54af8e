"""Contrast of every pair of colours that the stylesheet uses, in both themes, computed from the stylesheet."""

import re
from importlib import resources

import pytest

SHEET = (resources.files("appliance.portal") / "static" / "portal.css").read_text()
TEXT = [
    *[(ink, ground) for ink in ("ink", "soft", "link") for ground in ("ground", "surface")],
    ("ink", "sunken"),
    ("ink", "plain-ground"),
    ("link", "plain-ground"),
    ("on-button", "button"),
    *[(tone, f"{tone}-ground") for tone in ("good", "watch", "bad", "plain")],
    *[(tone, ground) for tone in ("good", "bad") for ground in ("ground", "surface")],
]
PARTS = [
    *[("edge", ground) for ground in ("ground", "surface")],
    *[("button", ground) for ground in ("ground", "surface")],
    *[(bar, "surface") for bar in ("calm-bar", "warm-bar")],
    *[(tone, "surface") for tone in ("good", "watch", "bad")],
]


def themes():
    light, dark = re.findall(r":root \{(.*?)\}", SHEET, re.S)
    tokens = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in (light, dark)]
    assert tokens[0].keys() == tokens[1].keys()
    return dict(zip(("light", "dark"), tokens, strict=True))


def luminance(colour):
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_formula():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_contrast(theme):
    tokens = themes()[theme]
    low = {
        pair: round(contrast(tokens[pair[0]], tokens[pair[1]]), 2)
        for pairs, least in ((TEXT, 4.5), (PARTS, 3.0))
        for pair in pairs
        if contrast(tokens[pair[0]], tokens[pair[1]]) < least
    }
    assert low == {}


def test_every_colour_is_a_token_and_every_token_is_used():
    body = re.sub(r":root \{.*?\}", "", SHEET, flags=re.S)
    assert not re.findall(r"#[0-9a-fA-F]{3,8}\b|rgb\(|hsl\(", body)
    used = set(re.findall(r"var\(--([\w-]+)\)", body))
    assert used == set(themes()["light"])


def test_nothing_is_fetched_from_elsewhere():
    assert "url(" not in SHEET
    assert "@import" not in SHEET
    assert "@font-face" not in SHEET
