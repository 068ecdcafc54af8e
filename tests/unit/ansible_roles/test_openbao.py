"""OpenBao is set up once, by a root token that is gone afterwards; a later run looks by a role that changes nothing."""

import contextlib
import stat
from types import SimpleNamespace

import pytest
from ansible.module_utils.openbao_api import OpenBaoError, keep, new_password

from appliance.deploy.servers import openbao_access
from tests.unit.ansible_roles.an_openbao import ROOT, FakeOpenBao
from tests.unit.ansible_roles.conftest import ROOT as ANSIBLE
from tests.unit.ansible_roles.rendering import data_of


@pytest.fixture
def told(tmp_path):
    for name in ("keys", "deploy"):
        (tmp_path / name).mkdir(mode=0o700)
    return {
        "engines": {"site": {"type": "kv", "options": {"version": "2"}}, "pki": {"type": "pki", "max_lease_ttl": 60}},
        "policies": {"deploy": "path ..."},
        "roles": {"deploy": {"token_policies": ["deploy"], "token_ttl": 900, "token_bound_cidrs": ["127.0.0.1/32"]}},
        "kept": {"deploy": str(tmp_path / "deploy")},
        "authority": {"mount": "pki", "common_name": "appliance", "hours": 1, "roles": {"service": {"key_type": "ec"}}},
    }


def settled(plugin, server, told, tmp_path, *, check=False):
    module = SimpleNamespace(check_mode=check)
    return plugin("modules", "openbao")._settled(module, server, told, tmp_path / "keys")


@pytest.fixture
def made(plugin, told, tmp_path):
    """Set up by the root token of the initialization."""
    server = FakeOpenBao()
    (tmp_path / "keys/root-token").write_text(ROOT)
    assert settled(plugin, server, told, tmp_path) == ["ids of deploy"]
    return server


def test_everything_is_there_and_the_root_token_is_not(made, tmp_path):
    assert made.store["sys/mounts"]["data"]["pki/"]["config"]["max_lease_ttl"] == 60
    assert made.store["sys/policies/acl/deploy"] == {"data": {"policy": "path ..."}}
    assert ROOT not in made.tokens
    assert list((tmp_path / "keys").iterdir()) == []
    for each in (tmp_path / "deploy").iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


def test_a_second_run_changes_nothing(plugin, made, told, tmp_path):
    made.store["sys/policies/acl/deploy"] = {"data": {"policy": "path ...", "name": "deploy"}}
    made.told.clear()
    assert settled(plugin, made, told, tmp_path) == []
    assert set(made.told) == {"auth/token/revoke-self"}


@pytest.fixture
def changed(made, told):
    told["policies"]["deploy"] = "path other"
    for name in told["policies"]:
        made.store[f"sys/policies/acl/{name}"]["data"].setdefault("policy", "")
    return told


def test_a_look_changes_nothing(plugin, made, changed, tmp_path):
    made.told.clear()
    assert settled(plugin, made, changed, tmp_path, check=True) == ["policy deploy"]
    assert set(made.told) == {"auth/token/revoke-self"}


def test_a_difference_takes_the_recovery_key(plugin, made, changed, tmp_path):
    (tmp_path / "keys/recovery-key").write_text("recovery")
    assert settled(plugin, made, changed, tmp_path) == ["policy deploy"]
    assert made.store["sys/policies/acl/deploy"]["data"]["policy"] == "path other"
    assert ROOT not in made.tokens
    assert [each.name for each in (tmp_path / "keys").iterdir()] == ["recovery-key"]


def test_without_it_the_run_ends_and_says_how_to_go_on(plugin, made, changed, tmp_path):
    with pytest.raises(OpenBaoError, match="custodians make one by `bao operator generate-root`"):
        settled(plugin, made, changed, tmp_path)


def test_a_run_that_was_killed_before_the_revocation_ends_it(plugin, made, told, tmp_path):
    (tmp_path / "keys/root-token").write_text(ROOT)
    made.tokens.add(ROOT)
    assert settled(plugin, made, told, tmp_path) == ["root token revoked"]
    assert ROOT not in made.tokens
    assert not (tmp_path / "keys/root-token").exists()


def test_an_engine_of_another_kind_is_not_touched(plugin, made, told, tmp_path):
    told["engines"]["site"]["type"] = "transit"
    with pytest.raises(OpenBaoError, match="site/ is an engine of another kind, kv"):
        settled(plugin, made, told, tmp_path)


@pytest.mark.parametrize(
    ("found", "same"),
    [({"a": ["127.0.0.1"], "more": 1}, True), ({"a": ["127.0.0.2/32"]}, False), ({}, False)],
)
def test_networks_are_compared_by_what_they_mean(plugin, found, same):
    assert plugin("modules", "openbao").same(found, {"a": ["127.0.0.1/32"]}) is same


def test_a_token_is_decoded(plugin):
    assert plugin("modules", "openbao").decoded("AAAA", "abc") == "abc"


def initialization(tmp_path, seal, **others):
    keys = tmp_path / "keys"
    keys.mkdir(exist_ok=True)
    return {"folder": str(keys), "seal": seal, "shares": 5, "threshold": 3, "shares_folder": None, **others}


class Initialized(FakeOpenBao):
    def ask(self, method, path, body=None):
        count = body.get("secret_shares", body.get("recovery_shares"))
        return 200, {"root_token": "r", "keys_base64": ["k"] * count, "recovery_keys_base64": ["v"]}


