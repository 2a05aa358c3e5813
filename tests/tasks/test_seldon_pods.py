"""What pods say of a predictor: table after table of states as kubelet and scheduler write them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.serving import Predictor
from tasks.serving import seldon_manifest as manifests
from tasks.serving.seldon import advice
from tasks.serving.seldon_pods import Verdict, Wanted, cause_in, culprit, image_digest, judge
from tasks.spec_schema import ServingSpec

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
IMAGE = "docker.io/slipway/model-server@sha256:aa"
PREDICTOR = Predictor(2, "sha256:2", "s3://slipway/2")
INITIALIZER = "iris-model-initializer"


def wanted(replicas: int = 1) -> Wanted:
    return Wanted("iris", PREDICTOR, IMAGE, replicas)


def pod(
    name: str = "p",
    *,
    init: dict[str, Any] | None = None,
    server: dict[str, Any] | None = None,
    ready: bool = False,
    scheduled: dict[str, Any] | None = None,
    predictor: Predictor = PREDICTOR,
    image: str = IMAGE,
    deleted: bool = False,
    phase: str = "Pending",
) -> dict[str, Any]:
    made = manifests.predictor_manifest("iris", predictor, ServingSpec(), image, "slipway-serving")
    spec = made["componentSpecs"][0]["spec"]
    conditions = [
        {"type": "Ready", "status": str(ready)},
        scheduled or {"type": "PodScheduled", "status": "True"},
    ]
    status: dict[str, Any] = {"phase": phase, "conditions": conditions}
    if init is not None:
        status["initContainerStatuses"] = [{"name": INITIALIZER, "ready": False, **init}]
    if server is not None:
        status["containerStatuses"] = [{"name": "iris", "ready": ready, **server}]
    metadata: dict[str, Any] = {"name": name, "creationTimestamp": "2026-11-24T11:00:00Z"}
    if deleted:
        metadata["deletionTimestamp"] = "2026-11-24T11:59:00Z"
    return {"metadata": metadata, "spec": spec, "status": status}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason, "message": message}}}


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def ready_pod(name: str = "p", **changes: Any) -> dict[str, Any]:
    return pod(name, server={"state": {"running": {}}}, ready=True, phase="Running", **changes)


def no_room(seconds: float) -> dict[str, Any]:
    since = (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available: 1 Insufficient cpu.",
        "lastTransitionTime": since,
    }


READY = Verdict(ready=True)


@pytest.mark.parametrize(
    ("what", "pods", "replicas", "ready", "missing"),
    [
        ("nothing yet", [], 1, False, "the operator has made no pod"),
        ("ready", [ready_pod()], 1, True, ""),
        ("one of two", [ready_pod("a"), pod("b")], 2, False, "1 of 2 pods are ready (pod b: Pending)"),
        ("two of two", [ready_pod("a"), ready_pod("b")], 2, True, ""),
        ("another one to come", [ready_pod("a")], 2, False, "1 of 2 pods are ready (others are to come)"),
        ("of another image", [ready_pod(image="x")], 1, False, "pod p still runs what was told before"),
        (
            "of another digest",
            [ready_pod(predictor=Predictor(2, "sha256:9", "s3://slipway/2"))],
            1,
            False,
            "pod p still",
        ),
        (
            "of another folder",
            [ready_pod(predictor=Predictor(2, "sha256:2", "s3://slipway/9"))],
            1,
            False,
            "pod p still",
        ),
        (
            "the old one still serves",
            [ready_pod("a"), ready_pod("b", image="x")],
            1,
            False,
            "pod b still runs",
        ),
        ("the old one is leaving", [ready_pod("a"), ready_pod("b", image="x", deleted=True)], 1, True, ""),
        ("ready but leaving", [ready_pod(deleted=True)], 1, False, "the operator has made no pod"),
        ("evicted", [pod(phase="Failed")], 1, False, "the operator has made no pod"),
        ("loading", [pod(server={"state": {"running": {}}})], 1, False, "iris runs and is not ready"),
        (
            "downloading",
            [pod(init={"state": {"running": {}}})],
            1,
            False,
            f"{INITIALIZER} runs and is not ready",
        ),
        ("pulling", [pod(server=waiting("ContainerCreating"))], 1, False, "iris waits (ContainerCreating)"),
        (
            "the node is slow",
            [pod(server=waiting("CreateContainerConfigError", "failed to sync secret cache: timed out"))],
            1,
            False,
            "iris waits (CreateContainerConfigError: failed to sync secret cache: timed out)",
        ),
        (
            "first pull failed",
            [pod(server=waiting("ErrImagePull", "no such host"))],
            1,
            False,
            "ErrImagePull: no such host",
        ),
        (
            "first download failed",
            [pod(init={"state": ended(1)})],
            1,
            False,
            f"{INITIALIZER} ended with 1 (Error)",
        ),
        ("first crash", [pod(server={"state": ended(1)})], 1, False, "iris ended with 1 (Error)"),
        ("no room for a moment", [pod(scheduled=no_room(5))], 1, False, "not scheduled (0/1 nodes"),
    ],
)
def test_ready_or_still_starting(what: str, pods: Any, replicas: int, ready: bool, missing: str) -> None:
    verdict = judge(wanted(replicas), pods, [], [], NOW)
    assert (verdict.ready, verdict.failure) == (ready, ""), what
    assert missing in verdict.missing, what


@pytest.mark.parametrize(
    ("what", "pods", "said", "next_step"),
    [
        (
            "image",
            [pod(server=waiting("ImagePullBackOff", "not found"))],
            "container iris of pod p: its image cannot be pulled (ImagePullBackOff: not found)",
            "SLIPWAY_MODEL_SERVER_IMAGE",
        ),
        (
            "the initializer's image",
            [pod(init=waiting("ImagePullBackOff"))],
            f"container {INITIALIZER} of pod p: its image cannot be pulled",
            "the nodes may pull it",
        ),
        (
            "no secret",
            [pod(init=waiting("CreateContainerConfigError", 'secret "slipway-model-store" not found'))],
            'cannot be configured (CreateContainerConfigError: secret "slipway-model-store" not found)',
            "slipway-model-store",
        ),
        (
            "download",
            [
                pod(
                    init={
                        **waiting("CrashLoopBackOff", "back-off"),
                        "lastState": ended(1, message="directory not found"),
                    }
                )
            ],
            "again and again (CrashLoopBackOff, exit code 1: directory not found)",
            "lies in the store",
        ),
        (
            "crash",
            [
                pod(
                    server={
                        **waiting("CrashLoopBackOff", "back-off 10s"),
                        "lastState": ended(1, message="ModelRefused: digest"),
                    }
                )
            ],
            "exit code 1: ModelRefused: digest",
            "Read the log",
        ),
        (
            "out of memory",
            [pod(server={"state": ended(137, "OOMKilled")})],
            "container iris of pod p was killed for using more memory than its 512Mi (OOMKilled)",
            "serving.memory",
        ),
        (
            "out of memory before",
            [pod(server={"state": {"running": {}}, "lastState": ended(137, "OOMKilled")})],
            "OOMKilled",
            "serving.memory",
        ),
        (
            "no room",
            [pod(scheduled=no_room(60))],
            "pod p finds no room: 0/1 nodes are available: 1 Insufficient cpu.",
            "Add a node",
        ),
        (
            "one of two",
            [ready_pod("a"), pod("b", server=waiting("ImagePullBackOff"))],
            "pod b: its image cannot be pulled",
            "pull",
        ),
    ],
)
def test_what_waiting_does_not_cure(what: str, pods: Any, said: str, next_step: str) -> None:
    verdict = judge(wanted(2), pods, [], [], NOW)
    assert not verdict.ready
    assert said in verdict.failure, (what, verdict)
    assert next_step in advice(verdict.failure), what


def test_a_node_that_is_being_added_is_waited_for() -> None:
    events = [{"involvedObject": {"name": "p"}, "reason": "TriggeredScaleUp"}]
    assert judge(wanted(), [pod(scheduled=no_room(60))], [], events, NOW).failure == ""
    others = [{"involvedObject": {"name": "q"}, "reason": "TriggeredScaleUp"}]
    assert "no room" in judge(wanted(), [pod(scheduled=no_room(60))], [], others, NOW).failure


def test_pods_that_are_refused_are_named_by_their_deployment() -> None:
    refused = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": 'violates PodSecurity "restricted:latest"',
    }
    verdict = judge(wanted(), [], [{"status": {"conditions": [refused]}}], [], NOW)
    assert verdict.failure == 'its pods are refused: violates PodSecurity "restricted:latest"'
    assert "Pod Security" in advice(verdict.failure)


@pytest.mark.parametrize(
    ("what", "found", "expected"),
    [
        ("all well", ready_pod(), None),
        ("downloading", pod(init={"state": {"running": {}}}, server=waiting("PodInitializing")), INITIALIZER),
        ("download failed", pod(init={"state": ended(1)}, server=waiting("PodInitializing")), INITIALIZER),
        (
            "downloaded, loading",
            pod(init={"state": ended(0), "ready": True}, server={"state": {"running": {}}}),
            "iris",
        ),
        (
            "crashed",
            pod(
                init={"state": ended(0), "ready": True},
                server={**waiting("CrashLoopBackOff"), "lastState": ended(1)},
            ),
            "iris",
        ),
    ],
)
def test_whose_log_tells(what: str, found: Any, expected: str | None) -> None:
    assert culprit(found) == expected, what


def test_the_digest_of_the_image_that_runs() -> None:
    assert image_digest(ready_pod(), "iris") == "sha256:aa"
    tagged = ready_pod(image="slipway/model-server:1")
    assert image_digest(tagged, "iris") == ""
    tagged["status"]["containerStatuses"][0]["imageID"] = "docker.io/slipway/model-server@sha256:bb"
    assert image_digest(tagged, "iris") == "sha256:bb"


def test_the_cause_in_the_log_of_a_server_that_ended() -> None:
    log = """Traceback (most recent call last):
  File "server.py", line 125, in start
slipway_model_server.digest.ModelRefused: /mnt/models: is not a folder
mlserver.errors.MLServerError: model iris refused: /mnt/models: is not a folder
INFO:     Shutting down
"""
    assert cause_in(log) == "mlserver.errors.MLServerError: model iris refused: /mnt/models: is not a folder"
    assert cause_in("INFO: Errors: none") == ""
