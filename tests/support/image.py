"""An image built and run without a container engine.

Each stage is an overlay over this machine's own files and Python, which stand in for the base
image; the steps are those of the Dockerfile. All mounts are in a namespace of their own, and what
the steps write is in its memory: both are gone with the process that holds them.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.dockerfile import Step, read_dockerfile
from tests.support.tools import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.dockerfile import Stage

_PATH = f"{sys.base_prefix}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DECLARED = {"EXPOSE", "STOPSIGNAL"}
"""Steps that neither the build nor what runs depends on."""

_HOLD = 'mount -t tmpfs tmpfs "$0" && echo mounted && exec cat'


@dataclass(frozen=True)
class Mounts:
    """A mount namespace, in which `folder` is in memory."""

    pid: int
    folder: Path

    def seen(self, path: Path) -> Path:
        """Return where a path of the namespace is seen from outside of it."""
        return Path(f"/proc/{self.pid}/root{path}")

    def command(self, *arguments: str) -> list[str]:
        """Return the command line that runs a command in the namespace."""
        return ["nsenter", f"--target={self.pid}", "--mount", *arguments]

    def run(self, *arguments: str) -> None:
        """Run a command in the namespace, to a good end."""
        done = subprocess.run(self.command(*arguments), capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{arguments}:\n{done.stdout}{done.stderr}"

    def root(self, name: str) -> Path:
        """Make a root of its own above this machine's files."""
        parts = {part: self.folder / name / part for part in ("upper", "work", "root")}
        for part in parts.values():
            self.seen(part).mkdir(parents=True)
        layers = f"lowerdir=/,upperdir={parts['upper']},workdir={parts['work']}"
        self.run("mount", "-t", "overlay", "overlay", "-o", layers, str(parts["root"]))
        for system in ("/dev", "/proc"):
            self.run("mount", "--rbind", system, f"{parts['root']}{system}")
        # A base image's Python can be reached by everybody; this one may be in somebody's home.
        for parent in Path(sys.base_prefix).parents:
            place = self.seen(parts["root"] / parent.relative_to("/"))
            place.chmod(place.stat().st_mode | 0o111)
        return parts["root"]


@contextlib.contextmanager
def mount_namespace(folder: Path) -> Iterator[Mounts]:
    """Hold a mount namespace. It takes root and the right to mount; see `missing` for without."""
    if os.geteuid() != 0:
        missing("building the image without a container engine takes root")
    # It ends when its standard input does, and so with this process, however that ends.
    with subprocess.Popen(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", _HOLD, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout
        if holder.stdout.readline() != "mounted\n":
            missing("this machine lets nobody mount, not even root")
        yield Mounts(holder.pid, folder)
        holder.communicate()


@dataclass
class Image:
    """What was built, and how it is to be run."""

    mounts: Mounts
    root: Path
    environment: dict[str, str]
    variables: dict[str, str]
    """What `${NAME}` stands for: the environment and the arguments of the build."""
    folder: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def seen(self) -> Path:
        """Where its root is seen from outside."""
        return self.mounts.seen(self.root)

    def freeze(self) -> None:
        """Make the root read-only, with an empty volume of the folder's owner at each VOLUME."""
        for volume in self.volumes:
            owner = (self.seen / volume.lstrip("/")).stat()
            options = f"uid={owner.st_uid},gid={owner.st_gid},mode=0755"
            self.mounts.run("mount", "-t", "tmpfs", "-o", options, "tmpfs", f"{self.root}{volume}")
        self.mounts.run("mount", "-o", "remount,ro", str(self.root))

    def command(self, arguments: list[str], variables: Mapping[str, str]) -> list[str]:
        """Return the command line that runs `arguments` in the image as its user."""
        user, group = self.user.split(":")
        return self.mounts.command(
            "chroot",
            str(self.root),
            *("setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups"),
            *("--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"),
            *("env", "-i", *(f"{k}={v}" for k, v in {**self.environment, **variables}.items())),
            *arguments,
        )


def build_image(mounts: Mounts, dockerfile: Path, context: Path) -> Image:
    """Build the last stage of a Dockerfile, and the others as it needs them."""
    parsed = read_dockerfile(dockerfile)
    images: dict[str, Image] = {}
    for number, stage in enumerate(parsed.stages):
        images[stage.name] = _build(
            stage, mounts, mounts.root(str(number)), dict(parsed.arguments), images, context
        )
    return images[parsed.stages[-1].name]


def _build(
    stage: Stage,
    mounts: Mounts,
    root: Path,
    arguments: Mapping[str, str],
    images: Mapping[str, Image],
    context: Path,
) -> Image:
    image = Image(mounts, root, {"PATH": _PATH}, {"PATH": _PATH})
    for step in stage.steps:
        if step.instruction == "COPY":
            source = images[step.flags["from"]].seen if "from" in step.flags else context
            _copy(image, step, source)
        elif step.instruction == "ARG":
            name, _, default = step.text.partition("=")
            image.variables[name] = default or arguments[name]
        elif step.instruction == "HEALTHCHECK":
            command = Step("CMD", {}, step.text.removeprefix("CMD "))
            image.health = command.words(image.variables)
        else:
            _apply(image, step)
    return image


def _apply(image: Image, step: Step) -> None:
    words = [] if step.instruction == "RUN" else step.words(image.variables)
    match step.instruction:
        case "RUN":
            _run(image, step.text)
        case "ENV":
            image.environment |= step.pairs(image.variables)
            image.variables |= image.environment
        case "LABEL":
            image.labels |= step.pairs(image.variables)
        case "WORKDIR":
            (image.folder,) = words
            (image.seen / image.folder.lstrip("/")).mkdir(parents=True, exist_ok=True)
        case "USER":
            (image.user,) = words
        case "VOLUME":
            image.volumes += words
        case "ENTRYPOINT":
            image.entrypoint = words
        case "CMD":
            image.arguments = words
        case other:
            assert other in _DECLARED, f"{other} is not a step that this builder knows"


def _run(image: Image, command: str) -> None:
    """Run a command in the image as root, with the caller's way to the packages."""
    of_pip = {k: v for k, v in os.environ.items() if k.startswith(("PIP_", "SSL_CERT_"))}
    environment = {**of_pip, **image.environment, "HOME": "/root"}
    image.mounts.run(
        *("chroot", str(image.root), "env", "-i", *(f"{k}={v}" for k, v in environment.items())),
        *("/bin/sh", "-c", f"cd {shlex.quote(image.folder)} && {command}"),
    )


def _copy(image: Image, step: Step, source_root: Path) -> None:
    """Copy files into a folder, or the content of one folder into another, as COPY does."""
    *sources, target = step.words(image.variables)
    place = image.seen / image.folder.lstrip("/") / target
    if target.startswith("/"):
        place = image.seen / target.lstrip("/")
    for name in sources:
        source = source_root / name.lstrip("/")
        if source.is_dir():
            shutil.copytree(source, place, symlinks=True, dirs_exist_ok=True)
        else:
            assert target.endswith("/"), f"{target}: end the name of a folder with a /"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)
    if owner := step.flags.get("chown"):
        image.mounts.run("chown", "-R", owner, f"{image.root}{target}")
