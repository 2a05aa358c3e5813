"""Run as a cell of a notebook: who and where it is."""

import json
import os
import pwd
import sys
from pathlib import Path

home = Path.home()
status = Path("/proc/self/status").read_text().splitlines()
found = {
    "account": pwd.getpwuid(os.getuid()).pw_name,
    "uid": os.getuid(),
    "home": str(home),
    "owner": home.stat().st_uid,
    "capabilities": int(next(line for line in status if line.startswith("CapEff")).split()[1], 16),
    "prefix": sys.prefix,
    "python": sys.version_info[:2],
    "examples": sorted(path.name for path in (home / "examples").iterdir()),
}
print(json.dumps(found))
