"""Images from a mirror, and the Secret that they are pulled with."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.errors import PlatformError
from tasks.kubernetes import SECRET, SERVICE_ACCOUNT, Kind
from tasks.lock_parts import OF_NOTEBOOKS
from tasks.platform_lock import PlatformLock, Refused, load_lock, mirrored, parse_lock
from tasks.registry import CLEANER, TYPE, give_pull_secret
from tests.tasks.test_platform_lock import DIGEST, content

GIVEN = {
    "metadata": {"name": "pull", "namespace": "slipway"},
    "type": TYPE,
    "data": {".dockerconfigjson": "e30="},
}


class Memory:
    """What `Cluster` does with objects of namespaces, in a dict."""

    def __init__(self) -> None:
        self.there: dict[tuple[str, str, str], Any] = {}

    def get(self, kind: Kind, name: str, namespace: str) -> Any:
        return self.there.get((kind.name, namespace, name))

    def delete(self, kind: Kind, name: str, namespace: str) -> bool:
        return self.there.pop((kind.name, namespace, name), None) is not None

    def apply(self, manifest: Any) -> Any:
        metadata = manifest["metadata"]
        self.there[manifest["kind"], metadata["namespace"], metadata["name"]] = manifest
        return manifest


def lock(**registry: Any) -> PlatformLock:
    return parse_lock(yaml.safe_dump(content(registry=registry)), Path("platform.yaml"))


def test_a_mirror_stands_for_every_registry_and_keeps_the_paths() -> None:
    found = mirrored(lock(mirror="registry.example.com:5000/cache"))
    assert found.image("flow") == f"registry.example.com:5000/cache/slipway/flow@{DIGEST}"
    assert found.images["postgres"].image == "registry.example.com:5000/cache/library/postgres"
    assert mirrored(lock()) == lock()


def test_what_was_built_here_is_not_looked_for_in_the_mirror(tmp_path: Path) -> None:
    file, local = tmp_path / "platform.yaml", tmp_path / "images.local.yaml"
    file.write_text(yaml.safe_dump(content(registry={"mirror": "mirror.example.com"})))
    own = {"image": "registry.example.com/team/flow", "tag": "1", "digest": DIGEST}
    local.write_text(yaml.safe_dump({"images": {"flow": own}}))
    found = load_lock(file, local)
    assert found.image("flow") == f"registry.example.com/team/flow@{DIGEST}"
    assert found.images["postgres"].image == "mirror.example.com/library/postgres"


@pytest.mark.parametrize("mirror", ["https://mirror", "mirror/", "Mirror", ""])
def test_a_mirror_is_a_host_with_a_path(mirror: str) -> None:
    with pytest.raises(Refused, match=r"registry.mirror: found .*pattern"):
        lock(mirror=mirror)


def test_the_pull_secret_is_copied_and_named_by_the_default_accounts() -> None:
    cluster = Memory()
    cluster.there["Secret", "slipway", "pull"] = GIVEN
    spaces = tuple(lock().spaces.values())
    assert give_pull_secret(cluster, lock(pull_secret="pull")) == spaces  # type: ignore[arg-type]
    for space in spaces:
        assert cluster.get(SECRET, "pull", space)["data"] == GIVEN["data"]
        assert cluster.get(SERVICE_ACCOUNT, "default", space)["imagePullSecrets"] == [{"name": "pull"}]
    assert give_pull_secret(cluster, lock(pull_secret="pull")) == ()  # type: ignore[arg-type]
    assert give_pull_secret(cluster, lock()) == spaces  # type: ignore[arg-type]
    assert "imagePullSecrets" not in cluster.get(SERVICE_ACCOUNT, "default", "slipway")
    assert give_pull_secret(cluster, lock()) == ()  # type: ignore[arg-type]


def test_accounts_of_others_are_left_alone() -> None:
    cluster = Memory()
    theirs = {"metadata": {}, "imagePullSecrets": [{"name": "theirs"}]}
    cluster.there["ServiceAccount", "slipway", "default"] = theirs
    assert give_pull_secret(cluster, lock()) == ()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("there", "words"), [(None, "is not there"), ({"type": "Opaque"}, "is of type Opaque")]
)
def test_a_pull_secret_that_is_none_is_named(there: Any, words: str) -> None:
    cluster = Memory()
    cluster.there["Secret", "slipway", "pull"] = there
    with pytest.raises(
        PlatformError, match=rf"Secret pull in slipway: {words}.*create secret docker-registry"
    ):
        give_pull_secret(cluster, lock(pull_secret="pull"))  # type: ignore[arg-type]


def test_housekeeping_logs_in_with_the_pull_secret_only_where_it_is_to_clean() -> None:
    cluster: Any = Memory()
    cluster.apply({**GIVEN, "kind": "Secret"})
    place = ("Secret", "slipway-serving", CLEANER)
    give_pull_secret(cluster, lock(pull_secret="pull"))
    assert place not in cluster.there
    cleaning = lock(pull_secret="pull", clean=True)
    assert f"slipway-serving ({CLEANER})" in give_pull_secret(cluster, cleaning)
    assert cluster.there[place]["data"] == GIVEN["data"]
    assert give_pull_secret(cluster, cleaning) == ()
    give_pull_secret(cluster, lock(pull_secret="pull"))
    assert place not in cluster.there


def test_a_pull_secret_of_the_name_that_housekeeping_reads_stays_where_it_is_needed() -> None:
    cluster: Any = Memory()
    named = {**GIVEN["metadata"], "name": CLEANER}
    cluster.apply({**GIVEN, "kind": "Secret", "metadata": named})
    for clean in (False, True):
        give_pull_secret(cluster, lock(pull_secret=CLEANER, clean=clean))
        assert give_pull_secret(cluster, lock(pull_secret=CLEANER, clean=clean)) == ()
        assert cluster.get(SECRET, CLEANER, "slipway-serving")["data"] == GIVEN["data"]


def test_only_images_built_for_the_platform_are_cleaned_and_only_if_the_lock_says_so() -> None:
    assert lock().cleaned == []
    found = lock(clean=True)
    assert found.image("flow") in found.cleaned
    assert found.image("postgres") not in found.cleaned


def test_images_that_users_servers_may_run_are_cleaned_only_where_there_are_no_notebooks() -> None:
    found = load_lock()
    images = {name: image.model_copy(update={"digest": DIGEST}) for name, image in found.images.items()}
    cleaning = found.registry.model_copy(update={"clean": True})
    without = found.model_copy(update={"images": images, "registry": cleaning})
    components = tuple(one.model_copy(update={"enabled": True}) for one in without.components)
    having = without.model_copy(update={"components": components})
    assert [each.partition("@")[0].rpartition("/")[2] for each in having.cleaned] == [
        "flow", "mlflow", "model-server",
    ]  # fmt: skip
    assert set(without.cleaned) - set(having.cleaned) == set(map(without.image, OF_NOTEBOOKS))
