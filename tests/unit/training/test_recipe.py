"""Recipes: strict, complete, and the same after a round trip through a package."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.base.canonical import canonical
from appliance.base.errors import ApplianceError
from appliance.demo import declarations
from appliance.training.recipe import as_json, find_recipe, load_recipes, recipe_digest, recipe_of_json, uses_gpu

FOLDER = Path(declarations.__path__[0]) / "recipes"
RECIPES = load_recipes(FOLDER)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.model)
def test_the_resolved_recipe_is_canonical_and_reads_back(recipe):
    canonical(as_json(recipe))
    assert recipe_of_json(as_json(recipe)) == recipe
    assert recipe_digest(recipe_of_json(as_json(recipe))) == recipe_digest(recipe)


def test_only_torch_takes_a_gpu():
    assert {recipe.model for recipe in RECIPES if uses_gpu(recipe)} == {"ett_forecast_torch", "incident_risk_torch"}


def test_an_unknown_model_lists_the_declared_ones():
    with pytest.raises(ApplianceError, match=r"no recipe declares 'x'; declared: .*incident_risk") as caught:
        find_recipe(RECIPES, "x")
    assert caught.value.code.id == "APL-TRAINING-002"


@pytest.mark.parametrize(
    ("name", "old", "new", "code", "message"),
    [
        ("incident_risk", 'owner = "transformer-analytics"\n', "", "APL-CONFIG-004", "owner"),
        ("incident_risk", 'staleness_limit = "30d"', 'staleness_limit = "soon"', "APL-BASE-004", "soon"),
        ("incident_risk", 'gap = "24h"', 'gap = "1h"', "APL-TRAINING-001", "labels would leak"),
        ("incident_risk", "train = 0.6", "train = 0.9", "APL-TRAINING-001", "leave nothing to test on"),
        (
            "incident_risk",
            'known_axis = "arrived_at"',
            'known_axis = "event_time"',
            "APL-TRAINING-001",
            "event axis and",
        ),
        ("incident_risk", 'offset = "15min"', 'offset = "9h"', "APL-TRAINING-001", "not below spine.every"),
        ("incident_risk", 'offset = "15min"', 'start = "yesterday"', "APL-TRAINING-001", "not an RFC 3339 instant"),
        (
            "incident_risk",
            '"gradient_boosting"',
            '"hist_gradient_boosting"',
            "APL-CONFIG-004",
            "hist_gradient_boosting",
        ),
        ("incident_risk", "seed = 7", "seed = -1", "APL-CONFIG-004", "seed"),
        ("ett_forecast_ridge", 'target = "ot"', 'target = "XX"', "APL-TRAINING-001", "XX is not among the channels"),
        ("ett_forecast_ridge", "720]", "721]", "APL-TRAINING-001", "no limit for horizon 721"),
    ],
)
def test_a_faulty_recipe_is_refused_by_that_fault_alone(tmp_path, name, old, new, code, message):
    text = (FOLDER / f"{name}.toml").read_text()
    assert old in text
    (tmp_path / "r.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(ApplianceError) as caught:
        load_recipes(tmp_path)
    assert caught.value.code.id == code
    assert message in caught.value.message
    assert caught.value.where == str(tmp_path / "r.toml") or code == "APL-BASE-004"


def test_a_model_declared_twice_is_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.toml").write_text((FOLDER / "incident_risk.toml").read_text())
    with pytest.raises(ApplianceError, match="declared twice"):
        load_recipes(tmp_path)
