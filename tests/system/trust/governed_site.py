"""A site that people made with the real commands: a model that is live, a witness, and the pack for the auditor."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.product import Product
from tests.unit.governance.conftest import write_package

MODEL = "thermal/1"
SITE = "north"
ISSUER = f"https://idp.{SITE}.appliance.internal"


@dataclass(frozen=True, kw_only=True)
class Governed:
    """The site's product, its newest pack, and what stands on paper."""

    product: Product
    pack: Path
    root_digest: str
    log_key: str


def identity(role: str) -> str:
    return f"https://{SITE}.appliance.internal/roles/{role}"


def make_governed_site(folder: Path) -> Governed:
    """Ceremony, a model that is registered, approved and live, and a pack that a witness has cosigned."""
    product = Product(folder / "site")
    root_digest = product.do("site", "init", "--set", f"site.name={SITE}")["root_digest"]
    log_key = product.do("trust", "status")["log_key"]
    witness = folder / "witness"
    key = product.do("trust", "witness-init", "--witness", witness, "--name", "w1.audit.example")["key"]
    product.do("trust", "witness-add", "w1", key)
    product.do("model", "register", write_package(folder / "package"), role="data-scientist")
    product.do("model", "approve", MODEL, "--reason", "card read", role="approver")
    product.do("model", "promote", MODEL)
    product.do("trust", "witness-export", folder / "out")
    request, response = folder / "out" / "w1.request", folder / "w1.response"
    product.do("trust", "witness-cosign", request, response, "--witness", witness, "--log-key", log_key)
    product.do("trust", "witness-import", response)
    product.do("audit", "export", folder / "pack", "--models", role="auditor")
    return Governed(product=product, pack=folder / "pack", root_digest=root_digest, log_key=log_key)
