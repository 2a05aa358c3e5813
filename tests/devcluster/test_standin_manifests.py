"""What the stand-in operator builds, as FACTS were observed of Seldon Core 1.17.1."""

import hashlib
from typing import Any

import pytest

from infra.devcluster.seldon_standin.defaults import defaulted
from infra.devcluster.seldon_standin.manifests import Unsupported, components
from infra.devcluster.seldon_standin.names import shortened

from .standin import environment, predictor, seldon_deployment, server


def test_one_predictor_becomes_one_deployment_and_two_services() -> None:
    made = components(seldon_deployment(predictor("v1")))
    assert [each["metadata"]["name"] for each in made.deployments] == ["flights-v1-0-flights"]
    assert [each["metadata"]["name"] for each in made.services] == ["flights-v1-flights", "flights-v1"]
    assert made.address == "http://flights-v1.serving.svc.cluster.local:9000/v2/models/flights/infer"


def test_pods_carry_the_labels_that_services_select() -> None:
    made = components(seldon_deployment(predictor("v1")))
    labels = made.deployments[0]["spec"]["template"]["metadata"]["labels"]
    assert labels["seldon-app"] == "flights-v1"
    assert labels["seldon-deployment-id"] == "flights"
    assert labels["version"] == "v1"
    for service in made.services:
        assert service["spec"]["selector"].items() <= labels.items()
        assert {port["name"]: port["port"] for port in service["spec"]["ports"]} == {
            "http": 9000,
            "grpc": 9500,
        }
    assert made.deployments[0]["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_everything_goes_with_its_seldon_deployment_and_says_who_made_it() -> None:
    made = components(seldon_deployment(predictor("v1")))
    for each in [*made.deployments, *made.services]:
        (owner,) = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"], owner["controller"]) == ("SeldonDeployment", "u-1", True)
        assert each["metadata"]["labels"]["app.kubernetes.io/name"] == "seldon-standin"
        assert "stand-in" in each["metadata"]["annotations"]["slipway.io/stand-in"]


@pytest.mark.parametrize(
    ("name", "length"),
    [("a" * 40, len("a" * 40 + "-v1-0-flights")), ("a" * 60, 39)],
    ids=["fits", "too long"],
)
def test_names_over_63_characters_become_a_hash(name: str, length: int) -> None:
    made = components(seldon_deployment(predictor("v1"), name=name))
    found = made.deployments[0]["metadata"]["name"]
    assert len(found) == length
    plain = f"{name}-v1-0-flights"
    hashed = "seldon-" + hashlib.md5(plain.encode(), usedforsecurity=False).hexdigest()
    assert found == (plain if len(plain) <= 63 else hashed) == shortened(plain)


def test_the_model_is_brought_by_an_init_container() -> None:
    (deployment,) = components(seldon_deployment(predictor("v1"))).deployments
    pod = deployment["spec"]["template"]["spec"]
    (initializer,) = pod["initContainers"]
    assert initializer["name"] == "flights-model-initializer"
    assert initializer["image"] == "seldonio/rclone-storage-initializer:1.17.1"
    assert initializer["args"] == ["s3://slipway/v1", "/mnt/models"]
    assert initializer["envFrom"] == [{"secretRef": {"name": "store"}}]
    assert {"name": "flights-provision-location", "emptyDir": {}} in pod["volumes"]
    assert server(deployment)["volumeMounts"][-1] == {
        "name": "flights-provision-location",
        "mountPath": "/mnt/models",
        "readOnly": True,
    }


def test_an_init_container_of_that_name_is_left_as_it_is() -> None:
    wanted = predictor("v1")
    own = {"name": "flights-model-initializer", "image": "own", "args": ["x"]}
    wanted["componentSpecs"][0]["spec"]["initContainers"] = [own]
    (deployment,) = components(seldon_deployment(wanted)).deployments
    pod = deployment["spec"]["template"]["spec"]
    assert pod["initContainers"] == [own]
    assert [volume["name"] for volume in pod["volumes"]] == ["seldon-podinfo"], (
        "its volume is ours to declare"
    )
    assert server(deployment)["volumeMounts"][-1]["mountPath"] == "/mnt/models"


def test_the_server_gets_the_operators_environment() -> None:
    (deployment,) = components(seldon_deployment(predictor("v1"))).deployments
    found = environment(server(deployment))
    assert (
        found.items()
        >= {
            "MLSERVER_HTTP_PORT": "9000",
            "MLSERVER_GRPC_PORT": "9500",
            "MLSERVER_MODEL_IMPLEMENTATION": "mlserver_mlflow.MLflowRuntime",
            "MLSERVER_MODEL_NAME": "flights",
            "MLSERVER_MODEL_VERSION": "v1",
            "MLSERVER_MODEL_URI": "/mnt/models",
            "MLSERVER_METRICS_PORT": "6000",
            "MLSERVER_METRICS_ENDPOINT": "/prometheus",
            "PREDICTIVE_UNIT_ID": "flights",
            "PREDICTOR_ID": "v1",
            "PREDICTOR_LABELS": '{"version":"v1"}',
            "SELDON_DEPLOYMENT_ID": "flights",
        }.items()
    )


@pytest.mark.parametrize(
    ("name", "value", "winner"),
    [
        ("MLSERVER_MODEL_IMPLEMENTATION", "own.Runtime", "own.Runtime"),
        ("MLSERVER_MODEL_VERSION", "7", "7"),
        ("SLIPWAY_MODEL_DIGEST", "sha256:1", "sha256:1"),
        ("MLSERVER_MODEL_NAME", "other", "flights"),
        ("MLSERVER_METRICS_PORT", "7000", "6000"),
        ("SELDON_DEPLOYMENT_ID", "other", "flights"),
    ],
)
def test_who_wins_when_the_user_sets_a_variable(name: str, value: str, winner: str) -> None:
    wanted = predictor("v1", env=[{"name": name, "value": value}])
    (deployment,) = components(seldon_deployment(wanted)).deployments
    assert environment(server(deployment))[name] == winner


def test_setting_a_port_in_the_environment_costs_all_other_variables() -> None:
    own = [{"name": "OWN", "value": "1"}, {"name": "MLSERVER_HTTP_PORT", "value": "9000"}]
    (deployment,) = components(seldon_deployment(predictor("v1", env=own))).deployments
    found = environment(server(deployment))
    assert "OWN" not in found
    assert found["MLSERVER_HTTP_PORT"] == "9000", "MLServer's own set still has it"


def test_ports_are_the_operators_and_probes_keep_only_their_patience() -> None:
    wanted = predictor(
        "v1",
        ports=[{"name": "metrics", "containerPort": 6123}, {"name": "extra", "containerPort": 1}],
        readinessProbe={"tcpSocket": {"port": 1}, "initialDelaySeconds": 1, "periodSeconds": 2},
    )
    (deployment,) = components(seldon_deployment(wanted)).deployments
    found = server(deployment)
    assert {port["name"]: port["containerPort"] for port in found["ports"]} == {"grpc": 9500, "http": 9000}
    assert found["readinessProbe"] == {
        "httpGet": {"path": "/v2/health/ready", "port": "http", "scheme": "HTTP"},
        "initialDelaySeconds": 1,
        "periodSeconds": 2,
    }
    assert found["livenessProbe"]["httpGet"]["path"] == "/v2/health/live"
    assert environment(found)["MLSERVER_METRICS_PORT"] == "6123"


def test_undeclared_probes_wait_twenty_and_sixty_seconds() -> None:
    (deployment,) = components(seldon_deployment(predictor("v1"))).deployments
    found = server(deployment)
    assert found["readinessProbe"]["initialDelaySeconds"] == 20
    assert found["livenessProbe"]["initialDelaySeconds"] == 60
    assert found["lifecycle"]["preStop"]["exec"]["command"] == ["/bin/sh", "-c", "/bin/sleep 10"]


@pytest.mark.parametrize(
    ("ports", "restarted"),
    [([], True), ([{"name": "metrics", "containerPort": 6000}], False)],
    ids=["metrics port by position", "metrics port declared"],
)
def test_removing_the_first_predictor_restarts_the_second(ports: list[Any], restarted: bool) -> None:
    both = components(seldon_deployment(predictor("v1", 0, ports=ports), predictor("v2", 100, ports=ports)))
    alone = components(seldon_deployment(predictor("v2", 100, ports=ports)))
    template = alone.deployments[0]["spec"]["template"]
    assert (both.deployments[1]["spec"]["template"] != template) == restarted


def test_traffic_and_a_new_predictor_restart_nothing() -> None:
    alone = components(seldon_deployment(predictor("v1", 100)))
    joined = components(seldon_deployment(predictor("v1", 100), predictor("v2", 0)))
    shifted = components(seldon_deployment(predictor("v1", 0), predictor("v2", 100)))
    assert alone.deployments[0] == joined.deployments[0] == shifted.deployments[0]
    assert joined.deployments[1] == shifted.deployments[1]


def test_containers_of_another_name_get_other_ports() -> None:
    other = predictor("v2", 0)
    other["graph"]["name"] = other["componentSpecs"][0]["spec"]["containers"][0]["name"] = "trains"
    made = components(seldon_deployment(predictor("v1", 100), other))
    assert environment(server(made.deployments[1]))["MLSERVER_HTTP_PORT"] == "9001"


def test_a_server_without_a_container_gets_one() -> None:
    wanted = predictor("v1")
    del wanted["componentSpecs"]
    (deployment,) = components(seldon_deployment(wanted)).deployments
    assert server(deployment)["image"].startswith("seldonio/mlserver:")
    assert deployment["metadata"]["name"] == "flights-v1-0-flights"


def test_pods_run_as_8888_unless_told_otherwise() -> None:
    (plain,) = components(seldon_deployment(predictor("v1"))).deployments
    assert plain["spec"]["template"]["spec"]["securityContext"] == {"runAsUser": 8888}
    wanted = predictor("v1")
    wanted["componentSpecs"][0]["spec"]["securityContext"] = {"runAsUser": 1000}
    (own,) = components(seldon_deployment(wanted)).deployments
    assert own["spec"]["template"]["spec"]["securityContext"] == {"runAsUser": 1000}


@pytest.mark.parametrize(
    ("component", "one", "every", "expected"),
    [(3, 2, 1, 3), (None, 2, 1, 2), (None, None, 1, 1), (None, None, None, None)],
)
def test_replicas_come_from_the_nearest_place(
    component: int | None, one: int | None, every: int | None, expected: int | None
) -> None:
    wanted = predictor("v1") | {"replicas": one}
    wanted["componentSpecs"][0]["replicas"] = component
    (deployment,) = components(seldon_deployment(wanted, replicas=every)).deployments
    assert deployment["spec"].get("replicas") == expected


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"annotations": {}}, "no executor"),
        ({"annotations": {"seldon.io/no-engine": "false"}}, "no executor"),
        ({"explainer": {"type": "AnchorTabular"}}, "explainer"),
        (
            {"graph": {"name": "flights", "implementation": "TRITON_SERVER", "modelUri": "s3://x"}},
            "TRITON_SERVER",
        ),
        ({"graph": {"name": "nobody"}}, "a container named nobody"),
    ],
)
def test_what_needs_more_than_the_stand_in_has_is_refused(change: dict[str, Any], named: str) -> None:
    with pytest.raises(Unsupported, match=named):
        components(seldon_deployment(predictor("v1") | change))


