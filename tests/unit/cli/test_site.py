"""Settings as people ask for them."""

import json

from appliance.cli.main import run


def shown(capsys, *words):
    code = run(["site", "show", *words, "--json"])
    return code, json.loads(capsys.readouterr().out or "{}")


def test_a_section_shows_its_own_settings_and_no_other(tmp_path, capsys):
    site = ("--site", str(tmp_path / "site"))
    assert run(["site", "init", *site]) == 0
    capsys.readouterr()
    code, every = shown(capsys, *site)
    assert code == 0
    sections = {each["key"].partition(".")[0] for each in every["settings"]}
    for section in sections:
        code, part = shown(capsys, section, *site)
        assert code == 0
        assert part["settings"] == [each for each in every["settings"] if each["key"].startswith(f"{section}.")]
    assert shown(capsys, "nothing", *site)[0] == 2


def test_a_check_does_not_say_that_an_openbao_is_well_which_nothing_was_read_from(tmp_path, capsys):
    site = ("--site", str(tmp_path / "site"))
    assert run(["site", "init", *site, "--set", "secrets.openbao=https://127.0.0.1:9"]) == 0
    capsys.readouterr()
    assert run(["site", "check", *site]) == 0
    told = capsys.readouterr().out
    assert "ok  log" in told
    assert "openbao" not in told
