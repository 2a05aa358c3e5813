"""`slipway backup`, everything gone, `slipway restore`: what was registered is there again, and serves."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.releasing import releaser
from tests.cluster.second import Second
from tests.cluster.test_teardown import REMEMBERED

PHRASE = {"SLIPWAY_BACKUP_PASSPHRASE": "correct horse battery"}


def answer(second: Second, command: str, place: Path) -> dict[str, Any]:
    done = second.cli.slipway(
        command, str(place), "--lock", str(second.file), "--json", timeout=1500, **PHRASE
    )
    assert done.returncode == 0, done.stderr + done.stdout
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def remembered(second: Second) -> dict[str, Any]:
    """What the servers know of iris, and of all runs."""
    with releaser(second.cli, second.lock) as pod:
        found: dict[str, Any] = pod.python(REMEMBERED, MODEL="iris")
    return found


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_after_everything_was_lost_the_champion_serves_again(second: Second, tmp_path: Path) -> None:
    second.bootstrap()
    retrained = second.cli.answer("retrain", "iris", "--force")
    assert (retrained["outcome"], retrained["version"]) == ("released", 1)
    known, (live,) = remembered(second), second.cli.answer("live", "iris")["models"]

    place = tmp_path / "backup"
    kept = answer(second, "backup", place)
    assert kept["versions"] == ["iris version 1"]
    text = b"".join(path.read_bytes() for path in place.rglob("*.json") if path.is_file())
    assert b"auth-string" not in text
    assert b"mlflow-password" not in text

    second.teardown("--delete-data")
    second.bootstrap()
    assert second.cli.answer("live", "iris")["models"] == []

    restored = answer(second, "restore", place)
    assert (restored["champions"], restored["left"]) == (
        ["iris version 1"],
        [],
    )  # released: golden rows answered
    (again,) = second.cli.answer("live", "iris")["models"]
    assert {key: again[key] for key in ("version", "champion", "digest", "stored_digest", "gate")} == {
        key: live[key] for key in ("version", "champion", "digest", "stored_digest", "gate")
    }
    assert again["disagreements"] == []
    now = remembered(second)
    assert (known["versions"], known["aliases"]) == (now["versions"], now["aliases"])
    assert [run for run in known["runs"] if run not in now["runs"]] == []
    assert [run for run in known["flow_runs"] if run not in now["flow_runs"]] == []
    assert second.bootstrap()["changed"] == []
    assert second.cli.answer("retrain", "iris", "--force")["outcome"] in ("released", "kept")
