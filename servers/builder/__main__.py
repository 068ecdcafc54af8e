"""``python3 -m servers.builder``: build the third-party servers that are missing, and check all of them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from appliance.base.errors import ApplianceError
from appliance.deploy import codes
from servers.builder import bench
from servers.builder.recipe import load_recipes

ROOT = Path(__file__).parents[2]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python3 -m servers.builder",
        description="Build the third-party servers of servers/ that are missing into .servers, and check every digest.",
        epilog="Example: python3 -m servers.builder minio mc --json",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these; all when none is named")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--list", action="store_true", help="list the recipes and build nothing")
    parser.add_argument("--debian-packages", action="store_true", help="print the Debian packages that are needed")
    parser.add_argument("--relock", action="store_true", help="renew lock and digest of the named recipes")
    chosen = parser.parse_args(arguments)
    try:
        text, data = run(chosen)
    except ApplianceError as error:
        if chosen.json:
            print(json.dumps({"error": error.as_dict()}))
        place = f"\n  where: {error.where}" if error.where else ""
        print(f"{error.code.id} {error.code.title}: {error.message}{place}\n  do: {error.hint}", file=sys.stderr)
        return error.code.exit_code
    print(json.dumps(data) if chosen.json else text)
    return 0


def run(chosen: argparse.Namespace) -> tuple[str, dict[str, object]]:
    """Do what the options say; gives text for people and one object for programs."""
    recipes = load_recipes(ROOT / "servers")
    if chosen.debian_packages:
        packages = [name for each in recipes.values() for name in each.options.get("packages", ())]
        # Maven fetches and resolves; it needs no place on a site.
        return " ".join(["maven", *packages]), {"packages": ["maven", *packages]}
    unknown = [name for name in chosen.names if name not in recipes]
    if unknown:
        message = f"expected names among {', '.join(recipes)}, got {', '.join(unknown)}"
        raise ApplianceError(codes.RECIPE_INVALID, message, where="servers")
    wanted = [recipe for name, recipe in recipes.items() if not chosen.names or name in chosen.names]
    if chosen.list:
        rows = [{"name": each.name, "version": each.version, "kind": each.kind} for each in wanted]
        return "\n".join(f"{each.name:<14} {each.kind:<7} {each.version}" for each in wanted), {"servers": rows}
    folder = ROOT / ".servers"
    if chosen.relock:
        if not chosen.names:
            raise ApplianceError(codes.RECIPE_INVALID, "--relock needs the names of recipes", where="--relock")
        wanted = [bench.relock(recipe, ROOT, folder) for recipe in wanted]
    facts = bench.build_all(wanted, ROOT, folder, lambda line: print(line, file=sys.stderr, flush=True))
    text = "\n".join(f"{each['name']:<14} {each.get('sha256', '')[:16]:<16}  {each['version']}" for each in facts)
    return text, {"servers": facts}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
