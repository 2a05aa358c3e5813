"""Where the charts of components lie: folders of this repository, and what other projects publish.

A published chart is an archive of its project's repository, held to the checksum in the lock and kept in
`<home>/charts`. Where the repository is out of reach, `--charts DIR` names a folder that has the charts: an
archive there is held to the same checksum, a chart's folder is taken as it is.
"""

import hashlib
import logging
import shutil
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from tasks import helm
from tasks.errors import PlatformError
from tasks.lock_parts import Component, Published
from tasks.markers import filled
from tasks.platform import addresses
from tasks.platform_lock import LOCK, PlatformLock, Refused
from tasks.serving.seldon_routes import Routes
from tasks.settings import ROOT, settings

Charts = Mapping[str, Path]
"""By component, the folder or archive of its chart."""


def find_charts(lock: PlatformLock, folder: Path | None = None) -> Charts:
    """The chart of every component that is installed. Raises PlatformError naming one that is not to be had.

    `folder`: where published charts are looked for, instead of their repositories.
    """
    found: dict[str, Path] = {}
    for component in lock.components:
        if lock.external(component):
            continue
        if component.chart:
            found[component.name] = ROOT / component.chart
        elif component.published:
            chart = find_published(component, component.published, folder)
            found[component.name] = prepared(component.name, chart, component.published.without)
    return found


def find_published(component: Component, published: Published, folder: Path | None) -> Path:
    """The chart's archive, which is what the lock says, or its folder."""
    archive = f"{published.chart}-{component.version}.tgz"
    if folder is None:
        kept = settings().home / "charts" / archive
        if not (kept.exists() and published.sha256 == sha256(kept)):
            kept.parent.mkdir(parents=True, exist_ok=True)
            say(component, f"fetching chart {published.chart} {component.version} of {published.repository}")
            fetch(published, component.version, kept.parent)
        check(component.name, kept, published.sha256)
        return kept
    if (folder / published.chart / "Chart.yaml").is_file():
        chart = folder / published.chart
        check_folder(chart, published.chart, component.version)
        say(component, f"its chart is the folder {chart}: taken as it is, no checksum can be held against it")
        return chart
    if (folder / archive).is_file():
        check(component.name, folder / archive, published.sha256)
        return folder / archive
    raise PlatformError(
        f"charts in {folder}",
        f"neither a folder {published.chart} with a Chart.yaml nor an archive {archive} is there",
        f"Put one there: `helm pull {published.chart} --repo {published.repository} "
        f"--version {component.version}`, where that is in reach.",
    )


def fetch(published: Published, version: str, folder: Path) -> None:
    try:
        helm.pull(published.repository, published.chart, version, folder)
    except PlatformError as error:
        raise PlatformError(
            error.obj,
            error.observed,
            "See that the repository is in reach, or name a folder that has the chart: "
            "`slipway bootstrap --charts DIR`.",
        ) from error


def check(component: str, archive: Path, wanted: str | None) -> None:
    """Raise Refused unless the archive's checksum is `wanted`."""
    found = sha256(archive)
    key = f"{LOCK}: component {component}: published.sha256"
    if wanted is None:
        raise Refused(
            key,
            f"is not set; the chart that was found, {archive}, has {found}",
            "Compare that with what the chart's project publishes, and set it.",
        )
    if found != wanted:
        raise Refused(
            key,
            f"is {wanted}, but {archive} has {found}",
            "Delete that archive and get the right one, or set the checksum of the version that you mean.",
        )


def check_folder(chart: Path, name: str, version: str) -> None:
    """Raise Refused unless the folder says that it is this chart at this version."""
    said = yaml.safe_load((chart / "Chart.yaml").read_text()) or {}
    if (said.get("name"), str(said.get("version"))) != (name, version):
        raise Refused(
            f"{chart}/Chart.yaml",
            f"is of {said.get('name')} {said.get('version')}, the lock says {name} {version}",
            "Give the chart of that version, or change the lock.",
        )


def prepared(component: str, chart: Path, without: tuple[str, ...]) -> Path:
    """The chart; a copy without these files, if there are any to be left out."""
    if not without:
        return chart
    place = settings().home / "charts" / "prepared" / component
    shutil.rmtree(place, ignore_errors=True)
    if chart.is_dir():
        shutil.copytree(chart, place / chart.name)
    else:
        with tarfile.open(chart) as archive:
            archive.extractall(place, filter="data")
    (copy,) = place.iterdir()
    for file in without:
        if not (copy / file).is_file():
            raise Refused(
                f"{LOCK}: component {component}: published.without",
                f"{file} is no file of the chart {chart}",
                "Take it off the list, or see what it is called in this version.",
            )
        (copy / file).unlink()
    return copy


def values(
    component: Component, lock: PlatformLock, known: Mapping[str, Any], routes: Routes = "none"
) -> dict[str, Any]:
    """What a component's chart is told. `known`: what the markers in its file of values stand for."""
    if component.published is None:
        return lock.values(routes, addresses(lock, routes).get("models", ""))
    found: dict[str, Any] = {}
    for name in component.values:
        file = ROOT / name
        beside = {f"file:{one.name}": one.read_text() for one in file.parent.glob("*.py")}
        told = filled(yaml.safe_load(file.read_text()) or {}, {**known, **beside}, name)
        found = merged(found, told)
    return found


def merged(first: Any, second: Any) -> Any:
    """Pure: `second` over `first`, key by key, as Helm does it with two files of values."""
    if not (isinstance(first, dict) and isinstance(second, dict)):
        return second
    return {
        **first,
        **{key: merged(first[key], value) if key in first else value for key, value in second.items()},
    }


def sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def say(component: Component, message: str) -> None:
    logging.getLogger("prefect").info("%s: %s", component.name, message)
