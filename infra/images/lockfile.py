"""infra/images.local.yaml: the images made here, in place of those that infra/platform.yaml names."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

HEADER = (
    "# Written by `make images`; stands in for the images of platform.yaml. Delete it to go back to those.\n"
)


@dataclass(frozen=True)
class Built:
    """One image: where it is, as charts name it."""

    image: str
    tag: str
    digest: str

    @property
    def reference(self) -> str:
        return f"{self.image}@{self.digest}"


def read(path: Path) -> dict[str, Built]:
    if not path.exists():
        return {}
    content: dict[str, Any] = yaml.safe_load(path.read_text()) or {}
    return {name: Built(**one) for name, one in content.get("images", {}).items()}


def write(path: Path, images: Mapping[str, Built]) -> None:
    """Replace the file in one step, if it changes."""
    document = {"images": {name: asdict(images[name]) for name in sorted(images)}}
    text = HEADER + yaml.safe_dump(document, sort_keys=False)
    if not path.exists() or path.read_text() != text:
        beside = path.with_name(f"{path.name}.part")
        beside.write_text(text)
        beside.replace(path)


def revision(root: Path, paths: Sequence[str]) -> str:
    """The last commit that touched the paths, with `+` if they have changes since; empty outside a checkout."""
    commit = _git(root, "log", "-1", "--format=%H", "--", *paths)
    changed = _git(root, "status", "--porcelain", "--", *paths)
    return commit + ("+" if changed else "") if commit else ""


def _git(root: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
