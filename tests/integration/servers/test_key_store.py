"""The transit key store over TLS: the server's certificate is judged by the authority that the address names alone."""

from pathlib import Path

import certifi
import hvac
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.base.errors import ApplianceError
from appliance.trust.keystores.address import open_store
from tests.product import Product

pytestmark = pytest.mark.integration

STRANGERS = Path(certifi.where())  # authorities that did not issue the server's certificate


@pytest.fixture(scope="module")
def address(servers):
    """Of the key store; the test says whom it trusts."""
    servers.up("openbao")
    where = f"https://{servers.place.address('openbao')}"
    client = hvac.Client(url=where, token=servers.secret("openbao-root-token"), verify=str(servers.place.authority))
    if "transit/" not in client.sys.list_mounted_secrets_engines()["data"]:
        client.sys.enable_secrets_engine("transit")
    return f"openbao:{where}?prefix=tls-&token-file={servers.place.secret_file('openbao-root-token')}"


def test_the_authority_of_the_address_is_trusted(servers, address):
    store = open_store(f"{address}&ca-file={servers.place.authority}")
    key = store.load("log") if store.holds("log") else store.create("log", "p256")
    key.public.verify(key.sign(b"data"), b"data", ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize("case", ["another authority", "the system's", "the environment's"])
def test_a_server_of_another_authority_gets_no_token(servers, address, case, monkeypatch):
    if case == "the environment's":
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(servers.place.authority))
    named = f"{address}&ca-file={STRANGERS}" if case == "another authority" else address
    audit = servers.place.folder / "openbao" / "audit.log"
    before = audit.stat().st_size
    with pytest.raises(ApplianceError, match="APL-KEYS-002") as caught:
        open_store(named).holds("log")
    assert "SSLError" in caught.value.message
    assert audit.stat().st_size == before


def test_a_site_that_keeps_its_keys_there(servers, address, tmp_path):
    product = Product(tmp_path / "site")
    keys = f"{address.replace('prefix=tls-', 'prefix=site-')}&ca-file={servers.place.authority}"
    product.do("site", "init", "--set", f"trust.keys={keys}")
    assert product.do("site", "check")["problems"] == []
