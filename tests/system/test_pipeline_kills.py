"""kill -9 at random moments of `appliance pipeline run`: the end is the one of an undisturbed run.

Compared are all rows of the tables, the answers of the trials, versions and artifact ids; besides, nothing may be
answered twice, the ledger must balance, the audit chain must hold, and no process may be left. The long form with
twenty kills is `make proof-pipeline-kills`.
"""

import pytest

from tests.product import REPLAYED, SMALL
from tests.system.kills import prove

pytestmark = pytest.mark.integration


def test_a_killed_pipeline_ends_like_an_undisturbed_one(tmp_path, seed):
    figures = prove(tmp_path, seed=seed, kills=6, requests=REPLAYED + 50, settings=SMALL)
    assert len(figures["kills"]) == 6, f"seed {seed}"
