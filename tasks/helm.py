"""Helm 4: render a chart, and bring its release to what was rendered, if it is not there yet.

The hash of what was rendered is a label of the release: an unchanged one is recognised by listing the releases'
Secrets, once for all of them, without running helm. A release that a killed helm left `pending-*` blocks every
later upgrade: nobody works on it, so it is marked failed, which is what it is.
"""

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from tasks.errors import PlatformError
from tasks.kubernetes import SECRET, Cluster, Manifest
from tasks.programs import find_program
from tasks.settings import inherited, settings

HASH = "slipway.io/rendered"
"""Label of a release: hash of the manifests that it was made from."""
HISTORY = 3
"""Revisions that are kept of each release."""
LOOK = 2.0
"""Seconds between two looks at what a running helm waits for."""
Action = Literal["install", "upgrade", "nothing"]


@dataclass(frozen=True)
class Release:
    """The newest revision of a release, and the namespace that it is kept in."""

    name: str
    revision: int
    status: str
    hash: str
    namespace: str = ""

    @property
    def pending(self) -> bool:
        return self.status.startswith("pending-") or self.status == "uninstalling"


@dataclass(frozen=True)
class Chart:
    """A chart with what it rendered to: all that decides what is in the cluster."""

    name: str
    path: str
    namespace: str
    values: str
    manifest: str

    @property
    def hash(self) -> str:
        """Of what is put into the cluster: values that a chart does not use make no revision."""
        return hashlib.sha256(self.manifest.encode()).hexdigest()[:40]

    @property
    def objects(self) -> list[Manifest]:
        return [each for each in yaml.load_all(self.manifest, Loader=FAST) if each]


FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Wanted:
    """A chart, where it lies, and what it is told."""

    name: str
    path: Path
    namespace: str
    values: Mapping[str, Any]


def render(wanted: Wanted) -> Chart:
    """What the chart says for these values. Asks no cluster. Raises PlatformError with helm's reason."""
    given, path = json.dumps(wanted.values, sort_keys=True), str(wanted.path)
    about = f"chart of component {wanted.name} ({path})"
    arguments = ("template", wanted.name, path, "--namespace", wanted.namespace, "--values", "-")
    return Chart(wanted.name, path, wanted.namespace, given, _helm(about, given, *arguments))


def render_all(wanted: Iterable[Wanted]) -> list[Chart]:
    """Two at a time: helm's start is most of the time."""
    with ThreadPoolExecutor(2) as beside:
        return list(beside.map(render, wanted))


def pull(repository: str, chart: str, version: str, folder: Path) -> None:
    """Fetch the chart's archive into `folder`. Whether it is the right one is the caller's to see."""
    where = [f"{repository}/{chart}"] if repository.startswith("oci://") else [chart, "--repo", repository]
    about = f"chart {chart} {version} of {repository}"
    _helm(about, "", "pull", *where, "--version", version, "--destination", str(folder))


def releases(cluster: Cluster, namespaces: Iterable[str]) -> dict[str, Release]:
    """The newest revision of every release in these namespaces."""
    owned = {"owner": "helm"}
    return newest(each for space in sorted(set(namespaces)) for each in cluster.list(SECRET, owned, space))


def newest(secrets: Iterable[Manifest]) -> dict[str, Release]:
    """Pure: of all revisions, the newest of each name."""
    found: dict[str, Release] = {}
    for secret in secrets:
        metadata, labels = secret["metadata"], secret["metadata"]["labels"]
        one = Release(
            labels["name"], int(labels["version"]), labels["status"], labels.get(HASH, ""),
            metadata["namespace"],
        )  # fmt: skip
        if one.name not in found or found[one.name].revision < one.revision:
            found[one.name] = one
    return found


def objects_of(cluster: Cluster, release: Release) -> list[Manifest]:
    """What the revision was made from; nothing if it is gone."""
    secret = cluster.get(SECRET, secret_name(release), release.namespace)
    manifest = decoded(secret["data"]["release"])["manifest"] if secret else ""
    return [each for each in yaml.load_all(manifest, Loader=FAST) if each]


