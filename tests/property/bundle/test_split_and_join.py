"""Whatever the sizes of files and volumes: what is split fits, and joined it is the same."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.base.errors import ApplianceError
from appliance.base.progress import NoProgress
from appliance.bundle import codes, join, volume, volumes
from appliance.bundle.volumes import plan
from tests.bundles import FILES, write
from tests.volumes import contents

NAMES = st.lists(st.from_regex(r"[a-c]{1,2}(/[a-c]{1,3}){0,2}", fullmatch=True), unique=True, min_size=1, max_size=25)
SIZES = st.integers(0, 300_000)


def fits(names: list[str]) -> list[str]:
    """Without those that are a folder of another one."""
    return [name for name in names if not any(other.startswith(f"{name}/") for other in names)]


@given(
    names=NAMES.map(fits),
    size=st.data(),
    most=st.integers(2_000, 400_000),
    cluster=st.sampled_from([1, 512, 4096, 32768]),
)
@settings(deadline=None)
def test_a_plan_holds_every_byte_once_and_no_volume_too_much(names, size, most, cluster):
    sizes = {name: size.draw(SIZES) for name in names}
    first = names[:1] if sizes[names[0]] < most // 2 else []
    try:
        planned = plan(sizes, first, most, cluster=cluster)
    except ApplianceError as error:
        if error.code is not codes.VOLUME_SIZE:
            raise
        return
    assert set(first) <= {place.path for place in planned[0]}
    for path, whole in sizes.items():
        pieces = sorted((place.offset, place.size_bytes) for each in planned for place in each if place.path == path)
        end = 0
        for offset, part in pieces:
            assert offset == end
            end += part
        assert end == whole
        assert pieces
    for each in planned:
        assert sum(-(-place.size_bytes // cluster) * cluster for place in each) <= most
        assert [place.name for place in each] == sorted({place.name for place in each})
    assert plan(dict(reversed(sizes.items())), first, most, cluster=cluster) == planned


@given(seed=st.integers(0, 2**32), most=st.integers(600_000, 4_000_000))
@settings(max_examples=15, deadline=None)
def test_what_is_joined_is_what_was_split(seed, most):
    noise = random.Random(seed)
    files = dict(FILES)
    for number in range(noise.randrange(8)):
        size = noise.choice([0, 1, 1000, 32_768, 500_000, 2_000_000])
        data = noise.randbytes(max(0, size + noise.randrange(-1, 2)))
        files[f"models/{number}.bin"] = (data, bool(noise.randrange(2)), "models")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "bundle", files=files)
        try:
            volumes.split(folder / "bundle", folder / "all", most, NoProgress())
        except ApplianceError as error:
            if error.code is not codes.VOLUME_SIZE:
                raise
            return
        given_ = sorted((folder / "all").iterdir())
        for each in given_:
            assert sum(path.stat().st_size for path in each.rglob("*") if path.is_file()) <= most
        noise.shuffle(given_)
        for each in given_[:-1]:
            with pytest.raises(ApplianceError) as caught:
                join.join(folder / "out", [each], NoProgress())
            assert caught.value.code is codes.VOLUMES_MISSING
        join.join(folder / "out", given_[-1:], NoProgress())
        assert contents(folder / "out") == contents(folder / "bundle")


EXAMPLE = volume.render(
    volume.Volume(
        format="appliance-volume/1", bundle="demo", version="1.2.0", manifest=f"sha256:{'1' * 64}",
        set=f"sha256:{'2' * 64}", most_bytes=100, number=1, count=2,
        pieces=[
            volume.Piece(path="a/b", name="a/b", offset=0, size_bytes=3, digest=f"sha256:{'3' * 64}"),
            volume.Piece(path="c", name="c.piece-0001", offset=0, size_bytes=3, digest=f"sha256:{'4' * 64}"),
        ],
    )
)  # fmt: skip


@given(place=st.integers(0, len(EXAMPLE) - 1), cut=st.integers(0, 40), put=st.binary(max_size=40))
def test_a_volume_json_is_read_as_it_is_written_or_refused(place, cut, put):
    data = EXAMPLE[:place] + put + EXAMPLE[place + cut :]
    try:
        found = volume.parse(data)
    except ApplianceError as error:
        if error.code is not codes.VOLUME_INVALID:
            raise
    else:
        assert volume.render(found) == data