class Refuses(FakeOpenBao):
    def ask(self, method, path, body=None):
        return 400, {"errors": ["no"]}


def test_each_custodian_gets_a_file(plugin, tmp_path):
    shares = tmp_path / "shares"
    shares.mkdir(mode=0o700)
    init = plugin("modules", "openbao_init")
    told = initialization(tmp_path, "shares", shares_folder=str(shares))
    init.initialize(Initialized(), told)
    files = sorted(shares.iterdir())
    assert [each.name for each in files] == [f"custodian-{number}" for number in range(1, 6)]
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    assert [each.name for each in (tmp_path / "keys").iterdir()] == ["root-token"]
    with pytest.raises(OpenBaoError, match="shares of another initialization"):
        init.initialize(Initialized(), told)


@pytest.mark.parametrize("mode", [None, 0o755])
def test_shares_go_nowhere_that_others_read(plugin, tmp_path, mode):
    shares = tmp_path / "shares"
    if mode:
        shares.mkdir()
        shares.chmod(mode)
    with pytest.raises(OpenBaoError, match=r"openbao_shares_folder|root's alone"):
        plugin("modules", "openbao_init").share_files(shares, 5)


def test_the_recovery_key_of_a_static_seal_is_beside_its_key(plugin, tmp_path):
    plugin("modules", "openbao_init").initialize(Initialized(), initialization(tmp_path, "static"))
    assert {each.name: each.read_text() for each in (tmp_path / "keys").iterdir()} == {
        "recovery-key": "v",
        "root-token": "r",
    }


@pytest.mark.parametrize("seal", ["static", "shares"])
@pytest.mark.parametrize("cut_at", range(7))
def test_an_initialization_that_was_cut_is_set_aside_and_begun_anew(plugin, tmp_path, monkeypatch, seal, cut_at):
    init = plugin("modules", "openbao_init")
    shares, data = tmp_path / "shares", tmp_path / "state/data"
    shares.mkdir(mode=0o700)
    data.mkdir(parents=True)
    (data / "raft").write_text("nobody has its keys")
    told = initialization(tmp_path, seal, shares_folder=str(shares), data=str(data))
    written = []

    def cut(path, content, **options):
        if len(written) == cut_at:
            raise KeyboardInterrupt
        written.append(path.name)
        keep(path, content, **options)

    monkeypatch.setattr(init, "keep", cut)
    with contextlib.suppress(KeyboardInterrupt):
        init.initialize(Initialized(), told)
    whole = written[1:] != [] and written[-1] == "root-token"
    assert init.was_cut(tmp_path / "keys") == (bool(written) and not whole)
    if init.was_cut(tmp_path / "keys"):
        init.set_aside(told, 7.9)
        assert [each.read_text() for each in (tmp_path / "state").glob("data.cut-7/raft")] == ["nobody has its keys"]
    monkeypatch.setattr(init, "keep", keep)
    if not whole:
        init.initialize(Initialized(), told)
    assert (tmp_path / "keys/root-token").read_text() == "r"
    assert len(list(shares.iterdir())) == (5 if seal == "shares" else 0)


def test_what_openbao_refuses_is_told_and_sets_nothing_aside(plugin, tmp_path):
    init = plugin("modules", "openbao_init")
    with pytest.raises(OpenBaoError, match="400"):
        init.initialize(Refuses(), initialization(tmp_path, "static"))
    assert not init.was_cut(tmp_path / "keys")


def test_a_seal_key_that_is_damaged_is_not_made_again(plugin, tmp_path):
    problem = plugin("modules", "secret_file").problem
    key = tmp_path / "seal-key"
    keep(key, b"x" * 32)
    assert problem(key, 32) == ""
    key.chmod(0o640)
    assert "mode 0600" in problem(key, 32)
    key.write_bytes(b"")
    assert "it is not made again" in problem(key, 32)


def test_passwords_are_long_and_never_the_same():
    made = {new_password() for _ in range(100)}
    assert len(made) == 100
    assert {len(each) for each in made} == {40}
    assert all(each.isalnum() for each in made)


def test_a_file_is_never_seen_with_other_rights(tmp_path):
    path = tmp_path / "key"
    keep(path, b"one", mode=0o640)
    keep(path, b"two")
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["key"]


def test_roles_of_the_product_read_what_they_read_in_development(plugin):
    here = data_of(ANSIBLE / "roles/openbao/defaults/main.yml")["openbao_readers"]
    there = {role: [each.path for each in passwords] for role, passwords in openbao_access.ROLES.items()}
    assert {role: sorted(entries) for role, entries in here.items()} == {
        role: sorted(entries) for role, entries in there.items()
    }
    access = plugin("filter", "openbao_access")
    for role, passwords in openbao_access.ROLES.items():
        assert sorted(access.openbao_policies(here, "site")[role].splitlines()) == sorted(
            openbao_access.policy_of("site", passwords).splitlines()
        )


def test_a_role_has_its_policy_alone(plugin):
    made = plugin("filter", "openbao_access").openbao_roles(["a"], ["127.0.0.1/32"], "900")
    assert made["a"]["token_policies"] == ["a"]
    assert made["a"]["token_ttl"] == 900
    assert made["a"]["token_no_default_policy"] is True
