"""A release on Seldon Core: proven beside what serves, switched without losing a request, or as if never tried."""

import time
from collections.abc import Iterator

import pytest

from tests.cluster.outside import Outside
from tests.cluster.pods import kubectl
from tests.cluster.releasing import SERVING, Model, Releaser, releaser

pytestmark = pytest.mark.timeout(900)
NO_IMAGE = "docker.io/slipway/model-server@sha256:" + "0" * 64


@pytest.fixture(scope="module")
def pod(platform_up: Outside) -> Iterator[Releaser]:
    with releaser(platform_up) as made:
        yield made


@pytest.fixture(scope="module")
def live(pod: Releaser) -> Model:
    """A model whose version 1 is live, and stays so whatever the failing releases do."""
    model = pod.model("live", versions=2)
    first = model.release(1)
    assert first.get("outcome") == "released", first
    return model


def test_a_second_release_loses_no_request_and_the_address_stays(pod: Releaser) -> None:
    model = pod.model("steady", versions=2)
    first = model.release(1)
    assert (first.get("outcome"), first.get("version")) == ("released", 1), first
    assert first["previous"] is None
    assert first["rest_url"] == f"http://{model.name}-live.{SERVING}.svc:9000/v2/models/{model.name}/infer"
    before, (service,) = model.pods(), model.state()["service"]

    with pod.load(model, 1, 2) as load:
        second = model.release(2)
        model.wait_for_ended_pods()
    assert (second.get("outcome"), second.get("version")) == ("released", 2), second
    load.check(1, 2)

    assert second["previous"] == 1
    assert (second["rest_url"], second["grpc_url"]) == (first["rest_url"], first["grpc_url"])
    state = model.state()
    assert state["disagreements"] == []
    assert state["live"]["image"].startswith("sha256:")
    assert set(state["pods"]) == {"v2"}
    assert set(before) == {"v1"}
    assert state["service"][0]["clusterIP"] == service["clusterIP"]
    ((predictor,),) = state["predictors"]
    assert (predictor["name"], predictor["traffic"]) == ("v2", 100)
    assert model.release(2)["outcome"] == "already live"
    assert model.pods() == state["pods"]

    with pod.load(model, 1, 2) as load:
        back = model.rollback("it is slow")
        model.wait_for_ended_pods()
    load.check(2, 1)
    assert (back["outcome"], back["version"]) == ("rolled back", 1), back
    assert set(model.pods()) == {"v1"}


def spoilt_uri(uri: str) -> str:
    """Python that makes a release look for the model in another folder."""
    return f"""
    from dataclasses import replace
    from tasks import releasing
    prepare = releasing.prepare_release
    def spoilt(*arguments):
        found = prepare(*arguments)
        return replace(found, predictor=replace(found.predictor, uri={uri!r}))
    releasing.prepare_release = spoilt
    """


def needs(**changes: str) -> str:
    """Python that makes a release ask for other resources than the spec does."""
    return f"""
    from tasks import releasing
    prepare = releasing.prepare_release
    def spoilt(version, needs, server):
        return prepare(version, needs.model_copy(update={changes!r}), server)
    releasing.prepare_release = spoilt
    """


@pytest.mark.parametrize(
    ("spoil", "environment", "said"),
    [
        pytest.param(
            "",
            {"SLIPWAY_MODEL_SERVER_IMAGE": NO_IMAGE},
            "its image cannot be pulled (ImagePullBackOff",
            id="image",
        ),
        pytest.param(spoilt_uri("s3://no-such-bucket/model"), {}, "-model-initializer of pod", id="download"),
        pytest.param(
            needs(memory="48Mi"),
            {},
            "using more memory than its 48Mi (OOMKilled)",
            id="memory",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            needs(cpu="900"),
            {},
            "finds no room: 0/1 nodes are available: 1 Insufficient cpu",
            id="room",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "", {"SLIPWAY_RELEASE_TIMEOUT": "2"}, "is not ready after 2 s", id="time", marks=pytest.mark.slow
        ),
    ],
)
def test_a_candidate_that_does_not_come_up(
    live: Model, pod: Releaser, spoil: str, environment: dict[str, str], said: str
) -> None:
    before = live.state()

    with pod.load(live, 1) as load:
        found = live.release(2, before=spoil, **environment)
    load.check(1)

    assert found.get("error") == "ServingError", found
    assert said in found["said"]
    assert "Version 1 is live, as before." in found["said"]
    assert "End of the server's log:" in found["said"]
    assert live.state() == before


