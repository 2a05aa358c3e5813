"""What the development cluster decides without touching the machine."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from infra.devcluster import kubeconfig, preflight, processes, programs
from infra.devcluster.images import archive, store
from infra.devcluster.images.standins import OF_THE_NODE, OF_THE_PLATFORM
from infra.devcluster.layout import DATA, NAME, cache
from infra.devcluster.network import without_ours
from tasks.errors import PlatformError


def entries(*names: str) -> dict[str, Any]:
    return {kind: [{"name": name} for name in names] for kind in ("clusters", "users", "contexts")}


OURS = {**entries(NAME), "current-context": NAME}


def test_the_context_is_added_beside_the_users_own_and_chosen() -> None:
    result = kubeconfig.merged({**entries("work"), "current-context": "work", "preferences": {"a": 1}}, OURS)
    assert [entry["name"] for entry in result["contexts"]] == ["work", NAME]
    assert result["current-context"] == NAME
    assert result["preferences"] == {"a": 1}


def test_an_earlier_context_of_the_cluster_is_replaced() -> None:
    result = kubeconfig.merged({**entries(NAME, "work"), "users": None}, OURS)
    assert [entry["name"] for entry in result["clusters"]] == ["work", NAME]
    assert [entry["name"] for entry in result["users"]] == [NAME]


@pytest.mark.parametrize(
    ("chosen", "previous", "left"),
    [(NAME, "work", "work"), (NAME, "gone", ""), (NAME, None, ""), ("work", "other", "work")],
)
def test_taking_the_context_away_gives_the_earlier_choice_back(chosen: str, previous: str, left: str) -> None:
    result = kubeconfig.without({**entries("work", NAME), "current-context": chosen}, previous)
    assert result["current-context"] == left
    assert [entry["name"] for entry in result["users"]] == ["work"]


def test_a_file_that_held_nothing_else_goes_and_one_that_did_stays(tmp_path: Path) -> None:
    alone, shared = tmp_path / "alone", tmp_path / "shared"
    shared.write_text(json.dumps({**entries("work"), "current-context": "work"}))
    for file in (alone, shared):
        previous = kubeconfig.add(OURS, file)
        assert file.stat().st_mode & 0o077 == 0
        kubeconfig.remove(file, previous)
    assert not alone.exists()
    assert "current-context: work" in shared.read_text()
    assert NAME not in shared.read_text()


def test_a_kubeconfig_that_is_none_is_refused_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text("- a list")
    with pytest.raises(PlatformError, match="is no kubeconfig"):
        kubeconfig.add(OURS, file)
    assert file.read_text() == "- a list"


def test_kubectl_writes_to_the_first_file_that_is_named() -> None:
    assert kubeconfig.user_file({"KUBECONFIG": ":/a:/b"}) == Path("/a")
    assert kubeconfig.user_file({}) == Path.home() / ".kube" / "config"


def test_only_the_clusters_rules_leave_the_firewall() -> None:
    saved = """\
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:DOCKER - [0:0]
:KUBE-FORWARD - [0:0]
:SLIPWAY-DEVCLUSTER - [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
-A INPUT -p tcp --dport 22 -j ACCEPT
-A FORWARD -j SLIPWAY-DEVCLUSTER
-A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
-A FORWARD -i a -o a -m comment --comment SLIPWAY-DEVCLUSTER -j ACCEPT
-A DOCKER -d 172.17.0.2/32 -j ACCEPT
-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
COMMIT""".splitlines()
    left, found = without_ours(saved)
    assert found
    assert left == [
        "*filter",
        ":INPUT ACCEPT [0:0]",
        ":FORWARD DROP [0:0]",
        ":DOCKER - [0:0]",
        "-A INPUT -p tcp --dport 22 -j ACCEPT",
        "-A DOCKER -d 172.17.0.2/32 -j ACCEPT",
        "COMMIT",
    ]
    assert without_ours(left) == (left, False)


def test_missing_packages_are_named_once_each() -> None:
    needed = {"etcd": "etcd-server", "ctr": "containerd", "containerd": "containerd", "ip": "iproute2"}
    assert preflight.missing_packages(needed, {"ip": "/sbin/ip"}.get) == ["containerd", "etcd-server"]


@pytest.mark.parametrize(
    ("said", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.9 x", (1, 9)), ("", None)],
)
def test_the_version_of_go_is_read(said: str, version: tuple[int, int] | None) -> None:
    assert preflight.go_version(said) == version


def test_the_clusters_processes_are_told_from_those_of_others() -> None:
    ours = f"{cache()}/programs/kubernetes-0/kubelet"
    assert processes.belongs(ours, "kubelet", [ours, f"--config={DATA}/config/kubelet.yaml"])
    assert processes.belongs(
        "/usr/bin/containerd", "containerd", ["containerd", f"--config={DATA}/config/c.toml"]
    )
    assert not processes.belongs("/usr/bin/containerd", "containerd", ["containerd", "--config=/etc/c.toml"])
    assert not processes.belongs("/usr/bin/etcd", "etcd", ["etcd", "--data-dir=/var/lib/etcd"])
    assert not processes.belongs("/usr/bin/tail", "tail", ["tail", "-f", f"{DATA}/logs/etcd.log"])
    assert not processes.belongs(ours.replace("kubelet", "kubectl"), "kubectl", ["kubectl", "get", "pods"])


def test_the_same_layer_makes_the_same_image(tmp_path: Path) -> None:
    digests = set()
    for number in range(2):
        layer, image = tmp_path / f"layer{number}", tmp_path / f"image{number}"
        with archive.layer_writer(layer) as writer:
            writer.folder("tmp", 0o1777)
            writer.file("etc/passwd", b"root:x:0:0:::\n", 0o644)
        archive.write(image, "docker.io/library/example:1", layer, archive.Settings(entrypoint=("/a",)))
        digests.add(archive.manifest_digest(image))
    assert len(digests) == 1


def test_what_is_no_image_archive_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(b"no tar")
    with pytest.raises(PlatformError, match="is no OCI archive"):
        archive.manifest_digest(file)
    with tarfile.open(file, "w"):
        pass
    with pytest.raises(PlatformError, match="is no OCI archive"):
        archive.manifest_digest(file)


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("docker.io/slipway/flow:0.1.0-abc", "docker.io/slipway/flow"),
        ("localhost:5000/flow:1", "localhost:5000/flow"),
        ("localhost:5000/flow@sha256:00", "localhost:5000/flow"),
    ],
)
def test_the_repository_of_a_reference(reference: str, name: str) -> None:
    assert store.repository(reference) == name


def test_a_build_is_known_by_its_locks_and_sources() -> None:
    keys = {build.key() for build in programs.BUILDS.values()}
    assert len(keys) == len(programs.BUILDS)
    for build in programs.BUILDS.values():
        assert all(path.is_file() for path in build.sources())
    assert "gitVersion=v1.34.4" in " ".join(programs.BUILDS["kubernetes"].flags())
    assert "version=v4." in " ".join(programs.BUILDS["helm"].flags())


def test_every_stand_in_has_an_archive_of_its_own() -> None:
    stand_ins = (*OF_THE_NODE, *OF_THE_PLATFORM)
    assert len({stand_in.archive for stand_in in stand_ins}) == len(stand_ins)
