"""The site file is strict: one declaration per setting, unknown keys refused, nothing half-made."""

import pytest

from appliance.base.errors import ApplianceError
from appliance.config.model import SiteFile
from appliance.config.site import init_site, open_site, setting_rows

BAD = {
    "unknown section": ("[nonsense]\na = 1\n", "nonsense"),
    "unknown key": ("[site]\nnam = 'x'\n", "nam"),
    "wrong type": ("[ingest]\ncommit_rows = 'many'\n", "commit_rows"),
    "a float for a count": ("[ingest]\ncommit_rows = 1.5\n", "commit_rows"),
    "out of range": ("[pipeline]\ncanary_percent = 100\n", "canary_percent"),
    "bad name": ("[site]\nname = 'North Site'\n", "name"),
    "not TOML": ("[site\n", "Expected"),
    "wrong encoding": ("[site]\nname = 'n\xf6rd'\n".encode("latin-1"), "utf-8"),
}


@pytest.mark.parametrize("name", BAD)
def test_refuses(name, tmp_path):
    text, message = BAD[name]
    path = tmp_path / "site.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ApplianceError, match=message) as caught:
        open_site(tmp_path)
    assert caught.value.code.id == "APL-CONFIG-002"
    assert caught.value.where == str(path)


def test_a_missing_key_means_its_default(tmp_path):
    (tmp_path / "site.toml").write_text("[site]\nname = 'north'\n")
    site = open_site(tmp_path)
    assert site.settings.site.name == "north"
    assert site.settings.ingest == SiteFile().ingest


def test_init_writes_only_the_changes_and_never_over_a_site(tmp_path):
    site = init_site(tmp_path / "s", {"site.name": "north", "ingest.trust_received_at": True})
    assert (site.settings.site.name, site.settings.ingest.trust_received_at) == ("north", True)
    with pytest.raises(ApplianceError, match="APL-CONFIG-003"):
        init_site(tmp_path / "s", {})


def test_a_refused_change_leaves_no_site(tmp_path):
    with pytest.raises(ApplianceError, match="APL-CONFIG-002"):
        init_site(tmp_path / "s", {"site.name": "NOT VALID"})
    assert not (tmp_path / "s").exists()


def test_no_site_here(tmp_path):
    with pytest.raises(ApplianceError, match="APL-CONFIG-001"):
        open_site(tmp_path)


def test_every_setting_has_type_default_and_help():
    rows = list(setting_rows(SiteFile()))
    assert len(rows) > 20
    for row in rows:
        assert row.help.endswith("."), row.key
        assert row.type, row.key
        assert row.value == row.default
        if row.type == "integer":
            assert row.unit, f"{row.key} is a number without a unit"
