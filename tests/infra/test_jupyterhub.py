"""What the hub makes of people: account, groups, pod. The spawner is the real one, without a cluster."""

import asyncio
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tasks.settings import ROOT

FOLDER = ROOT / "infra" / "jupyterhub"
EXECUTORS = "slipway-executors"


class Chart:
    """What the chart's own module gives to the file, from the chart's values: a stand-in."""

    @staticmethod
    def get_config(key: str, default: Any = None) -> Any:
        return {"custom.groups": {"all": "everyone", "few": ["anna"]}, "custom.executors": EXECUTORS}.get(
            key, default
        )


NOWHERE = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "none", "cluster": {"server": "https://127.0.0.1:9"}}],
    "users": [{"name": "nobody", "user": {"token": "none"}}],
    "contexts": [{"name": "none", "context": {"cluster": "none", "user": "nobody"}}],
    "current-context": "none",
}
"""The spawner reads a configuration when it is made, and asks no server here."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The file's names after it ran as the chart runs it."""
    from kubernetes_asyncio.config import kube_config
    from traitlets.config import Config

    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(NOWHERE))
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))
    monkeypatch.setitem(sys.modules, "z2jh", Chart)  # type: ignore[arg-type]
    return runpy.run_path(str(FOLDER / "hub.py"), init_globals={"c": Config()})


@pytest.mark.parametrize(
    ("name", "account"),
    [
        ("anna", "anna"),
        ("anna.kowalska", "anna-kowalska---503c514d"),
        ("x" * 40, "x" * 21 + "---"),
        ("anna.kowalska@research.example.com", "anna-kowalska-researc---"),
        ("root", "root---"),
        ("mail", "mail---"),
        ("1st", "x-1st---"),
    ],
)
def test_a_name_becomes_an_account_that_the_image_does_not_have(
    hub: dict[str, Any], name: str, account: str
) -> None:
    found = hub["account"](name)
    assert found.startswith(account)
    assert len(found) <= 32
    assert found not in hub["TAKEN"]


def test_two_names_are_never_one_account(hub: dict[str, Any]) -> None:
    names = ["a.b", "a-b", "a_b", "A-b", "a--b", "x" * 40, "x" * 41, "root", "Root"]
    assert len({hub["account"](name) for name in names}) == len(names)


def test_groups_are_those_of_the_values_and_of_the_identity_provider(hub: dict[str, Any]) -> None:
    after = hub["after_login"]
    assert after(None, None, {"name": "anna", "groups": ["staff"]})["groups"] == ["all", "few", "staff"]
    assert after(None, None, {"name": "ben", "groups": None})["groups"] == ["all"]


def pod(hub: dict[str, Any], name: str, profile: str, size: str = "small") -> Any:
    """The pod that the hub starts for `name`, from the profiles of values.yaml."""
    from kubespawner import KubeSpawner
    from traitlets.config import Config

    values = yaml.safe_load((FOLDER / "values.yaml").read_text())
    singleuser, config = values["singleuser"], Config()
    config.KubeSpawner.update(values["hub"]["config"]["KubeSpawner"])
    config.KubeSpawner.profile_list = singleuser["profileList"]
    config.KubeSpawner.environment = singleuser["extraEnv"]
    config.KubeSpawner.uid, config.KubeSpawner.fs_gid = singleuser["uid"], singleuser["fsGid"]
    config.KubeSpawner.volume_mounts = {
        "home": {"name": "home", "mountPath": singleuser["storage"]["homeMountPath"]}
    }
    config.KubeSpawner.volumes = {
        "home": {"name": "home", "persistentVolumeClaim": {"claimName": "{pvc_name}"}}
    }
    user = SimpleNamespace(name=name, id=1, url=f"/user/{name}/", server=None)

    async def made() -> Any:
        spawner = KubeSpawner(config=config, user=user, _mock=True)
        hub["before_spawn"](spawner)
        spawner.user_options = {"profile": profile, "size": size}
        await spawner.load_user_options()
        return await spawner.get_pod_manifest()

    return asyncio.run(made())


def test_a_server_may_become_its_user_and_no_more(hub: dict[str, Any]) -> None:
    found = pod(hub, "anna", "minimal")
    container = found.spec.containers[0]
    security = container.security_context
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"]["drop"] == ["ALL"]
    assert not {"SYS_ADMIN", "NET_ADMIN", "NET_RAW", "SYS_PTRACE"} & set(security["capabilities"]["add"])
    assert found.spec.security_context == {"fsGroup": 100, "seccompProfile": {"type": "RuntimeDefault"}}
    assert [next(iter(each)) for each in container.env_from] == ["configMapRef", "secretRef"]
    assert container.env_from[1]["secretRef"]["optional"] is True


def test_a_minimal_notebook_has_no_account_of_the_cluster(hub: dict[str, Any]) -> None:
    found = pod(hub, "anna.kowalska", "minimal")
    assert found.spec.service_account_name is None
    assert found.spec.automount_service_account_token is False
    assert "slipway.io/role" not in found.metadata.labels


def test_a_spark_notebook_has_one_and_knows_where_its_executors_go(hub: dict[str, Any]) -> None:
    found = pod(hub, "anna.kowalska", "spark", "medium")
    container = found.spec.containers[0]
    assert found.spec.service_account_name == "spark-notebook"
    assert found.spec.automount_service_account_token is True
    assert found.metadata.labels["slipway.io/role"] == "spark-notebook"
    assert {one.name for one in container.env} >= {"SLIPWAY_SPARK_NAMESPACE", "SLIPWAY_SPARK_IMAGE", "POD_IP"}
    assert container.resources.limits == {"cpu": 2, "memory": 6 * 2**30}


def test_the_volume_is_mounted_at_the_home_of_the_account(hub: dict[str, Any]) -> None:
    name = "anna.kowalska@research.example.com"
    container = pod(hub, name, "minimal").spec.containers[0]
    account = hub["account"](name)
    assert next(one.value for one in container.env if one.name == "NB_USER") == account
    assert [one.mount_path for one in container.volume_mounts] == [f"/home/{account}"]
    assert container.security_context["runAsUser"] == 0


def test_what_a_spark_notebook_left_goes_with_its_server(hub: dict[str, Any]) -> None:
    asked = []

    async def delete(namespace: str, **given: Any) -> None:
        asked.append((namespace, given["label_selector"]))

    spawner = SimpleNamespace(
        pod_name="jupyter-anna", api=SimpleNamespace(delete_collection_namespaced_pod=delete)
    )
    asyncio.run(hub["after_stop"](spawner))
    assert asked == [(EXECUTORS, "slipway.io/driver=jupyter-anna")]
