"""Run as a cell of a notebook that lies in a repository: a retrain, and what of the repository went with it."""

import json
import os
import subprocess
from pathlib import Path

from flows.trigger import trigger

folder = Path.home() / "work"
folder.mkdir()
os.chdir(folder)


def git(*arguments: str) -> str:
    who = ("-c", "user.name=anna", "-c", "user.email=anna@example.com")
    return subprocess.run(
        ["git", *who, *arguments], check=True, capture_output=True, text=True
    ).stdout.strip()


git("init")
git("commit", "--allow-empty", "--message", "begin")
Path("notebook.ipynb").write_text("{}")
done = trigger("retrain", "iris")
assert done.result is not None
print(json.dumps({"model": done.result.model, "state": done.state, "commit": git("rev-parse", "HEAD")}))
