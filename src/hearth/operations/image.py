"""Build the OCI image of the bento, with its SBOM, or of the road, with podman, buildah or docker, whichever works here."""

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from hearth import road_image
from hearth.bento import NAME, extract
from hearth.errors import Refusal
from hearth.native import LIBRARY
from hearth.operations.native import library
from hearth.paths import BENTO, CONTAINERFILE, SBOM
from hearth.road_image import RoadImage
from hearth.sbom import sbom
from hearth.storage import read_bytes, read_json, read_text, read_yaml, write_bytes

ENGINES = ("podman", "buildah", "docker")
SIZE_MB_MAX = 500
UNITS = {"B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9}
# podman and buildah: their other format, OCI, has no place for a health check; and times that make equal builds equal.
FLAGS = {"podman": ("--format", "docker", "--timestamp", "315532800"), "docker": ()}
FLAGS["buildah"] = FLAGS["podman"]


@dataclass(frozen=True)
class Image:
    """Be what is to be built: the image's name, and what its labels and its SBOM say."""

    tag: str
    model_version: str
    bill: bytes
    containerfile: ClassVar[Path] = CONTAINERFILE
    size_mb_max: ClassVar[int] = SIZE_MB_MAX

    @property
    def told(self) -> dict[str, str]:
        """Return the arguments of its build."""
        return {"MODEL_VERSION": self.model_version}

    @property
    def about(self) -> str:
        """Return in words what is in it."""
        return f"model {self.model_version}; its SBOM: {SBOM}"

    @property
    def usage(self) -> str:
        """Return the end of the command that runs it."""
        return (f"           --memory 1g -v hearth-log:/log -p 127.0.0.1:3000:3000 {self.tag}\n"
                f"with monitor and store:  HEARTH_IMAGE={self.tag} docker compose -f deploy/compose.yaml up -d")  # fmt: skip


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take what is built, the base image and the engine."""
    parser.add_argument("--road", action="store_true", help="build the image in which schedulers run the stages")
    parser.add_argument("--base", help="base image with Python 3.11; tools/base.sh makes one without any registry")
    parser.add_argument("--engine", choices=ENGINES, help="what builds (default: the first that works here)")


def run(options: argparse.Namespace) -> int:
    """Build, measure, and say how to run it; refuse an image that is too large."""
    engine = options.engine or working_engine()
    image: Image | RoadImage
    with TemporaryDirectory(prefix="hearth-image-") as scratch:
        context = Path(scratch)
        if options.road:
            image = road_image.lay_out(context)
        else:
            image = lay_out(read_bytes(BENTO), context)
            write_bytes(SBOM, image.bill)
        build(engine, image, context, options.base)
    megabytes = size(engine, image.tag) / 1e6
    print(f"{image.tag}: {megabytes:.0f} MB, {image.about}")
    if megabytes > image.size_mb_max:
        raise Refusal(
            f"{image.tag} has {megabytes:.0f} MB, wanted at most {image.size_mb_max}; take a smaller base image."
        )
    runner = "docker" if engine == "docker" else "podman"
    print(f"run it:  {runner} run --rm --read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges \\")
    print(image.usage)
    return 0


def working_engine() -> str:
    """Return the first engine that is here and answers; a client without its engine does not count."""
    for engine in ENGINES:
        if (
            shutil.which(engine)
            and not subprocess.run([engine, "version"], capture_output=True, check=False).returncode
        ):
            return engine
    found = [engine for engine in ENGINES if shutil.which(engine)]
    why = f"{', '.join(found)} is here but does not answer" if found else "none of podman, buildah and docker is here"
    raise Refusal(f"{why}; install the package podman, or start the engine.")


def lay_out(bento: bytes, context: Path) -> Image:
    """Lay the unpacked bento and its SBOM into the empty folder `context`; return what is to be built from it."""
    folder = context / "bento"
    try:
        with tarfile.open(fileobj=io.BytesIO(bento), mode="r:xz") as archive:
            extract(archive, folder)
    except (tarfile.TarError, EOFError) as error:
        raise Refusal(f"{BENTO} is no bento ({error}); `make run` makes it.") from None
    version = str(read_yaml(folder / "bento.yaml")["version"])
    manifest = read_json(folder / "src/model/manifest.json")
    bill = sbom(NAME, version, read_text(folder / "src/requirements.txt"), manifest)
    write_bytes(context / "sbom.cdx.json", bill)
    (context / "native").mkdir()
    try:
        write_bytes(context / "native" / LIBRARY, library())
    except Refusal as refusal:
        print(f"note: the image will compute in numpy, which is slower: {refusal}", file=sys.stderr)
    return Image(f"{NAME}:{version}", str(manifest["model_version"]), bill)


def build(engine: str, image: Image | RoadImage, context: Path, base: str | None) -> None:
    """Build the image; the engine's own words go to the terminal."""
    if subprocess.run(build_command(engine, image, context, base), check=False).returncode:
        raise Refusal(f"{engine} could not build the image, see above; without a registry, `sh tools/base.sh` makes a "
                      "base image and `make image BASE=localhost/hearth-base:bookworm` takes it (or `make image-road BASE=...`).")  # fmt: skip


def build_command(engine: str, image: Image | RoadImage, context: Path, base: str | None) -> list[str]:
    """Return the command that builds the image."""
    told = image.told | {"REVISION": revision()} | ({"BASE": base} if base else {})
    words = [word for name, value in told.items() for word in ("--build-arg", f"{name}={value}")]
    return [engine, "build", *FLAGS[engine], *words, "-t", image.tag, "-f", str(image.containerfile), str(context)]


def revision() -> str:
    """Return the commit that is checked out, with a word where files differ from it; `unknown` outside git."""
    commit = _said(["git", "rev-parse", "HEAD"])
    return "unknown" if not commit else f"{commit}-changed" if _said(["git", "status", "--porcelain"]) else commit


def size(engine: str, tag: str) -> float:
    """Return the image's size in bytes; buildah tells it in words."""
    if engine != "buildah":
        return float(_said([engine, "image", "inspect", "--format", "{{.Size}}", tag]))
    [told] = json.loads(_said(["buildah", "images", "--json", tag]))
    number, unit = re.fullmatch(r"([\d.]+) ?(\w+)", told["size"]).groups()  # type: ignore[union-attr]
    return float(number) * UNITS[unit.upper()]


def _said(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
