"""Builds what changed, brings it where it is used, and writes down its digest."""

import tempfile
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infra.images import archive, delivery, inputs, lockfile
from infra.images.builders import Builder, find_builder
from infra.images.host import secrets
from infra.images.inputs import TARGETS, Target
from infra.images.lockfile import Built
from tasks.errors import PlatformError, SpecError
from tasks.platform_lock import PlatformLock, load_lock

Say = Callable[[str], None]


@dataclass(frozen=True)
class Work:
    """Folders and settings of one run. `home` keeps archives and logs; `local` is images.local.yaml."""

    root: Path
    home: Path
    local: Path
    registry: str
    builder: str
    environment: Mapping[str, str]
    say: Say


def wanted(lock: PlatformLock) -> frozenset[str]:
    """Pure: the images of the components that the lock enables."""
    return frozenset(name for component in lock.components if component.enabled for name in component.images)


def chosen(names: Sequence[str], unnamed: Collection[str]) -> tuple[Target, ...]:
    """Pure: the images of these names; without names those of `unnamed`. Raises SpecError."""
    unknown = sorted(set(names) - {target.name for target in TARGETS})
    if unknown:
        allowed = ", ".join(target.name for target in TARGETS)
        raise SpecError("make images", f"there is no image {unknown[0]!r}", f"Allowed here: {allowed}.")
    return tuple(target for target in TARGETS if target.name in (names or unnamed))


def make(work: Work, names: Sequence[str]) -> dict[str, Built]:
    """Make the images of these names, or those that the lock enables; each is usable when the next begins."""
    targets = chosen(names, wanted(load_lock(work.root / "infra" / "platform.yaml")))

    @cache
    def builder() -> Builder:
        found = find_builder(work.builder or None)
        work.say(f"building with {' '.join(found.command)}")
        return found

    known = lockfile.read(work.local)
    destination = delivery.choose(work.registry, known, builder)
    lockfile.write(work.local, {**known, **destination.others()})
    for target in targets:
        built, kept = build(work, target, destination.repository, builder)
        built = destination.bring(built, kept)
        known = {**lockfile.read(work.local), target.name: built}
        lockfile.write(work.local, known)
        work.say(f"{target.name}: {built.reference}\n    {destination.told}")
    return {target.name: known[target.name] for target in targets}


def build(work: Work, target: Target, repository: str, builder: Callable[[], Builder]) -> tuple[Built, Path]:
    """The image and its archive; nothing runs if an archive of the same inputs and revision is there."""
    text = target.text(work.root)
    version = project_version(work.root)
    tag = f"{version}-{inputs.inputs_hash(work.root, text, target.stage)}"
    revision = lockfile.revision(work.root, [*target.dockerfiles, *inputs.sources(text, target.stage)])
    kept = work.home / target.name / f"{tag}.tar"
    if not kept.exists() or archive.read(kept, with_layers=False).revision != revision:
        work.say(f"{target.name}: building {tag}")
        build_archive(work, target, f"{repository}/{target.name}:{tag}", version, revision, kept, builder())
        image = archive.read(kept)
        work.say(f"{target.name}: {archive.size_line(archive.unpacked(image.layers), target.limit)}")
    return Built(f"{repository}/{target.name}", tag, archive.read(kept, with_layers=False).digest), kept


def build_archive(
    work: Work, target: Target, name: str, version: str, revision: str, kept: Path, builder: Builder
) -> None:
    """Build from a folder that holds the inputs only, and replace the archive of the image."""
    text = written = target.text(work.root)
    for base in inputs.bases(text, target.stage):
        written = written.replace(base, ensure_base(work, base, builder))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="slipway-images-") as folder:
        context, hidden = Path(folder, "context"), Path(folder, "secrets")
        hidden.mkdir(mode=0o700)
        context.mkdir()
        inputs.copy_inputs(work.root, text, target.stage, context)
        values = {"VERSION": version, "REVISION": revision}
        (Path(folder) / "Dockerfile").write_text(inputs.filled_in(written, values))
        given: dict[str, Path] = {}
        for secret, content in secrets(work.environment, Path.home()).items():
            given[secret] = hidden / secret
            given[secret].touch(mode=0o600)
            given[secret].write_bytes(content)
        log = work.home / "logs" / f"{target.name}.log"
        builder.build(context, Path(folder) / "Dockerfile", target.stage, name, given, log)
    beside = kept.with_suffix(".part")
    builder.save(name, beside)
    for old in kept.parent.glob("*.tar"):
        old.unlink()
    beside.replace(kept)


def ensure_base(work: Work, base: str, builder: Builder) -> str:
    """Have the builder know `base`: it has it, or pulls it. Where no registry is in reach, the development
    cluster's stand-in of that name takes its place. Gives the name under which the builder knows it."""
    from infra.devcluster.images import standins

    name = base.partition("@")[0]
    stand_in = next((one for one in standins.BASES if one.reference == name), None)
    loaded = (
        work.home / f"base-{builder.name}-{name.rpartition('/')[2].replace(':', '-')}"
    )  # digest of the stand-in that the builder was given
    if builder.has(base) and not loaded.exists():
        return base
    if stand_in is None or not (stand_in.archive.exists() or loaded.exists()):
        refusal = builder.pull(base)
        if refusal is None:
            return base
        work.say(f"{base} cannot be pulled: {refusal}")
        if stand_in is None:
            raise PlatformError(base, f"cannot be pulled: {refusal}", "Let this machine reach its registry.")
    standins.ensure_archives([stand_in], work.say)
    digest = archive.read(stand_in.archive, with_layers=False).digest
    if not (builder.has(name) and loaded.exists() and loaded.read_text() == digest):
        work.say(f"{base}: the stand-in of the development cluster")
        builder.load(stand_in.archive, name)
        loaded.write_text(digest)
    return name


def project_version(root: Path) -> str:
    return str(tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"])
