"""Bootstrap's own behaviour, on a platform of two small charts: order, no-op, plan, drift, recovery, preflight."""

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.outside import Outside
from tests.cluster.platform_state import get, written
from tests.cluster.pods import kubectl
from tests.cluster.small import PLATFORM, Small, small_platform

pytestmark = pytest.mark.timeout(600)
PSS = "pod-security.kubernetes.io"
NOWHERE = f"127.0.0.1:1/nowhere@sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def module_platform(cli: Outside, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    with small_platform(cli, tmp_path_factory.mktemp("small")) as made:
        yield made


@pytest.fixture
def small(module_platform: Small) -> Small:
    """The platform, installed and as its lock says."""
    module_platform.region, module_platform.sections = "us-east-1", {}
    module_platform.components = ("alpha", "beta")
    module_platform.bootstrap()
    return module_platform


def at(small: Small, *arguments: str) -> str:
    return kubectl(small.cli, "--namespace", PLATFORM, *arguments)


def everything(small: Small) -> dict[str, str]:
    names = small.cli.run("kubectl", "get", "namespaces", "--output", "name").stdout
    there = [each for each in small.namespaces if f"namespace/{each}\n" in names]
    return {"namespaces": names, **written(small.cli, *there)}


def statuses(small: Small, release: str) -> list[str]:
    """Of each revision, the oldest first."""
    found = get(small.cli, PLATFORM, "secrets", "--selector", f"owner=helm,name={release}")
    labels = sorted((each["metadata"]["labels"] for each in found), key=lambda one: int(one["version"]))
    return [each["status"] for each in labels]


def error(small: Small, *arguments: str) -> dict[str, Any]:
    done = small.run("bootstrap", *arguments)
    assert done.returncode == 1, done.stdout + done.stderr
    said: dict[str, Any] = json.loads(done.stdout)["error"]
    return said


def test_before_anything_is_there_a_plan_names_all_and_writes_nothing(module_platform: Small) -> None:
    before = everything(module_platform)
    planned = module_platform.plan()
    assert list(planned) == ["namespaces", "secrets", "alpha", "beta", "settings"]
    assert planned["alpha"] == (
        "install",
        ["PriorityClass small-alpha is not there", "ConfigMap alpha in small is not there",
         "Service alpha in small is not there"],
    )  # fmt: skip
    assert planned["beta"] == ("install", ["Deployment beta in small is not there"])
    assert everything(module_platform) == before
    assert module_platform.run("bootstrap", "--check").returncode == 1


def test_components_come_in_the_order_of_the_lock(module_platform: Small) -> None:
    module_platform.components = ("beta", "alpha")
    try:
        said = module_platform.bootstrap()
    finally:
        module_platform.components = ("alpha", "beta")
    assert said["changed"] == ["beta", "alpha"]
    made = {
        each["metadata"]["labels"]["name"]: each["metadata"]["creationTimestamp"]
        for each in get(module_platform.cli, PLATFORM, "secrets", "--selector", "owner=helm")
    }
    assert made["beta"] <= made["alpha"]


def test_what_is_as_the_lock_says_is_not_written_to_nor_planned_for(small: Small) -> None:
    before = everything(small)
    assert small.plan() == {}
    assert small.run("bootstrap", "--check").returncode == 0
    assert small.bootstrap()["changed"] == []
    assert everything(small) == before


def test_an_upgrade_is_planned_field_by_field_and_then_made(small: Small) -> None:
    small.region = "eu-west-1"
    before = everything(small)
    planned = small.plan()
    assert everything(small) == before
    assert planned["alpha"] == (
        "upgrade",
        ['ConfigMap alpha in small: data.region is "us-east-1", wanted "eu-west-1"',
         "Service alpha in small is to go"],
    )  # fmt: skip
    assert planned["beta"] == (
        "upgrade",
        ["Deployment beta in small: spec.template.metadata.annotations.region is "
         '"us-east-1", wanted "eu-west-1"'],
    )  # fmt: skip
    assert small.bootstrap()["changed"] == ["alpha", "beta"]
    assert small.plan() == {}


def test_what_was_changed_deleted_and_added_by_hand_is_named_and_put_right(small: Small) -> None:
    at(small, "scale", "deployment/beta", "--replicas=0")
    at(small, "set", "env", "deployment/beta", "DEBUG=1")
    at(small, "patch", "configmap", "alpha", "--patch", '{"data": {"region": "moon"}}')
    at(small, "delete", "service", "alpha")
    kubectl(
        small.cli,
        "label",
        "namespace",
        PLATFORM,
        "pod-security.kubernetes.io/enforce=privileged",
        "--overwrite",
    )
    done = small.run("bootstrap", "--check")
    assert done.returncode == 1
    found = {change["part"]: change for change in json.loads(done.stdout)["changes"]}
    assert list(found) == ["namespaces", "alpha", "beta"]
    assert found["namespaces"]["why"] == [
        'Namespace small: metadata.labels.pod-security.kubernetes.io/enforce is "privileged", wanted "restricted"'
    ]
    assert found["alpha"]["does"] == found["beta"]["does"] == "put right"
    assert found["alpha"]["why"] == [
        'ConfigMap alpha in small: data.region is "moon", wanted "us-east-1"',
        "Service alpha in small: is not there",
    ]
    assert found["beta"]["why"] == [
        "Deployment beta in small: spec.replicas is 0, wanted 1",
        "Deployment beta in small: spec.template.spec.containers[beta].env was added with kubectl-set",
    ]
    assert small.bootstrap()["changed"] == ["alpha", "beta"]
    assert small.plan() == {}
    deployment = json.loads(at(small, "get", "deployment", "beta", "--output", "json"))
    assert "env" not in deployment["spec"]["template"]["spec"]["containers"][0]


