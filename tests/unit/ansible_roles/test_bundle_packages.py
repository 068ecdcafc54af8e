"""What apt is asked, and what its words mean."""

from pathlib import Path

from appliance.bundle import apt_repository

LIST = (
    "Package: chrony\nArchitecture: amd64\nVersion: 4.3-2+deb12u3\nDescription: x\n\nPackage: jq\nVersion: 1.6-2.1\n\n"
)
SIMULATED = """\
Reading package lists...
Remv systemd-timesyncd [252.39-1~deb12u2]
Inst chrony (4.3-2+deb12u3 appliance:appliance [amd64])
Inst libc6 [2.36-9] (2.36-9+deb12u13 appliance:appliance [amd64]) [libc6-dev:amd64 ]
Conf chrony (4.3-2+deb12u3 appliance:appliance [amd64])
"""


def test_versions_of_a_list(plugin):
    assert plugin("modules", "bundle_packages").versions_of(LIST) == {"chrony": "4.3-2+deb12u3", "jq": "1.6-2.1"}


def test_what_apt_would_do(plugin):
    comes, goes = plugin("modules", "bundle_packages").steps_of(SIMULATED)
    assert comes == {"chrony": "absent -> 4.3-2+deb12u3", "libc6": "2.36-9 -> 2.36-9+deb12u13"}
    assert goes == ["systemd-timesyncd"]


def test_the_source_is_that_of_the_bundle(plugin):
    folder = Path("/opt/appliance/bundle/1.0.0-0123456789ab")
    assert plugin("modules", "bundle_packages").source_of(folder) == apt_repository.source(folder)


def test_no_other_source_is_asked(plugin):
    words = plugin("modules", "bundle_packages").options(Path("/s/appliance.sources"), Path("/s/lists"))
    assert {"Dir::Etc::SourceList=/s/appliance.sources", "Dir::Etc::SourceParts=-"} <= set(words)
