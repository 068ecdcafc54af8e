"""How every benchmark is asked and how it answers: one figure of a peer, one of ours, their ratio and its goal.

1. With ``--json`` stdout holds one JSON object and nothing else; ``python -m benchmarks`` reads it.
2. With ``--small`` the sizes are those for CI, and so is the goal.
3. The exit code is 0 when the ratio reaches the goal, and 1 when it does not.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable

DIGITS = 4  # of a figure; more would not come out twice


def arguments(doc: str, *, small: str) -> argparse.ArgumentParser:
    """The options of a benchmark; `doc` is its module's docstring, `small` what is smaller."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.add_argument("--small", action="store_true", help=f"{small}, for CI")
    return parser


def answer(
    name: str, *, peer: float, ours: float, unit: str, ratio: float, goal: float, table: Iterable[str], as_json: bool
) -> int:
    """Print the outcome; gives the exit code.

    Args:
        peer, ours: in `unit`.
        ratio: how many times better ours is, 1 is as good.
        table: lines for people.
    """
    holds = ratio >= goal
    if as_json:
        figures = {"peer": _rounded(peer), "ours": _rounded(ours), "unit": unit}
        print(json.dumps({"name": name, **figures, "ratio": round(ratio, 2), "goal": round(goal, 2), "holds": holds}))
    else:
        print(*table, sep="\n")
        print(f"ratio {ratio:.2f}, goal {goal:.3g}: {'holds' if holds else 'MISSED'}")
    return 0 if holds else 1


def _rounded(figure: float) -> float:
    return float(f"{figure:.{DIGITS}g}")