def test_a_release_that_a_killed_helm_left_pending_is_recovered(small: Small) -> None:
    """The newest revision as a helm leaves it that is killed while it waits."""
    found = get(small.cli, PLATFORM, "secrets", "--selector", "owner=helm,name=beta")
    secret = max(found, key=lambda one: int(one["metadata"]["labels"]["version"]))
    name, revision = secret["metadata"]["name"], secret["metadata"]["labels"]["version"]
    release = json.loads(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    release["info"]["status"] = "pending-upgrade"
    data = base64.b64encode(base64.b64encode(gzip.compress(json.dumps(release).encode()))).decode()
    change = {"metadata": {"labels": {"status": "pending-upgrade"}}, "data": {"release": data}}
    at(small, "patch", "secret", name, "--type=merge", "--patch", json.dumps(change))

    assert small.plan()["beta"][1] == [f"revision {revision} of the Helm release is pending-upgrade"]
    done = small.run("bootstrap")
    assert done.returncode == 0, done.stderr
    assert "was left pending-upgrade by a killed helm: unlocked" in done.stderr
    assert json.loads(done.stdout)["changed"] == ["beta"]
    assert statuses(small, "beta")[-1] == "deployed"
    assert small.plan() == {}


def test_a_failed_upgrade_returns_to_the_last_good_release_and_says_what_the_pod_said(small: Small) -> None:
    good = json.loads(at(small, "get", "deployment", "beta", "--output", "json"))["spec"]["template"]
    small.region = "broken"
    said = error(small)
    assert said["object"] == "component beta"
    assert "CrashLoopBackOff" in said["observed"]
    assert "the rudder is jammed" in said["observed"]
    assert json.loads(at(small, "get", "deployment", "beta", "--output", "json"))["spec"]["template"] == good
    assert at(small, "rollout", "status", "deployment/beta", "--timeout=30s")
    assert statuses(small, "beta")[-1] == "deployed"

    assert small.plan()["beta"][0] == "upgrade", "what failed is not taken for what is there"
    small.region = "us-east-1"
    assert small.bootstrap()["changed"] == ["alpha"]
    assert small.plan() == {}


def refused(small: Small) -> str:
    """The message of a bootstrap that must not write."""
    before = everything(small)
    said = error(small)
    assert everything(small) == before
    return f"{said['object']}: {said['observed']}"


def test_a_cluster_of_another_version_is_refused(small: Small) -> None:
    small.sections = {"kubernetes": {"least": "1.98", "most": "1.99"}}
    assert "is not in the range 1.98 to 1.99" in refused(small)


def test_what_another_has_made_is_refused_before_anything_is_written(small: Small) -> None:
    small.components = ("alpha", "beta", "gamma")
    at(small, "create", "configmap", "gamma", "--from-literal=whose=another's")
    try:
        assert refused(small) == (
            "another installation: has what the platform would make: "
            "ConfigMap gamma in small, made with kubectl-create"
        )
    finally:
        at(small, "delete", "configmap", "gamma")


def test_pods_that_no_node_has_room_for_are_refused(small: Small) -> None:
    small.components, small.region = ("alpha", "beta", "gamma"), "vast"
    said = refused(small)
    assert "have no room for gamma-0 (1000000m cpu" in said


def test_an_image_that_no_node_can_pull_is_refused_and_the_namespace_of_its_job_goes(small: Small) -> None:
    image, _, digest = NOWHERE.partition("@")
    images = small.lock()["images"] | {"nowhere": {"image": image, "tag": "1", "digest": digest}}
    small.sections = {"images": images, "components": [
        *small.lock()["components"],
        {"name": "gamma", "chart": "tests/cluster/charts/gamma", "version": "0.1.0", "images": ["nowhere"]},
    ]}  # fmt: skip
    said = refused(small)
    assert f"cannot pull {NOWHERE}" in said


@pytest.mark.slow  # the pod tries for a minute
def test_an_external_postgres_that_no_pod_reaches_is_refused(small: Small) -> None:
    small.sections = {"postgres": {"host": "127.0.0.1", "port": 1, "external": True}}
    small.region = "eu-west-1"
    assert "127.0.0.1:1 cannot be reached from a pod" in refused(small)


def test_an_account_without_rights_is_told_which_it_lacks(small: Small) -> None:
    """By a role that may only look."""
    at(small, "create", "serviceaccount", "looker")
    config = json.loads(kubectl(small.cli, "config", "view", "--raw", "--minify", "--output", "json"))
    config["users"][0]["user"] = {"token": at(small, "create", "token", "looker").strip()}
    at(small, "create", "clusterrolebinding", "small-looker", "--clusterrole=small-looker",
       "--serviceaccount=small:looker")  # fmt: skip
    kinds = "nodes,pods,secrets,namespaces,configmaps,services,storageclasses,customresourcedefinitions"
    at(small, "create", "clusterrole", "small-looker", "--verb=get,list", f"--resource={kinds}")
    file = small.file.with_name("looker.json")
    file.write_text(json.dumps(config))
    try:
        small.write()
        done = small.cli.slipway("bootstrap", "--json", "--lock", str(small.file), KUBECONFIG=str(file))
    finally:
        kubectl(small.cli, "delete", "clusterrolebinding,clusterrole", "small-looker")
        at(small, "delete", "serviceaccount", "looker")
    assert done.returncode == 1, done.stdout
    said = json.loads(done.stdout)["error"]
    assert said["object"] == "this account"
    assert "create, delete, patch secrets in small" in said["observed"]
    assert "create, delete, get, patch priorityclasses in the cluster" in said["observed"]
    assert "get, list" not in said["observed"].partition("nodes")[2]