def test_the_annotation_counts_on_the_predictor_only() -> None:
    wanted = seldon_deployment(predictor("v1") | {"annotations": {}})
    wanted["metadata"]["annotations"] = wanted["spec"]["annotations"] = {"seldon.io/no-engine": "true"}
    with pytest.raises(Unsupported, match="of the predictor"):
        components(wanted)


def test_a_shadow_is_labelled_and_a_helper_in_a_pod_of_its_own_has_no_service() -> None:
    helped = predictor("v1", 100)
    helped["componentSpecs"].append({"spec": {"containers": [{"name": "helper", "image": "h"}]}})
    made = components(seldon_deployment(helped, predictor("v2", 10) | {"shadow": True}))
    first, helper, shadow = made.deployments
    assert helper["metadata"]["name"] == "flights-v1-1-helper"
    assert helper["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "seldon-core"
    assert "seldon.io/shadow" not in first["metadata"]["labels"]
    assert shadow["spec"]["template"]["metadata"]["labels"]["seldon.io/shadow"] == "true"
    assert len(made.services) == 4


def test_parameters_are_written_as_the_operator_does() -> None:
    wanted = predictor("v1")
    wanted["graph"]["parameters"] = [{"type": "INT", "name": "a", "value": "1"}]
    (deployment,) = components(seldon_deployment(wanted)).deployments
    found = environment(server(deployment))["PREDICTIVE_UNIT_PARAMETERS"]
    assert found == '[{"name":"a","value":"1","type":"INT"}]'


def test_what_the_user_wrote_is_not_changed() -> None:
    wanted = seldon_deployment(predictor("v1", 100), predictor("v2", 0))
    again = seldon_deployment(predictor("v1", 100), predictor("v2", 0))
    defaulted(wanted["spec"])
    components(wanted)
    assert wanted == again
