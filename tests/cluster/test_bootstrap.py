"""`slipway bootstrap` and `teardown`, from outside the cluster."""

import base64
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tasks.platform_lock import load_lock
from tests.cluster.outside import Outside
from tests.cluster.platform_state import empty_flow, get, written
from tests.cluster.second import Second

NAMESPACES = tuple(load_lock().spaces.values())


def bootstrap(place: Outside) -> dict[str, Any]:
    return place.answer("bootstrap", timeout=1500)


def test_every_component_is_there_and_says_how_it_was_verified(platform_up: Outside) -> None:
    rows = {row["component"]: row for row in bootstrap(platform_up)["components"]}
    assert list(rows) == [component.name for component in load_lock().components]
    there = {name: row for name, row in rows.items() if row["did"] != "left out"}
    assert set(rows) - set(there) == {"notebooks", "jupyterhub"}
    assert {name: row["verified_by"] for name, row in there.items() if row["verified_by"]} == {
        "postgres": "wrote and read a row in mlflow and prefect",
        "object-store": "put, read and deleted an object in s3://slipway",
        "mlflow": "logged a run, read its metric and its file back",
        "prefect": "ran an empty flow",
        "workers": "ran a flow in a pod of pandas, spark, release",
        "seldon-core": "its webhook refused a bad SeldonDeployment and let a good one pass",
    }
    settings = json.loads((platform_up.home / "platform.json").read_text())["settings"]
    record = get(platform_up, "slipway", "configmaps", "--field-selector", "metadata.name=slipway-platform")
    assert settings["platform"] == "cluster"
    assert json.loads(record[0]["data"]["settings.json"]) == settings


def test_an_unchanged_platform_is_not_written_to(platform_up: Outside) -> None:
    before = written(platform_up, *NAMESPACES)
    assert bootstrap(platform_up)["changed"] == []
    assert written(platform_up, *NAMESPACES) == before


def test_an_unchanged_platform_costs_ten_seconds_more_than_an_empty_flow(platform_up: Outside) -> None:
    began = time.monotonic()
    empty_flow(platform_up)
    empty = time.monotonic() - began
    began = time.monotonic()
    bootstrap(platform_up)
    assert time.monotonic() - began <= empty + 10


def test_what_was_changed_by_hand_is_put_right(platform_up: Outside) -> None:
    done = platform_up.run("kubectl", "--namespace", "slipway", "scale", "deployment/mlflow", "--replicas=0")
    assert done.returncode == 0, done.stderr
    done = platform_up.run("kubectl", "--namespace", "slipway-serving", "delete", "networkpolicy", "models")
    assert done.returncode == 0, done.stderr
    assert set(bootstrap(platform_up)["changed"]) == {"base", "mlflow"}
    assert bootstrap(platform_up)["changed"] == []


class CommandLines(threading.Thread):
    """Everything that is on a command line of this machine while a test runs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: set[bytes] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.wait(0.02):
            for process in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    self.seen.add(process.read_bytes())
                except OSError:
                    continue  # it ended between listing and reading


def secret_values(place: Outside) -> set[str]:
    """Every password and key of the platform."""
    values = set()
    for namespace in NAMESPACES:
        for secret in get(place, namespace, "secrets"):
            if secret["metadata"]["name"].startswith("slipway-"):
                for key, value in secret["data"].items():
                    text = base64.b64decode(value).decode()
                    if key == "config.json":
                        for identity in json.loads(text)["identities"]:
                            values.add(identity["credentials"][0]["secretKey"])
                    elif not key.endswith(("TYPE", "PROVIDER", "ENV_AUTH", "ENDPOINT")):
                        values.add(text)
    return {value for value in values if len(value) > 8}


def test_passwords_are_nowhere_but_in_secrets(platform_up: Outside) -> None:
    values = secret_values(platform_up)
    assert len(values) > 10
    watching = CommandLines()
    watching.start()
    done = platform_up.slipway("bootstrap", "--verify", timeout=900)
    watching.ended.set()
    watching.join()
    assert done.returncode == 0, done.stderr
    told = {
        "command lines": b"\0".join(watching.seen).decode(errors="replace"),
        "output": done.stdout + done.stderr,
        "kept files": "\0".join(
            file.read_bytes().decode(errors="replace")
            for file in platform_up.home.rglob("*")
            if file.is_file()
        ),
    }
    for namespace in NAMESPACES:
        told[f"objects of {namespace}"] = json.dumps(
            get(platform_up, namespace, "pods,jobs,configmaps,events")
        )
        releases = [
            each for each in get(platform_up, namespace, "secrets") if each["type"] == "helm.sh/release.v1"
        ]
        told[f"releases of {namespace}"] = "".join(
            gzip.decompress(base64.b64decode(base64.b64decode(each["data"]["release"]))).decode()
            for each in releases
        )
    for pod in get(platform_up, "slipway", "pods"):
        name = pod["metadata"]["name"]
        log = platform_up.run("kubectl", "--namespace", "slipway", "logs", name, "--all-containers")
        told[f"log of {name}"] = log.stdout
    leaks = {place: sum(value in text for value in values) for place, text in told.items()}
    assert not {place: count for place, count in leaks.items() if count}


KILLED_AT = (
    "postgres: installing",
    "postgres: verifying",
    "object-store: installing",
    "mlflow: installing",
    "prefect: installing",
    "workers: verifying",
)


@pytest.mark.timeout(1800)
def test_killed_anywhere_and_run_again_it_finishes(second: Second) -> None:
    program = str(Path(sys.executable).with_name("slipway"))
    command = second.cli.command(program, "bootstrap", "--lock", str(second.file))
    for words in KILLED_AT:
        with subprocess.Popen(
            command,
            env=second.cli.environment(),
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stderr is not None
            seen = []
            for line in process.stderr:
                seen.append(line)
                if words in line:
                    time.sleep(1.5)
                    os.kill(process.pid, signal.SIGKILL)
                    break
            assert words in seen[-1], "".join(seen)
    second.bootstrap()
    before = written(second.cli, *second.namespaces)
    assert second.bootstrap()["changed"] == []
    assert written(second.cli, *second.namespaces) == before