def secret_name(release: Release) -> str:
    """Where Helm keeps a revision."""
    return f"sh.helm.release.v1.{release.name}.v{release.revision}"


def action(there: Release | None, chart: Chart, drifted: bool = False) -> Action:
    """Pure: what must be done so that the release is what the chart rendered to."""
    if there is None or there.status == "uninstalled":
        return "install"
    if there.status == "deployed" and there.hash == chart.hash and not drifted:
        return "nothing"
    return "upgrade"


def unlock(cluster: Cluster, release: Release) -> None:
    """Mark a release failed that a killed helm left pending."""
    name = secret_name(release)
    secret = cluster.get(SECRET, name, release.namespace)
    if secret is None:
        return
    written = encoded(failed(decoded(secret["data"]["release"])))
    change = {"metadata": {"labels": {"status": "failed"}}, "data": {"release": written}}
    cluster.merge(SECRET, name, change, release.namespace)


def decoded(data: str) -> dict[str, Any]:
    """A release as helm wrote it into its Secret: base64 of base64 of gzip of JSON."""
    document: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(data))))
    return document


def encoded(document: Mapping[str, Any]) -> str:
    return base64.b64encode(base64.b64encode(gzip.compress(json.dumps(document).encode()))).decode()


def failed(document: Mapping[str, Any]) -> dict[str, Any]:
    said = {"status": "failed", "description": "helm was killed at work on this revision"}
    return {**document, "info": {**document["info"], **said}}


def bring(chart: Chart, timeout: int, look: Callable[[], str]) -> None:
    """Install or upgrade, and wait until everything is ready; the previous revision comes back if it is not.

    `look` says what is wrong with what helm waits for: asked while it waits, for afterwards it is gone.
    """
    _helm(
        f"component {chart.name}", chart.values, "upgrade", chart.name, chart.path, "--install",
        "--namespace", chart.namespace, "--values", "-", "--labels", f"{HASH}={chart.hash}",
        "--wait", "--timeout", f"{timeout}s", "--rollback-on-failure",
        "--server-side", "true", "--force-conflicts", "--history-max", str(HISTORY), "--hide-notes",
        look=look,
    )  # fmt: skip


def uninstall(name: str, namespace: str, timeout: int) -> None:
    """Remove the release and what it made, if there is one; volumes that it claimed stay."""
    _helm(
        f"component {name}", "", "uninstall", name, "--namespace", namespace, "--ignore-not-found",
        "--wait", "--timeout", f"{timeout}s",
    )  # fmt: skip


def _helm(about: str, given: str, *arguments: str, look: Callable[[], str] | None = None) -> str:
    """Helm's output. PlatformError with its reason, and with what `look` saw while helm was at work."""
    folder = settings().home / "helm"
    own = {f"HELM_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    # A helm that outlived a killed bootstrap would work against the next one.
    setpriv = shutil.which("setpriv")
    bound = [setpriv, "--pdeathsig", "KILL"] if setpriv else []
    process = subprocess.Popen(
        [*bound, find_program("helm"), *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=inherited(own),
    )  # fmt: skip
    seen, pending = "", given
    while True:
        try:
            out, err = process.communicate(pending, timeout=LOOK if look else None)
            break
        except subprocess.TimeoutExpired:
            pending = ""  # communicate goes on with what it was given first
            seen = (look() if look else "") or seen
        except BaseException:
            process.kill()
            process.wait()
            raise
    if process.returncode != 0:
        reason = err.strip().removeprefix("Error: ")[-1500:]
        raise PlatformError(
            about,
            f"helm {arguments[0]} failed: {reason}{f' What it waited for: {seen}' if seen else ''}",
            "Correct this, then run `slipway bootstrap` again: it goes on from here.",
        )
    return out
