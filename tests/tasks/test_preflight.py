"""What is asked before anything is written: table after table of clusters that will not do."""

from typing import Any

import pytest

from tasks import pulling, rights
from tasks.conflicts import belongs, owner
from tasks.errors import PlatformError
from tasks.helm import Chart
from tasks.platform_lock import PlatformLock, load_lock
from tasks.preflight import check_storage, check_version, minor

DIGEST = f"sha256:{'0' * 64}"
CHART = Chart("mlflow", "infra/charts/mlflow", "slipway", "{}", "")


def lock(**sections: dict[str, Any]) -> PlatformLock:
    found = load_lock()
    images = {name: image.model_copy(update={"digest": DIGEST}) for name, image in found.images.items()}
    changed = {name: getattr(found, name).model_copy(update=update) for name, update in sections.items()}
    return found.model_copy(update={"images": images, **changed})


@pytest.mark.parametrize("version", ["1.30.0", "1.34.4", "1.36.1-gke.100", "1.33+"])
def test_a_version_in_the_range_will_do(version: str) -> None:
    check_version(lock(), version)


@pytest.mark.parametrize(
    ("version", "step"), [("1.29.9", "Upgrade the cluster"), ("1.37.0", "widen the range")]
)
def test_a_version_out_of_the_range_is_refused(version: str, step: str) -> None:
    with pytest.raises(
        PlatformError, match=rf"Kubernetes {version}: is not in the range 1\.30 to 1\.36.*{step}"
    ):
        check_version(lock(), version)


def test_what_providers_add_to_a_version_is_left_out() -> None:
    assert minor("1.33+.4-eks-1") == (1, 33)


def test_volumes_need_a_default_class_unless_all_is_external() -> None:
    other = {"metadata": {"name": "slow"}}
    with pytest.raises(PlatformError, match=r"there are slow.*postgres and object-store need volumes"):
        check_storage(lock(), [other])
    check_storage(lock(store={"external": True}, postgres={"external": True}), [other])


def role(kind: str = "Role") -> dict[str, Any]:
    rules = [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "watch"]}]
    metadata = {"name": "worker", "namespace": "slipway-training"}
    return {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata, "rules": rules}


def test_the_rights_needed_are_those_of_the_charts_objects_and_what_their_roles_hand_on() -> None:
    wanted = rights.needed(lock(), [role()])
    assert rights.Right("slipway-training", "roles", "patch", "rbac.authorization.k8s.io") in wanted
    assert rights.Right("slipway-training", "jobs", "watch", "batch") in wanted
    assert rights.Right("slipway", "leases", "create", "coordination.k8s.io") in wanted
    assert rights.Right("", "namespaces", "delete", "") in wanted
    assert not [each for each in wanted if "*" in (each.verb, each.resource, each.group)]


LEFT_OUT = [("", "pods", "delete"), ("batch", "jobs", "list"), ("coordination.k8s.io", "leases", "list")]


@pytest.mark.parametrize(("group", "resource", "verb"), LEFT_OUT)
def test_what_is_left_out_is_emptied_with_rights_that_are_asked_for_only_there(
    group: str, resource: str, verb: str
) -> None:
    bare = lock()
    components = tuple(one.model_copy(update={"enabled": True}) for one in bare.components)
    for found, spaces in (
        (bare, {bare.namespaces.notebooks, bare.namespaces.executors}),
        (bare.model_copy(update={"components": components}), set()),
    ):
        wanted = {
            rights.Right(space, resource, verb, group) for space in found.namespaces.model_dump().values()
        }
        assert {right.namespace for right in wanted & rights.needed(found, [])} == spaces


def test_what_belongs_to_the_whole_cluster_is_asked_for_in_no_namespace() -> None:
    wanted = rights.needed(lock(), [role("ClusterRole")])
    assert rights.Right("", "clusterroles", "create", "rbac.authorization.k8s.io") in wanted


