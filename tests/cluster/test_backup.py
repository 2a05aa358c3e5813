"""`slipway backup`, everything gone, `slipway restore`: what was registered is there again, and serves."""

import base64
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.outside import Done
from tests.cluster.platform_state import get, written
from tests.cluster.releasing import releaser
from tests.cluster.runs import ENDED
from tests.cluster.second import Second
from tests.cluster.test_teardown import REMEMBERED

PHRASE = {"SLIPWAY_BACKUP_PASSPHRASE": "correct horse battery"}


def call(second: Second, command: str, place: Path, **variables: str) -> Done:
    words = (command, str(place), "--lock", str(second.file), "--json")
    return second.cli.slipway(*words, timeout=1500, **{**PHRASE, **variables})


def answer(second: Second, command: str, place: Path) -> dict[str, Any]:
    done = call(second, command, place)
    assert done.returncode == 0, done.stderr + done.stdout
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def refused(second: Second, place: Path, **variables: str) -> str:
    """What a restore says that fails, having written nothing."""
    before = written(second.cli, *second.namespaces)
    done = call(second, "restore", place, **variables)
    assert done.returncode != 0
    assert written(second.cli, *second.namespaces) == before
    return done.stdout


def kill_in_the_middle(second: Second, place: Path) -> None:
    """A restore that dies once the Secrets and objects are the backup's, and before the databases are."""
    program = str(Path(sys.executable).with_name("slipway"))
    words = second.cli.command(program, "restore", str(place), "--lock", str(second.file))
    with subprocess.Popen(
        words, env=second.cli.environment(**PHRASE),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if line.startswith("databases:"):
                break
        process.kill()
        assert process.wait() == -signal.SIGKILL, said


def remembered(second: Second) -> dict[str, Any]:
    """What the servers know of iris, and of all runs that have ended."""
    with releaser(second.cli, second.lock) as pod:
        found: dict[str, Any] = pod.python(REMEMBERED, MODEL="iris")
    return {**found, "flow_runs": [run for run in found["flow_runs"] if run[1] in ENDED]}


def secrets(second: Second) -> dict[str, dict[str, str]]:
    """What bootstrap generated, by namespace and name."""
    made = ("secrets", "--selector", "app.kubernetes.io/managed-by=slipway")
    return {
        f"{space}/{item['metadata']['name']}": {
            key: base64.b64decode(value).decode() for key, value in item["data"].items()
        }
        for space in second.namespaces
        for item in get(second.cli, space, *made)
        if item["metadata"]["name"].startswith("slipway-")
    }


def planted(held: dict[str, dict[str, str]]) -> set[str]:
    """The passwords and keys among it."""
    words = ("password", "PASSWORD", "key", "KEY", "auth-string", "uri", "config.json")
    return {
        value for data in held.values() for name, value in data.items() if any(word in name for word in words)
    }


def live(second: Second) -> dict[str, Any]:
    (found,) = second.cli.answer("live", "iris")["models"]
    return {key: found[key] for key in ("version", "champion", "digest", "stored_digest", "gate")}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_after_everything_was_lost_the_champion_serves_again(second: Second, tmp_path: Path) -> None:
    second.bootstrap()
    retrained = second.cli.answer("retrain", "iris", "--force")
    assert (retrained["outcome"], retrained["version"]) == ("released", 1)
    known, served, held = remembered(second), live(second), secrets(second)
    assert served["version"] == 1

    place = tmp_path / "backup"
    assert answer(second, "backup", place)["versions"] == ["iris version 1"]
    kept = b"".join(path.read_bytes() for path in place.rglob("*") if path.is_file())
    assert not [text for text in planted(held) if text.encode() in kept]
    assert "is not empty" in call(second, "backup", place).stdout

    second.teardown("--delete-models", "--delete-data")
    second.bootstrap()
    assert live(second)["version"] is None
    assert secrets(second) != held
    assert "cannot be read with this passphrase" in refused(
        second, place, SLIPWAY_BACKUP_PASSPHRASE="another battery staple"
    )
    assert "holds no manifest.json" in refused(second, place / "objects")

    kill_in_the_middle(second, place)
    started = second.cli.slipway("bootstrap", "--lock", str(second.file), *second.charts)
    assert started.returncode != 0
    assert "is half of a backup" in started.stdout + started.stderr
    restored = answer(second, "restore", place)
    # Released again, which its golden rows have answered.
    assert (restored["champions"], restored["left"]) == (["iris version 1"], [])
    (again,) = second.cli.answer("live", "iris")["models"]
    assert again["disagreements"] == []
    assert live(second) == served
    assert secrets(second) == held
    now = remembered(second)
    assert (known["versions"], known["aliases"]) == (now["versions"], now["aliases"])
    assert known["runs"]
    assert [run for run in known["runs"] if run not in now["runs"]] == []
    assert known["flow_runs"]
    assert [run for run in known["flow_runs"] if run not in now["flow_runs"]] == []
    assert second.bootstrap()["changed"] == []
    assert second.cli.answer("retrain", "iris", "--force")["outcome"] in ("released", "kept")
