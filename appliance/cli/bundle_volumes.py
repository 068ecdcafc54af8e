"""``appliance bundle split|join|iso|write|forecast``: a bundle on media, and what it needs of time and room."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import asdict
from pathlib import Path

import click

from appliance.base.progress import NoProgress
from appliance.cli.command import Call, Result, command
from appliance.cli.progress import terminal_progress
from appliance.cli.text import table

_folder = click.Path(path_type=Path)


class _Size(click.ParamType[int]):
    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        from appliance.bundle.volumes import parse_size

        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@command("bundle", "split", needs_site=False, example="appliance bundle split build/bundles/core ./volumes --size 25GB")
@click.argument("folder", type=_folder)
@click.argument("out", type=_folder)
@click.option("--size", type=_Size(), required=True, metavar="4GB|25GB|BYTES", help="Greatest size of a volume.")
@click.option("--only", type=click.IntRange(1), metavar="NUMBER", help="Write this one volume; all when left out.")
def split(call: Call, folder: Path, out: Path, size: int, only: int | None) -> Result:
    """Write the bundle in FOLDER as volumes of plain files into OUT: vol-001, vol-002 and so on.

    The same bundle and size give the same volumes. With --only one of them is written straight to its medium. A rerun
    keeps the volumes that are there.
    """
    from appliance.bundle import volumes

    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        done = volumes.split(folder.absolute(), out.absolute(), size, progress, only=only)
    kept = f", {len(done.kept)} were there" if done.kept else ""
    text = f"{len(done.made)} of {done.count} volumes, {done.size_bytes / 1e6:,.1f} MB, were written to {out}{kept}"
    return Result(data=asdict(done), text=text)


@command(
    "bundle",
    "join",
    needs_site=False,
    example="appliance bundle join /srv/core /media/stick1/vol-001 /media/stick2/vol-002",
)
@click.argument("out", type=_folder)
@click.argument("volumes", nargs=-1, required=True, type=_folder)
def join(call: Call, out: Path, volumes: tuple[Path, ...]) -> Result:
    """Put the bundle together in the new folder OUT from its volumes, each byte copied once and hashed on the way.

    With one drive run it once per volume: it goes on, in any order, and ends with code 1 and APL-BUNDLE-044 until the
    last one was given. OUT is there when the bundle is complete. Then run: bundle verify OUT.
    """
    from appliance.bundle import join as joining

    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        done = joining.join(out.absolute(), [each.absolute() for each in volumes], progress)
    data = {"folder": str(out), "manifest": done.manifest, "files": done.files, "copied": done.copied}
    return Result(data=data, text=f"{done.files} files are in {out}; {done.copied / 1e6:,.1f} MB were copied now")


@command("bundle", "iso", needs_site=False, example="appliance bundle iso build/bundles/core ./core.iso")
@click.argument("folder", type=_folder)
@click.argument("file", type=_folder)
def iso(call: Call, folder: Path, file: Path) -> Result:
    """Write the bundle in FOLDER as an ISO 9660 image into the new FILE; the same bundle gives the same bytes.

    Needs Debian's xorriso. What is mounted from it verifies as FOLDER does.
    """
    from appliance.bundle import iso as images

    with terminal_progress(NoProgress() if call.as_json else None) as progress:
        done = images.write(folder.absolute(), file.absolute(), progress)
    data = {"file": str(file), "size_bytes": done.size_bytes, "digest": done.digest}
    return Result(data=data, text=f"{done.size_bytes / 1e6:,.1f} MB are in {file}\n{done.digest}")


@command(
    "bundle",
    "write",
    needs_site=False,
    example="appliance bundle write build/bundles/core /dev/sdb --yes-erase 4C530001071218115260",
)
@click.argument("folder", type=_folder)
@click.argument("device", type=_folder)
@click.option("--yes-erase", metavar="SERIAL-OR-NAME", default="", help="The device that may be erased, by its serial.")
@click.option("--scratch", type=_folder, help="Where the image lies meanwhile; beside FOLDER when left out.")
def write(call: Call, folder: Path, device: Path, yes_erase: str, scratch: Path | None) -> Result:
    """Write the bundle in FOLDER, or an image of one, to DEVICE as an ISO image; everything on it is lost.

    It is read back from the medium and compared. A device that is in use, a partition and the disks of this system are
    refused. Without --yes-erase it tells what the device is. For root only.
    """
    from appliance.bundle import device as devices
    from appliance.bundle import iso as images
    from appliance.bundle import release

    folder, device = folder.absolute(), device.absolute()
    with contextlib.ExitStack() as stack:
        progress = stack.enter_context(terminal_progress(NoProgress() if call.as_json else None))
        image = folder
        if folder.is_dir():
            # Before the image is made, which takes a while; and again, with its size, before it is written.
            devices.check(device, release.read_manifest(folder).size_bytes, yes_erase)
            place = scratch.absolute() if scratch else folder.parent
            image = (
                Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".tmp-image-", dir=place))) / "image.iso"
            )
            images.write(folder, image, progress)
        done = devices.write(image, device, yes_erase, progress)
    data = {"device": done.device.name, "size_bytes": done.size_bytes, "digest": done.digest}
    text = f"{done.size_bytes / 1e6:,.1f} MB were written to {done.device} and read back: {done.digest}"
    return Result(data=data, text=text)


@command(
    "bundle",
    "forecast",
    needs_site=False,
    example="appliance bundle forecast /media/stick/core --target /srv --measure /media/stick/core",
)
@click.argument("folder", type=_folder)
@click.option("--target", type=_folder, help="Where it is to be installed; ends with 4 when there is no room.")
@click.option("--medium-mb-per-s", type=click.FloatRange(min=0, min_open=True), help="Speed of the medium.")
@click.option("--measure", type=_folder, metavar="DEVICE-OR-FOLDER", help="Measure that speed here, by reading.")
def forecast(
    call: Call, folder: Path, target: Path | None, medium_mb_per_s: float | None, measure: Path | None
) -> Result:
    """Tell what the bundle in FOLDER needs of time and room, from its manifest alone. FOLDER may be the first volume.

    Nothing of it is verified.
    """
    from appliance.bundle import forecast as forecasting
    from appliance.bundle import release

    if medium_mb_per_s is not None and measure is not None:
        raise click.UsageError("give --medium-mb-per-s or --measure, not both")
    made = release.read_manifest(folder.absolute())
    speed = medium_mb_per_s * 1e6 if medium_mb_per_s else None
    if measure is not None:
        call.say(f"reading from {measure}")
        speed = forecasting.measure(measure.absolute())
    found = forecasting.forecast(made, medium_bytes_per_s=speed)
    if target is not None:
        forecasting.require_room(target.absolute(), found.installed, found.files)
    free = forecasting.room_at(target.absolute()).free_bytes if target else None
    rows = [
        ("read from the medium, once for verifying", found.read),
        ("written by join or import", found.joined),
        ("as an ISO image", found.image),
        ("installed, with a tenth to spare", found.installed),
        *([(f"free at {target}", free)] if free is not None else []),
    ]
    lines = [table(("what", "MB"), [(what, round(size / 1e6, 1)) for what, size in rows])]
    if speed and found.time_s is not None:
        lines += ["", f"one reading takes {_minutes(found.time_s)} at {speed / 1e6:,.1f} MB/s"]
    data = {**asdict(found), "medium_bytes_per_s": speed, "free": free}
    return Result(data=data, text="\n".join(lines))


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


COMMANDS = (split, join, iso, write, forecast)
