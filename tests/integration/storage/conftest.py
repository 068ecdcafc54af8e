"""Real servers for all tests of this folder: MinIO and PostgreSQL by the product's commands, versitygw by hand."""

import contextlib
import subprocess
import time

import pytest

from appliance.base.clock import SystemClock
from appliance.deploy.servers import certificates
from appliance.deploy.servers.place import HOST
from tests.integration.servers.running import Servers
from tests.integration.storage.stores import S3, Folder
from tests.ports import free_port


@pytest.fixture(scope="session")
def site():
    """A site none of whose servers runs yet; those below start on it."""
    made = Servers()
    made.place.folder.mkdir(mode=0o700)
    certificates.issue(made.place, ("versitygw",), SystemClock())
    yield made
    made.remove()


@pytest.fixture(scope="session")
def minio(site):
    site.up("minio")
    return S3(
        name="minio",
        address=site.place.address("minio"),
        secret_file=site.place.secret_file("minio"),
        authority=site.place.authority,
        drive=site.place.folder / "minio" / "data",
    )


def settings_on(site):
    """Of a site with its data on both servers, that has nothing yet. What was in the catalog before is gone."""
    site.up("minio", "postgresql")
    return {f"storage.{key}": value for key, value in site.data().items()}


@pytest.fixture(scope="session")
def versitygw(site):
    """It has a recipe and no module of its own: the second store is there to keep the product honest."""
    home, place = site.place.home("versitygw"), site.place
    made = S3(
        name="versitygw",
        address=f"{HOST}:{free_port()}",
        secret_file=place.secret_file("versitygw"),
        authority=place.authority,
        drive=home / "objects",
    )
    environment = {"ROOT_ACCESS_KEY": made.access_key, "ROOT_SECRET_KEY": place.secret("versitygw"), "HOME": str(home)}
    for folder in (home / "objects", home / "versions"):
        folder.mkdir()
    process = subprocess.Popen(
        [
            *(place.built("versitygw"), "--port", made.address, "--quiet"),
            *("--cert", place.certificate("versitygw"), "--key", place.key("versitygw")),
            *("posix", "--versioning-dir", home / "versions", home / "objects"),
        ],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=(home / "log").open("wb"),
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 20
        while True:
            with contextlib.suppress(Exception):
                made.client().list_buckets()
                break
            assert process.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield made
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return Folder(tmp_path_factory.mktemp("folder"))


@pytest.fixture(params=["folder", "minio", "versitygw"])
def kind(request):
    """Each kind of store in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=["minio", "versitygw"])
def s3(request):
    """Each S3 server in turn."""
    return request.getfixturevalue(request.param)
