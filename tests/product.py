"""The product as its users meet it: commands in processes of their own, on a site in a folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from pathlib import Path

from tests.ports import free_ports

ROOT = Path(__file__).parents[1]
PYTHON = ROOT / ".venv" / "bin" / "python"
MODEL = "incident_risk"
DEVICES, DAYS = 60, 45  # of a small demo
REPLAYED = 250  # requests of shadow and canary; the product's own default is 2,000
# A tenth of so few devices may be none at all, and a canary that nobody asks has failed.
SMALL = (f"pipeline.replay_requests={REPLAYED}", "pipeline.canary_percent=40")
DEMO_SEED = 7  # fixed: on so few devices not every fleet lets a model pass its gates, at every hour of the day
OFFLINE = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def command(*words):
    """The command line of ``appliance WORDS`` with the runtime's interpreter."""
    return [str(PYTHON), "-m", "appliance", *map(str, words)]


def port_settings():
    """Of a gateway, and of as many prediction services as one site ever has."""
    first = free_ports(16)
    return ("--set", f"serving.gateway_port={first}", "--set", f"serving.service_port={first + 1}")


class Ended:
    """A command that has ended: its code, what it printed as JSON, and what it said to people."""

    def __init__(self, done):
        self.code, self.said = done.returncode, done.stderr.decode()
        lines = done.stdout.decode().splitlines()
        self.printed = json.loads(lines[-1]) if lines else {}

    @property
    def error(self):
        return self.printed.get("error", {})


class Product:
    """Runs commands on one site."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def run(self, *words, role="operator", prefix=(), timeout_s=300):
        """Run to the end, whatever the end is."""
        done = subprocess.run(
            [*prefix, *command(*words, "--site", self.folder, "--as", role, "--json")],
            cwd=self.folder.parent, env=ENVIRONMENT, capture_output=True, timeout=timeout_s,
        )  # fmt: skip
        return Ended(done)

    def do(self, *words, role="operator", code=0, **options):
        """Run to an expected end; gives what was printed."""
        ended = self.run(*words, role=role, **options)
        assert ended.code == code, (
            f"appliance {' '.join(map(str, words))} ended with {ended.code}: {ended.said[-3000:]}"
        )
        return ended.printed

    def pipeline(self, *words, **options):
        return self.run("pipeline", "run", MODEL, *words, role="data-scientist", **options)

    def approve(self, version):
        return self.do("model", "approve", version, "--reason", "card read", role="approver")

    def versions(self):
        """version number -> stage."""
        listed = self.do("model", "list", "--name", MODEL, role="auditor")["versions"]
        return {each["version"]: each["stage"] for each in listed}

    def route(self):
        routes = self.do("serve", "status")["routes"]
        return next(each for each in routes if each["model"] == MODEL)

    def set(self, **settings):
        """Change settings in the site file, as an operator does with an editor: ``section__key=value``."""
        path = self.folder / "site.toml"
        lines = path.read_text().splitlines()
        for name, value in settings.items():
            section, key = name.split("__")
            header, line = f"[{section}]", f"{key} = {json.dumps(value)}"
            lines = [each for each in lines if each.partition("=")[0].strip() != key]
            if header not in lines:
                lines.append(header)
            lines.insert(lines.index(header) + 1, line)
        path.write_text("\n".join(lines) + "\n")

    def kill(self, name):
        """kill -9 a process of the site with all that it started; gives their number."""
        mark = f"APPLIANCE_PROCESS={name} {self.folder / 'serving' / 'processes'}".encode()
        killed = 0
        for path in sorted(Path("/proc").glob("[0-9]*/environ"), key=lambda path: int(path.parent.name)):
            with contextlib.suppress(OSError):  # it has ended
                if mark in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)
                    killed += 1
        return killed

    def stop(self):
        """Stop what the product started, then whatever a record still names."""
        self.run("serve", "stop")
        for path in (self.folder / "serving" / "processes").glob("*.json"):
            pid = json.loads(path.read_bytes())["pid"]
            if (Path("/proc") / str(pid)).exists():
                os.kill(pid, signal.SIGKILL)


def make_demo(folder, *, seed, requests=300, settings=(), words=(), timeout_s=420):
    """A whole small demo site in `folder`, by the real command; gives (product, what it printed)."""
    product = Product(folder)
    done = subprocess.run(
        [
            *command("demo", "run", "--devices", DEVICES, "--days", DAYS, "--seed", seed, "--requests", requests),
            *("--no-ett", *port_settings(), *(word for each in settings for word in ("--set", each))),
            *(*words, "--site", str(folder), "--json"),
        ],
        cwd=product.folder.parent, env=ENVIRONMENT, capture_output=True, timeout=timeout_s,
    )  # fmt: skip
    ended = Ended(done)
    if ended.code != 0:
        product.stop()
    assert ended.code == 0, f"seed {seed}: {ended.said[-3000:]}"
    return product, ended.printed
