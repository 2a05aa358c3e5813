"""What JupyterHub's own chart makes of our values: held to its schema, by digest, and with nothing left to chance.

Needs the chart (`--charts DIR`), and no cluster.
"""

from pathlib import Path
from typing import Any

import pytest

from tasks import helm, hub_secrets, needed_secrets
from tasks.charts import find_charts, values
from tasks.errors import PlatformError
from tasks.hub_secrets import markers
from tasks.markers import known_of
from tasks.platform_lock import PlatformLock
from tests.cluster.hub.installed import HOST
from tests.cluster.test_charts import DIGEST, containers, lock

pytestmark = pytest.mark.charts
LOGINS = ("password", "google")


def with_hub(login: str, **changed: Any) -> PlatformLock:
    found = lock()
    wanted = {
        "enabled": True,
        "values": ("infra/jupyterhub/values.yaml", f"infra/jupyterhub/{login}.yaml"),
        **changed,
    }
    components = tuple(
        each.model_copy(update=wanted if each.name == "jupyterhub" else {"enabled": True})
        for each in found.components
        if each.name in ("notebooks", "jupyterhub")
    )
    door = found.reach.hub.model_copy(update={"host": HOST if login == "google" else None})
    reach = found.reach.model_copy(update={"hub": door})
    return found.model_copy(update={"components": components, "reach": reach})


def rendered(charts: Path, login: str, **told: Any) -> helm.Chart:
    found = with_hub(login)
    component = found.component("jupyterhub")
    secrets = hub_secrets.wanted(found, {}, lambda: "ab" * 40)
    given = values(component, found, known_of(found) | markers(secrets, found))
    path = find_charts(found, charts)["jupyterhub"]
    return helm.render(helm.Wanted("jupyterhub", path, found.namespace(component), {**given, **told}))


@pytest.mark.parametrize("login", LOGINS)
def test_it_renders_to_the_same_twice_and_stays_in_its_namespace(charts: Path, login: str) -> None:
    made = rendered(charts, login)
    assert made == rendered(charts, login)
    space = with_hub(login).namespaces.notebooks
    assert {each["metadata"].get("namespace", space) for each in made.objects} == {space}
    kinds = {each["kind"] for each in made.objects}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "DaemonSet", "PriorityClass"}


@pytest.mark.parametrize("login", LOGINS)
def test_every_image_is_locked_and_no_pod_is_privileged(charts: Path, login: str) -> None:
    pods = [
        each["spec"]["template"] for each in rendered(charts, login).objects if each["kind"] == "Deployment"
    ]
    assert len(pods) == 2  # the hub, and the proxy
    for container in [one for pod in pods for one in containers(pod)]:
        assert container["image"].endswith(f"@{DIGEST}")
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["capabilities"]) == (False, {"drop": ["ALL"]})
        assert context["runAsUser"] != 0


def test_the_secrets_that_others_make_are_known_before(charts: Path) -> None:
    for login, expected in (("password", set()), ("google", {"slipway-google"})):
        made = rendered(charts, login)
        names = {name for _, name, _ in needed_secrets.needed(made.objects, made.namespace)}
        assert names == expected


def test_a_misspelt_value_is_refused_by_the_charts_own_schema(charts: Path) -> None:
    with pytest.raises(PlatformError, match=r"(?s)jupyterhub.*culling"):
        rendered(charts, "password", culling={"timeout": 60})