def test_refused_rights_are_said_by_resource() -> None:
    refused = [rights.Right("a", "secrets", verb) for verb in ("patch", "create")]
    refused.append(rights.Right("", "nodes", "list"))
    assert rights.said(refused) == "create, patch secrets in a; list nodes in the cluster"


def helm_object(**annotations: str) -> dict[str, Any]:
    said = {f"meta.helm.sh/release-{key}": value for key, value in annotations.items()}
    return {"metadata": {"annotations": said, "managedFields": [{"manager": "kubectl-create"}]}}


def test_what_a_killed_release_of_ours_left_is_no_conflict_and_what_others_made_is() -> None:
    assert belongs(helm_object(name="mlflow", namespace="slipway"), CHART)
    assert not belongs(helm_object(name="mlflow", namespace="elsewhere"), CHART)
    assert not belongs(helm_object(), CHART)
    assert owner(helm_object(name="a", namespace="b")) == "of the Helm release a in b"
    assert owner(helm_object()) == "made with kubectl-create"


def state(name: str, **states: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "state": states}


def tried(*statuses: dict[str, Any]) -> dict[str, Any]:
    containers = [{"name": each["name"]} for each in statuses]
    return {
        "spec": {"containers": containers, "nodeName": "n"},
        "status": {"containerStatuses": list(statuses)},
    }


STARTED = state("flow", terminated={"reason": "StartError", "exitCode": 128})
BACK_OFF = state("flow", waiting={"reason": "ImagePullBackOff", "message": "not found"})


@pytest.mark.parametrize(
    ("status", "known"),
    [
        (STARTED, True),
        (BACK_OFF, True),
        (state("flow", waiting={"reason": "RunContainerError"}), True),
        (state("flow", waiting={"reason": "ContainerCreating"}), False),
        (state("flow", waiting={"reason": "ErrImagePull"}), False),
        (state(pulling.REACHES, waiting={"reason": "CreateContainerError"}), False),
        (state(pulling.REACHES, terminated={"exitCode": 0}), True),
    ],
)
def test_a_container_is_waited_for_until_its_image_is_there_or_given_up(
    status: dict[str, Any], known: bool
) -> None:
    assert pulling.decided(status) is known


def test_an_image_that_is_not_to_be_had_is_named_with_what_the_node_says() -> None:
    images = {"flow": "docker.io/slipway/flow@sha256:1"}
    pulling.check(tried(STARTED), images, "")
    with pytest.raises(PlatformError) as caught:
        pulling.check(tried(BACK_OFF), images, "")
    assert "node n cannot pull docker.io/slipway/flow@sha256:1 (ImagePullBackOff: not found)" in str(
        caught.value
    )


def test_what_the_user_brings_and_no_pod_reaches_is_named() -> None:
    pod = tried(STARTED, state(pulling.REACHES, terminated={"exitCode": 1}))
    with pytest.raises(PlatformError, match=r"db:5432 cannot be reached from a pod \(timed out\)"):
        pulling.check(pod, {}, "RuntimeError: db:5432 cannot be reached from a pod (timed out)\n")


@pytest.mark.parametrize(
    ("sections", "addresses"),
    [
        ({}, {}),
        ({"postgres": {"external": True, "host": "db", "port": 6432}}, {"Postgres": "db:6432"}),
        (
            {"store": {"external": True, "endpoint": "https://s3.example.com"}},
            {"object store": "s3.example.com:443"},
        ),
        ({"store": {"external": True, "endpoint": "http://s3:9000"}}, {"object store": "s3:9000"}),
    ],
)
def test_only_what_is_external_is_connected_to(sections: dict[str, Any], addresses: dict[str, str]) -> None:
    found = lock(**sections)
    assert pulling.external(found) == addresses
    made = pulling.job(pulling.wanted_images(found), addresses, found, "x")
    containers = {each["name"]: each for each in made["spec"]["template"]["spec"]["containers"]}
    assert {"flow", "mlflow", "model-server"} <= set(containers)
    assert ("reaches" in containers) is bool(addresses)
    assert all(each["securityContext"]["capabilities"] == {"drop": ["ALL"]} for each in containers.values())
