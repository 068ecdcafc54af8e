"""Entry point of ``appliance``: the table of nouns, and the only place that turns errors into text and exit codes.

Nouns are imported only when one of their commands runs, so that help starts fast and loads no heavy library.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Sequence

import click

from appliance import __version__
from appliance.base.errors import EXIT_FAILED, EXIT_USAGE, ApplianceError

NOUNS: dict[str, str] = {
    "demo": "Run the whole product on a synthetic transformer fleet",
    "site": "Create, check and show a site; run its servers",
    "ingest": "Take readings and drops from the spool into the lake",
    "connector": "Pull from other systems into the spool",
    "quarantine": "Look at refused readings and bring them in after a fix",
    "table": "List, show and maintain lake tables",
    "subject": "Show and erase what is kept of one subject",
    "schema": "Register and check schemas; show wire schemas and drop mappings",
    "feature": "List, compute and look up features",
    "train": "Train models from recipes",
    "reproduce": "Rebuild a model from its signed statements and compare bytes",
    "model": "Register, approve, promote, retire and show models",
    "serve": "Start, stop and watch the gateway and its models",
    "predict": "Ask the live model for a prediction",
    "drift": "Compare the newest window with the reference",
    "pipeline": "Run the retrain pipeline step by step, resumable",
    "trust": "Signing ceremony, keys, witnesses and trust media",
    "audit": "The audit record, and packs for auditors",
    "bundle": "Declare, pin, fetch and carry everything that a site needs",
    "deploy": "Make a host from a verified bundle, check it and show what runs",
    "portal": "Start the local web pages",
    "verify": "Check everything that an artifact or prediction rests on, offline",
}


class Nouns(click.Group):
    """A group whose members are modules ``appliance.cli.<noun>``, each with its ``group``."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(NOUNS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in NOUNS:
            return None
        loaded = importlib.import_module(f"appliance.cli.{name}").group
        assert isinstance(loaded, click.Command)
        return loaded

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Nouns"):
            formatter.write_dl(list(NOUNS.items()))


@click.group(
    cls=Nouns,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: appliance demo run --site ./site",
)
@click.version_option(__version__, prog_name="appliance")
def appliance() -> None:
    """The air-gapped AI appliance.

    Every command takes --site FOLDER (or APPLIANCE_SITE), --as ROLE and --json.
    Exit codes: 0 done, 1 failed, 2 usage, 3 verification failed, 4 preflight failed, 5 needs approval.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command line; gives the exit code."""
    as_json = "--json" in arguments
    try:
        # Outside standalone mode click gives the code of `Exit` back instead of raising it.
        code = appliance.main(arguments, prog_name="appliance", standalone_mode=False)
    except ApplianceError as error:
        _report(error, as_json)
        return error.code.exit_code
    except click.ClickException as error:
        error.show()
        return EXIT_USAGE
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped. What was finished is kept; run the command again to go on.", err=True)
        return EXIT_FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone; be quiet at exit too
        return EXIT_FAILED
    return code if isinstance(code, int) else 0


def _report(error: ApplianceError, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"error": error.as_dict()}))
    place = f"\n  where: {error.where}" if error.where else ""
    click.echo(f"{error.code.id} {error.code.title}: {error.message}{place}\n  do: {error.hint}", err=True)
