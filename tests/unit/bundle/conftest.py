"""One releaser and one bundle that is greater than a volume, for the tests of media."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import volumes
from tests.bundles import Releaser, make_releaser


@pytest.fixture(scope="package")
def media_releaser(tmp_path_factory: pytest.TempPathFactory) -> Releaser:
    return make_releaser(tmp_path_factory.mktemp("media-releaser"))


@pytest.fixture(scope="package")
def large_bundle(media_releaser: Releaser, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Do not change it."""
    return media_releaser.make(tmp_path_factory.mktemp("large") / "demo", files=volumes.files())
