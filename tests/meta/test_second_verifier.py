"""The second verifier stays as small as decision 8 says: an auditor reads all of it before believing it."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "appliance/trust/verifier"
DECISION = ROOT / "docs/adr/0008-size-of-the-second-verifier.md"


def test_it_has_no_more_lines_than_were_decided():
    decided = re.search(r"at most ([\d,]+) lines in modules of at most (\d+)", DECISION.read_text())
    total, of_a_module = (int(number.replace(",", "")) for number in decided.groups())
    lines = {path.name: len(path.read_text().splitlines()) for path in PACKAGE.glob("*.py")}
    assert max(lines.values()) <= of_a_module, lines
    assert sum(lines.values()) <= total, lines


def test_no_line_holds_more_than_one_statement():
    """Lines are not saved by packing them; their length is held by the formatter."""
    for path in PACKAGE.glob("*.py"):
        lines = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.stmt)]
        assert len(set(lines)) == len(lines), path.name
