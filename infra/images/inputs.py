"""What goes into an image: its Dockerfile says so, and nothing else is sent to a builder."""

import fnmatch
import hashlib
import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tasks.errors import PlatformError

LEFT_OUT = ("__pycache__", ".*", "*.egg-info", "*.pyc")
"""Names of files and folders that no image takes."""
MTIME = 1_577_836_800
"""2020-01-01: every input has this time, so that a layer depends on content only."""


@dataclass(frozen=True)
class Target:
    """One image: a stage of a Dockerfile. `limit` is what it should weigh at most, in MB unpacked.

    `after`: Dockerfiles whose stages it starts from or copies from; they come first.
    """

    name: str
    dockerfile: str
    stage: str
    limit: int | None
    after: tuple[str, ...] = ()

    @property
    def dockerfiles(self) -> tuple[str, ...]:
        return (*self.after, self.dockerfile)

    def text(self, root: Path) -> str:
        return "\n".join((root / file).read_text() for file in self.dockerfiles)


FLOW, NOTEBOOK = "images/flow/Dockerfile", "images/notebook/Dockerfile"


TARGETS = (
    Target("model-server", "images/model-server/Dockerfile", "model-server", 600),
    Target("flow", FLOW, "flow", 700),
    Target("mlflow", "images/mlflow/Dockerfile", "mlflow", None),
    Target("flow-spark", FLOW, "flow-spark", 1200),
    Target("notebook", NOTEBOOK, "notebook", None, (FLOW,)),
    Target("notebook-spark", "images/notebook-spark/Dockerfile", "notebook-spark", None, (FLOW, NOTEBOOK)),
)


@dataclass(frozen=True)
class Stage:
    """One stage: the images or stages it starts and copies from, what it copies, and its text."""

    name: str
    uses: tuple[str, ...]
    copies: tuple[str, ...]
    text: str


def instructions(dockerfile: str) -> Iterator[str]:
    """Pure: one string an instruction, continued lines joined, without comments."""
    joined = ""
    for line in dockerfile.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        joined += line.strip().removesuffix("\\")
        if not line.rstrip().endswith("\\"):
            yield joined
            joined = ""


def stages(dockerfile: str) -> tuple[Stage, ...]:
    """Pure: the stages of a Dockerfile, in order. Each must have a name."""
    found: list[Stage] = []
    for instruction in instructions(dockerfile):
        word, _, arguments = instruction.partition(" ")
        rest = shlex.split(arguments) if word in ("FROM", "COPY", "ADD") else []
        if word == "FROM":
            found.append(Stage(rest[2], (rest[0],), (), instruction))
            continue
        stage = found.pop()
        uses, copies = stage.uses, stage.copies
        if word in ("COPY", "ADD"):
            flags = [part for part in rest if part.startswith("--")]
            sources = [part for part in rest if not part.startswith("--")][:-1]
            origin = [flag.removeprefix("--from=") for flag in flags if flag.startswith("--from=")]
            uses, copies = (*uses, *origin), copies if origin else (*copies, *sources)
        found.append(Stage(stage.name, uses, copies, f"{stage.text}\n{instruction}"))
    return tuple(found)


def filled_in(dockerfile: str, values: Mapping[str, str]) -> str:
    """Pure: the Dockerfile with values for `${NAME}`. In the text, because buildah takes a cached LABEL or ENV
    whose text is the same, whatever the value of a --build-arg."""
    for name, value in values.items():
        dockerfile = dockerfile.replace(f"${{{name}}}", value)
    return dockerfile


def needed(all_stages: tuple[Stage, ...], name: str) -> tuple[Stage, ...]:
    """Pure: the stage `name` and those it is made from, in the file's order."""
    wanted, open_names = set[str](), [name]
    by_name = {stage.name: stage for stage in all_stages}
    while open_names:
        one = open_names.pop()
        if one in by_name and one not in wanted:
            wanted.add(one)
            open_names += by_name[one].uses
    return tuple(stage for stage in all_stages if stage.name in wanted)


def bases(dockerfile: str, stage: str) -> tuple[str, ...]:
    """Pure: images from elsewhere that `stage` is made from."""
    all_stages = stages(dockerfile)
    own = {one.name for one in all_stages}
    return tuple(sorted({use for one in needed(all_stages, stage) for use in one.uses if use not in own}))


def sources(dockerfile: str, stage: str) -> tuple[str, ...]:
    """Pure: paths, relative to the context, that `stage` and the stages before it copy."""
    found = {source.rstrip("/") for one in needed(stages(dockerfile), stage) for source in one.copies}
    return tuple(sorted(found))


def files(root: Path, dockerfile: str, stage: str) -> tuple[Path, ...]:
    """The files below `root` that go into the image, relative to it, sorted. Raises PlatformError."""
    found: set[Path] = set()
    for source in sources(dockerfile, stage):
        paths = sorted(root.glob(source))
        if not paths:
            raise PlatformError(
                source, f"is copied by the stage {stage} of a Dockerfile, and is not there", "Correct either."
            )
        for path in paths:
            below = path.rglob("*") if path.is_dir() else (path,)
            found.update(one.relative_to(root) for one in below if one.is_file() and not left_out(path, one))
    return tuple(sorted(found))


def left_out(source: Path, file: Path) -> bool:
    parts = file.relative_to(source).parts
    return any(fnmatch.fnmatch(part, pattern) for part in parts for pattern in LEFT_OUT)


def inputs_hash(root: Path, dockerfile: str, stage: str) -> str:
    """Twelve hex digits that change with the stages' instructions, and with path, content or mode of any input."""
    digest = hashlib.sha256()
    for one in needed(stages(dockerfile), stage):
        digest.update(f"{one.name}\n{one.text}\n".encode())
    for file in files(root, dockerfile, stage):
        content = (root / file).read_bytes()
        digest.update(f"{file.as_posix()} {executable(root / file)} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:12]


def executable(path: Path) -> bool:
    return bool(path.stat().st_mode & 0o100)


def copy_inputs(root: Path, dockerfile: str, stage: str, context: Path) -> None:
    """Make `context` hold the inputs, with fixed modes and times."""
    for file in files(root, dockerfile, stage):
        target = context / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / file, target)
        target.chmod(0o755 if executable(root / file) else 0o644)
    for path in (context, *context.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
        os.utime(path, (MTIME, MTIME))