@pytest.mark.parametrize(
    ("golden", "spoil", "said"),
    [
        ("another_label", "", "row 3, prediction: expected"),
        pytest.param("None", needs(latency_ms=0.001), "the budget is 0.001 ms", marks=pytest.mark.slow),  # type: ignore[arg-type]
    ],
)
def test_a_candidate_that_answers_otherwise_or_too_slowly(
    live: Model, pod: Releaser, golden: str, spoil: str, said: str
) -> None:
    (number,) = live.publish(0.01, golden=golden)
    before = live.state()

    with pod.load(live, 1) as load:
        found = live.release(number, before=spoil)
    load.check(1)

    assert found.get("error") == "ServingError", found
    assert said in found["said"]
    assert live.state() == before


FAIL_AFTER_TRAFFIC = """
from tasks import releasing
from tasks.errors import ServingError
def refuse(*_):
    raise ServingError("the stable address", "is not what it should be", "Look.")
releasing.prove_live = refuse
"""


def test_a_failure_after_traffic_moved_sends_it_back_first(live: Model, pod: Releaser) -> None:
    before = live.state()

    with pod.load(live, 1, 2) as load:
        found = live.release(2, before=FAIL_AFTER_TRAFFIC)
        live.wait_for_ended_pods()

    assert load.errors == []
    assert load.wrong == []
    assert "is not what it should be" in found["said"]
    assert live.state() == before


def test_a_first_release_that_fails_leaves_nothing(pod: Releaser) -> None:
    model = pod.model("first")
    found = model.release(1, SLIPWAY_MODEL_SERVER_IMAGE=NO_IMAGE)
    assert "Nothing is live, as before." in found["said"], found
    state = model.state()
    assert (state["service"], state["predictors"], state["pods"]) == ([], [], {})
    assert state["live"]["champion"] is None


@pytest.mark.parametrize(
    ("point", "answers"),
    [
        pytest.param("candidate started", 1, marks=pytest.mark.slow),
        ("traffic moved", 2),
        pytest.param("previous set", 2, marks=pytest.mark.slow),
        pytest.param("before retire", 2, marks=pytest.mark.slow),
    ],
)
def test_a_release_killed_on_its_way_and_run_again(pod: Releaser, point: str, answers: int) -> None:
    model = pod.model("killed", versions=2)
    first = model.release(1)
    assert first.get("version") == 1, first
    with pod.load(model, 1, 2) as load:
        died = model.attempt(2, SLIPWAY_FAULT=point)
        assert died.returncode == 137, died.stdout + died.stderr
        dead, between = model.live(), model.pods()
        model.free_lock()
        found = model.release(2)
        model.wait_for_ended_pods()
    assert dead["version"] == answers
    assert any("a release was interrupted" in text for text in dead["disagreements"]), dead
    assert (found.get("version"), found.get("previous")) == (2, 1), found
    load.check(1, 2)

    state = model.state()
    assert state["disagreements"] == []
    assert state["pods"] == {"v2": between["v2"]}  # not started twice
    assert (state["live"]["champion"], state["live"]["previous"]) == (2, 1)


def test_live_says_where_registry_service_and_manifest_disagree(pod: Releaser) -> None:
    model = pod.model("edited", versions=1)
    model.release(1)
    weight = '[{"op": "replace", "path": "/spec/predictors/0/replicas", "value": 0}]'
    arguments = ("seldondeployment", model.name, "--namespace", SERVING, "--type", "json", "--patch", weight)
    kubectl(pod.cli, "patch", *arguments)
    until = time.monotonic() + 60
    while model.pods() and time.monotonic() < until:
        time.sleep(0.5)

    said = model.live()["disagreements"]

    assert any("nothing answers, and the champion is version 1" in text for text in said), said
    assert any("0 of 1 pods of v1 are ready" in text for text in said), said
