"""Charts from a real repository, a web server on this machine, fetched by the real helm. Needs no cluster."""

import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks import charts, helm
from tasks.charts import find_charts, sha256
from tasks.errors import PlatformError
from tasks.platform_lock import PlatformLock, Refused, parse_lock
from tasks.programs import find_program
from tasks.settings import settings
from tests.tasks.test_platform_lock import content


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The chart `lamp` 1.2.0, packed by helm, in a repository with an index."""
    chart, repository = tmp_path / "lamp", tmp_path / "repository"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: lamp, version: 1.2.0}")
    (chart / "templates" / "light.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: light}\ndata: {colour: {{ .Values.colour }}}\n"
    )
    (chart / "templates" / "secret.yaml").write_text(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: light}\n"
    )
    for command in (
        ["package", str(chart), "--destination", str(repository)],
        ["repo", "index", str(repository)],
    ):
        subprocess.run([find_program("helm"), *command], check=True, capture_output=True)
    return repository / "lamp-1.2.0.tgz"


@pytest.fixture
def repository(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    program = find_program("helm")
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(helm, "find_program", lambda _: program)
    settings.cache_clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=archive.parent)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
    settings.cache_clear()


def lock(repository: str, **published: Any) -> PlatformLock:
    told = {"repository": repository, "chart": "lamp", **published}
    component = {"name": "light", "version": "1.2.0", "published": told}
    return parse_lock(yaml.safe_dump(content(components=[component])), Path("platform.yaml"))


def test_the_archive_of_the_locked_checksum_is_fetched_and_renders(archive: Path, repository: str) -> None:
    locked = lock(repository, sha256=sha256(archive), without=["templates/secret.yaml"])
    found = find_charts(locked)["light"]
    (made,) = helm.render(helm.Wanted("light", found, "slipway", {"colour": "red"})).objects
    assert made["data"] == {"colour": "red"}
    kept = settings().home / "charts" / archive.name
    kept.write_bytes(b"half of it")
    find_charts(locked)
    assert sha256(kept) == sha256(archive)


def test_another_archive_under_the_same_version_is_refused(archive: Path, repository: str) -> None:
    wanted = sha256(archive)
    archive.write_bytes(archive.read_bytes() + b"\0")
    with pytest.raises(Refused, match=rf"is {wanted}, but .*lamp-1.2.0.tgz has {sha256(archive)}"):
        find_charts(lock(repository, sha256=wanted))


def test_a_repository_out_of_reach_names_the_other_way(repository: str) -> None:
    with pytest.raises(PlatformError, match=r"chart lamp 1.2.0 of http://127.0.0.1:9: .*--charts DIR"):
        find_charts(lock("http://127.0.0.1:9", sha256="0" * 64))
    with pytest.raises(PlatformError, match=r"chart dim 1.2.0 of .*--charts DIR"):
        charts.fetch(lock(repository, chart="dim").component("light").published, "1.2.0", settings().home)  # type: ignore[arg-type]
