"""Where the code of this run comes from."""

import subprocess
from pathlib import Path

from tasks.settings import ROOT, settings


def code_facts() -> dict[str, str]:
    """The git commit of the checkout, with `+` if it has uncommitted changes; in an image, its own."""
    if not (ROOT / ".git").exists():
        return {"git commit": settings().commit} if settings().commit else {}
    commit = _git(ROOT, "rev-parse", "--short=12", "HEAD")
    dirty = _git(ROOT, "status", "--porcelain", "--untracked-files=no")
    return {"git commit": commit + ("+" if dirty else "")} if commit else {}


def notebook_facts(folder: Path) -> tuple[str, bool]:
    """The commit of the repository that `folder` is in, and whether anything there is not committed.

    An empty commit if it is in no repository, or in one without commits.
    """
    commit = _git(folder, "rev-parse", "HEAD")
    return commit, bool(commit and _git(folder, "status", "--porcelain"))


def _git(folder: Path, *arguments: str) -> str:
    """Output of git; empty if git is not installed or refuses: lineage without it is still lineage."""
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
