"""Packs a registered model as a Bento and names the command that serves it.

The Bento holds the model package and one line that names our service. It is built in a process of its own: BentoML
keeps global state and imports the service it builds. `BENTOML_HOME` is inside the site, the build asks no network.
It is built in a draft and renamed into place, so that a build that was killed leaves no half of a Bento.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from appliance.base import atomic, process
from appliance.config.site import Site

SERVICE = """from appliance.serving.service import Model

__all__ = ["Model"]
"""
BUILD = """
import sys, bentoml
tag, folder = sys.argv[1:]
name, _, version = tag.partition(":")
bentoml.build("service:Model", name=name, version=version, build_ctx=folder, include=["service.py", "package/*"],
              python={"lock_packages": False})
"""


class Bentos:
    """The Bentos of one site."""

    def __init__(self, site: Site) -> None:
        self._home = site.serving / "bentoml"

    @property
    def environment(self) -> dict[str, str]:
        # The folder of our interpreter comes first: BentoML looks for uv on the path.
        import os

        return {
            "BENTOML_HOME": str(self._home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
            "OMP_NUM_THREADS": "1",
        }

    def build(self, name: str, version: int, package: Path) -> Path:
        """The Bento of a version; built unless it is there. Gives its folder.

        Raises:
            ApplianceError: APL-BASE-003.
        """
        inside = Path("bentos") / _bento_name(name) / f"v{version}"
        folder = self._home / inside
        if folder.is_dir():
            return folder
        draft = self._home / "draft"
        atomic.remove_tree(draft)
        context = draft / "context"
        context.mkdir(parents=True)
        (context / "service.py").write_text(SERVICE, encoding="utf-8")
        shutil.copytree(package, context / "package")
        process.run(
            [sys.executable, "-c", BUILD, f"{_bento_name(name)}:v{version}", context],
            timeout_s=120,
            extra_environment={**self.environment, "BENTOML_HOME": str(draft)},
            tied=True,
        )
        folder.parent.mkdir(parents=True, exist_ok=True)
        (draft / inside).rename(folder)
        atomic.fsync_folder(folder.parent)
        atomic.remove_tree(draft)
        return folder

    def package_in(self, folder: Path) -> Path:
        return folder / "src" / "package"

    def command(self, folder: Path, port: int) -> list[str]:
        """The command line that serves the Bento in `folder` on loopback."""
        return [
            *(sys.executable, "-m", "bentoml", "serve", str(folder)),
            *("--host", "127.0.0.1"),
            *("--port", str(port)),
        ]


def _bento_name(name: str) -> str:
    return name.replace("_", "-")
