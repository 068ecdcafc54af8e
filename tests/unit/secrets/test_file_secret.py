"""The suite of secrets over a file."""

import dataclasses

import pytest

from appliance.secrets.secret import FileSecret
from tests.contracts.secrets import CODE, MARK, SecretContract, refused


@dataclasses.dataclass
class Kept:
    secret: FileSecret
    gone: str = CODE.id
    invalid: str = CODE.id

    def write(self, text):
        self.secret.path.write_bytes(text.encode())
        self.secret.path.chmod(0o600)

    def remove(self):
        self.secret.path.unlink()


@pytest.fixture
def kept(tmp_path):
    return Kept(FileSecret(tmp_path / "a secret"))


class TestFile(SecretContract):
    pass


def test_a_file_that_others_may_read_is_refused(kept):
    kept.write(MARK)
    kept.secret.path.chmod(0o640)
    assert "got 640" in str(refused(lambda: kept.secret.read(code=CODE)))
