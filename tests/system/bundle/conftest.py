"""A checkout with the bundle ``demo``, locked and fetched from the real sources of this machine."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.bundle import lock as locks
from appliance.bundle.lock import Lock
from appliance.bundle.store import Store
from appliance.cli.main import run
from tests.bare_debian import bare_debian

__all__ = ["bare_debian"]
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Renewed:
    """`checkout`: has the declarations of this one, its servers and pip locks, and a lock of its own."""

    checkout: Path
    store: Store

    @property
    def lock(self) -> Lock:
        return locks.load(self.checkout / "bundles/demo.lock.json")

    def ask(self, capsys: pytest.CaptureFixture[str], verb: str, *words: str) -> tuple[int, dict]:
        capsys.readouterr()
        places = ("--checkout", str(self.checkout), "--store", str(self.store.folder))
        code = run(["bundle", verb, *words, *places, "--json"])
        return code, json.loads(capsys.readouterr().out)


def make_renewed(folder: Path, store: Store) -> Renewed:
    """Not locked yet."""
    if not (ROOT / ".servers/versitygw/built.json").exists() or shutil.which("apt-get") is None:
        pytest.skip("needs make servers and Debian's apt")
    folder.mkdir(exist_ok=True)
    for name in ("offline_wheels", "servers", ".servers", ".venv-uv"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "bundles").mkdir()
    shutil.copyfile(ROOT / "bundles/demo.toml", folder / "bundles/demo.toml")
    return Renewed(checkout=folder, store=store)


@pytest.fixture(scope="session")
def renewed(tmp_path_factory: pytest.TempPathFactory) -> Renewed:
    """Locked now: the lock of the repository names versions that Debian may have replaced since."""
    store = Store(tmp_path_factory.mktemp("store"))
    made = make_renewed(tmp_path_factory.mktemp("checkout"), store)
    places = ("--checkout", str(made.checkout), "--store", str(store.folder))
    for verb in ("lock", "fetch"):
        assert run(["bundle", verb, "demo", *places]) == 0
    return made
