"""Stands for OpenBao where the real one is not needed: keeps what it is told below its path."""

from __future__ import annotations

from typing import Any

ROOT, DEPLOY = "root", "deploy"


class FakeOpenBao:
    """`told`: every change that was made, in order."""

    def __init__(self) -> None:
        self.store: dict[str, Any] = {"sys/mounts": {"data": {}}, "sys/auth": {"data": {}}}
        self.texts: dict[str, str] = {}
        self.tokens = {ROOT}
        self.ids: dict[str, str] = {}
        self.told: list[str] = []
        self.token = ""

    def with_token(self, token: str) -> FakeOpenBao:
        other = FakeOpenBao()
        other.__dict__ |= self.__dict__ | {"token": token}
        return other

    def get(self, path: str) -> Any:
        if path.endswith("/role-id"):
            return {"data": {"role_id": f"id of {path.split('/')[-2]}"}}
        return self.store.get(path)

    def put(self, path: str, body: Any = None) -> Any:
        self.told.append(path)
        if path == "auth/token/revoke-self":
            self.tokens.discard(self.token)
        elif path == "sys/generate-root-token/attempt":
            return {"data": {"nonce": "n", "otp": "\0\0\0\0"}}
        elif path == "sys/generate-root-token/update":
            self.tokens.add(ROOT)
            return {"data": {"encoded_token": "cm9vdA"}}
        elif path.endswith("/secret-id"):
            name = path.split("/")[-2]
            self.ids[name] = f"secret of {name}"
            return {"data": {"secret_id": self.ids[name]}}
        elif path.startswith("sys/mounts/") and path.endswith("/tune"):
            name = path.split("/")[2]
            self.store["sys/mounts"]["data"][f"{name}/"]["config"]["max_lease_ttl"] = int(body["max_lease_ttl"][:-1])
        elif path.startswith("sys/mounts/"):
            found = {"type": body["type"], "options": body["options"], "config": {"max_lease_ttl": 0}}
            self.store["sys/mounts"]["data"][f"{path.split('/')[2]}/"] = found
        elif path == "sys/auth/approle":
            self.store["sys/auth"]["data"]["approle/"] = {}
        elif path.endswith("/root/generate/internal"):
            self.texts[f"{path.split('/')[0]}/ca/pem"] = "-----BEGIN CERTIFICATE-----"
        else:
            self.store[path] = {"data": body}
        return None

    def delete(self, path: str) -> None:
        self.told.append(f"not {path}")

    def text(self, path: str) -> str:
        return self.texts.get(path, "")

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return (200 if self.token in self.tokens else 403), None

    def login(self, folder: Any) -> FakeOpenBao | None:
        try:
            name = (folder / "role-id").read_text().removeprefix("id of ")
            if self.ids.get(name) != (folder / "secret-id").read_text():
                return None
        except OSError:
            return None
        self.tokens.add(DEPLOY)
        return self.with_token(DEPLOY)
