"""Charts of other projects: which archive or folder is taken, and what is refused."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks import charts
from tasks.charts import find_charts, sha256, values
from tasks.errors import PlatformError
from tasks.markers import known_of
from tasks.platform_lock import PlatformLock, Refused, parse_lock
from tasks.settings import ROOT, settings
from tests.tasks.test_platform_lock import content

DIGEST = f"sha256:{'c' * 64}"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield tmp_path / "home"
    settings.cache_clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the folder of chart `lamp` 1.2.0."""
    chart = tmp_path / "charts" / "lamp"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{name: lamp, version: 1.2.0, apiVersion: v2}")
    for name in ("light", "issuer"):
        (chart / "templates" / f"{name}.yaml").write_text(f"kind: {name}")
    return tmp_path / "charts"


def packed(folder: Path) -> Path:
    """The chart as an archive, in place of its folder."""
    archive = folder / "lamp-1.2.0.tgz"
    with tarfile.open(archive, "w:gz") as made:
        made.add(folder / "lamp", "lamp")
    (folder / "lamp").rename(folder.parent / "packed")
    return archive


def lock(**published: Any) -> PlatformLock:
    lamp = {
        "name": "light",
        "version": "1.2.0",
        "published": {"repository": "https://charts.example.com", "chart": "lamp", **published},
    }
    return parse_lock(yaml.safe_dump(content(components=[lamp])), Path("platform.yaml"))


def test_a_chart_of_this_repository_is_its_folder() -> None:
    found = find_charts(parse_lock(yaml.safe_dump(content()), Path("platform.yaml")))
    assert found == {
        "postgres": ROOT / "infra/charts/postgres", "prefect": ROOT / "infra/charts/prefect",
    }  # fmt: skip


def test_a_folder_is_taken_as_it_is_and_said_to_be(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "prefect"):
        assert find_charts(lock(), folder) == {"light": folder / "lamp"}
    assert "taken as it is, no checksum" in caplog.text


def test_a_folder_of_another_version_is_refused(folder: Path) -> None:
    (folder / "lamp" / "Chart.yaml").write_text("{name: lamp, version: 1.3.0}")
    with pytest.raises(Refused, match=r"is of lamp 1.3.0, the lock says lamp 1.2.0"):
        find_charts(lock(), folder)


def test_an_archive_is_held_to_its_checksum(folder: Path) -> None:
    archive = packed(folder)
    assert find_charts(lock(sha256=sha256(archive)), folder) == {"light": archive}
    with pytest.raises(Refused, match=rf"is {'0' * 64}, but .* has {sha256(archive)}"):
        find_charts(lock(sha256="0" * 64), folder)
    with pytest.raises(Refused, match=rf"is not set; .* has {sha256(archive)}. Compare that"):
        find_charts(lock(), folder)


def test_a_chart_that_is_not_there_names_both_ways_to_give_it(folder: Path) -> None:
    packed(folder).unlink()
    with pytest.raises(PlatformError, match=r"neither a folder lamp .* nor an archive lamp-1.2.0.tgz"):
        find_charts(lock(), folder)


@pytest.mark.parametrize("as_archive", [False, True])
def test_files_are_left_out_of_a_copy(folder: Path, home: Path, as_archive: bool) -> None:
    checksum = sha256(packed(folder)) if as_archive else None
    found = find_charts(lock(sha256=checksum, without=["templates/issuer.yaml"]), folder)["light"]
    assert found.is_relative_to(home)
    assert [file.name for file in (found / "templates").iterdir()] == ["light.yaml"]
    if not as_archive:
        assert (folder / "lamp" / "templates" / "issuer.yaml").exists()


def test_a_file_to_leave_out_that_is_not_there_is_refused(folder: Path, home: Path) -> None:
    with pytest.raises(Refused, match=r"templates/isuer.yaml is no file of the chart"):
        find_charts(lock(without=["templates/isuer.yaml"]), folder)


def test_from_a_repository_a_chart_is_fetched_once(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, asked = packed(folder), []

    def pull(repository: str, chart: str, version: str, into: Path) -> None:
        asked.append((repository, chart, version))
        (into / archive.name).write_bytes(archive.read_bytes())

    monkeypatch.setattr(charts.helm, "pull", pull)
    locked = lock(sha256=sha256(archive))
    assert find_charts(locked) == find_charts(locked) == {"light": home / "charts" / archive.name}
    assert asked == [("https://charts.example.com", "lamp", "1.2.0")]
    (home / "charts" / archive.name).write_bytes(b"something else")
    find_charts(locked)
    assert len(asked) == 2


@pytest.mark.parametrize("path", ["../x.yaml", "/x.yaml", "a/../x.yaml", ".x"])
def test_only_files_of_the_chart_can_be_left_out(path: str) -> None:
    with pytest.raises(Refused, match=r"components.0.published.without.0: found .*pattern"):
        lock(without=[path])


def test_markers_in_values_stand_for_what_the_lock_says() -> None:
    whole = content()
    whole["images"]["flow"] = {"image": "docker.io/slipway/flow", "tag": "1", "digest": DIGEST}
    known = known_of(parse_lock(yaml.safe_dump(whole), Path("platform.yaml")))
    assert known["image:flow"] == f"docker.io/slipway/flow@{DIGEST}"
    assert known["image.registry:flow"] == "docker.io"
    assert known["image.path:flow"] == "slipway/flow"
    assert known["image.tag:flow"] == f"1@{DIGEST}"
    assert known["namespace:serving"] == "slipway-serving"
    assert "image:postgres" not in known, "it has no digest"


def test_a_published_chart_is_told_its_file_of_values_and_ours_the_lock() -> None:
    found = lock()
    assert values(found.component("light"), found, {}) == {}
    ours = parse_lock(yaml.safe_dump(content()), Path("platform.yaml"))
    assert values(ours.component("prefect"), ours, {}) == ours.values()
