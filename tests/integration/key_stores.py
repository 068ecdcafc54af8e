"""Real key stores for tests: a SoftHSM token and an OpenBao server, each made in a folder of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.ports import free_ports

ROOT = Path(__file__).parents[2]
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "271828"


def write_secret(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def make_token(folder: Path, label: str = "enclave") -> str:
    """A SoftHSM token; gives its address. The driver reads SOFTHSM2_CONF, which this sets for all that follows."""
    (folder / "tokens").mkdir(parents=True)
    settings = folder / "softhsm2.conf"
    settings.write_text(f"directories.tokendir = {folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(settings)
    words = ["softhsm2-util", "--init-token", "--free", "--label", label, "--so-pin", "314159", "--pin", PIN]
    subprocess.run(words, check=True, capture_output=True)
    pin = write_secret(folder / "pin", PIN + "\n")
    return f"pkcs11:token={label}?module-path={SOFTHSM}&pin-source={pin}"


def recipe() -> Any:
    """The module ``servers/openbao/server.py``."""
    found = importlib.util.spec_from_file_location("openbao_server", ROOT / "servers/openbao/server.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["openbao_server"] = module
    found.loader.exec_module(module)
    return module


def start_server(folder: Path) -> Any:
    """A running, unsealed OpenBao server for the site north."""
    server = recipe().Server(folder, free_ports(2), "north")
    server.start()
    server.unseal()
    server.prepare()
    return server


def address_of(server: Any) -> str:
    return f"openbao:{server.address}?prefix=north-&token-file={server.folder}/enclave-token"
