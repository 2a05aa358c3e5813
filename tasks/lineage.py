"""Where the code of this run comes from."""

import subprocess

from tasks.settings import ROOT, settings


def code_facts() -> dict[str, str]:
    """The git commit of the checkout, with `+` if it has uncommitted changes; in an image, its own."""
    if not (ROOT / ".git").exists():
        return {"git commit": settings().commit} if settings().commit else {}
    commit = _git("rev-parse", "--short=12", "HEAD")
    dirty = _git("status", "--porcelain", "--untracked-files=no")
    return {"git commit": commit + ("+" if dirty else "")} if commit else {}


def _git(*arguments: str) -> str:
    """Output of git; empty if git is not installed or refuses: lineage without it is still lineage."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
