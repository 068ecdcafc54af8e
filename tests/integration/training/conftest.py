"""A site with data, and a trainer that uses the installed training environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from appliance.training.environment import default_python
from tests.integration.training.synthetic_site import make_site


@pytest.fixture(scope="session")
def training_python():
    python = Path(os.environ.get("APPLIANCE_TRAINING_PYTHON") or default_python())
    if not python.is_file():
        pytest.skip(f"the training environment is not installed: {python}; run make training")
    return python


@pytest.fixture(scope="session")
def site(tmp_path_factory, training_python):
    return make_site(tmp_path_factory.mktemp("site"), training_python)


@pytest.fixture(scope="session")
def trained(site):
    return site.trainer.train(site.recipes["incident_risk"])
