"""What teardown removes, what it leaves, and what it says of that; on a cluster in memory."""

from typing import Any

import pytest

from tasks import removal
from tasks.kubernetes import (
    JOB,
    LEASE,
    NAMESPACE,
    POD,
    PRIORITY_CLASS,
    SECRET,
    SELDON_DEPLOYMENT,
    VALIDATING_WEBHOOK,
    VOLUME_CLAIM,
)
from tasks.platform_lock import load_lock
from tasks.removal import Kept, doomed, find_kept, remove_models, remove_namespaces, remove_rest, said
from tasks.secrets import MADE_BY
from tasks.seldon_core import remove_webhook, webhook_name
from tasks.usage import USER
from tests.tasks.cluster_memory import ALL, NAMES, Memory

LOCK = load_lock()


def torn_down(cluster: Any, delete_models: bool = False, delete_data: bool = False) -> tuple[Kept, set[str]]:
    """What was kept, and the namespaces that went, in the order of the flow; there is no Helm here."""
    remove_models(cluster, LOCK, delete_models)
    kept = find_kept(cluster, LOCK, delete_models, delete_data)
    remove_rest(cluster, LOCK, kept)
    return kept, set(remove_namespaces(cluster, LOCK, kept, delete_data))


def platform() -> Memory:
    prefect = {"prefect.io/flow-run-id": "1"}
    return Memory(
        (SELDON_DEPLOYMENT, NAMES.serving, "iris"),
        (POD, NAMES.serving, "iris-v1", {"seldon-deployment-id": "iris"}),
        (JOB, NAMES.serving, "release", prefect),
        (JOB, NAMES.serving, "somebody's"),
        (LEASE, NAMES.serving, "the operator's"),
        (PRIORITY_CLASS, "", "slipway-serving"),
        *((SECRET, NAMES.serving, name, MADE_BY) for name in ("slipway-model-store", "slipway-s3")),
        (SECRET, NAMES.serving, "a certificate of the user's"),
        (VOLUME_CLAIM, NAMES.platform, "data-postgres-0"),
        (VOLUME_CLAIM, NAMES.notebooks, "claim-anna"),
        (POD, NAMES.notebooks, "jupyter-anna", {USER: "anna"}),
        (SECRET, NAMES.notebooks, "slipway-notebook", MADE_BY),
    )


def test_models_and_volumes_stay_with_what_they_need_and_nothing_else() -> None:
    cluster = platform()
    kept, gone = torn_down(cluster)
    assert kept == Kept(("iris",), ("data-postgres-0",), ("claim-anna",))
    assert gone == {NAMES.training, NAMES.executors}
    assert cluster.names(POD, NAMES.serving) == {"iris-v1"}
    assert cluster.names(JOB, NAMES.serving) == {"somebody's"}
    assert cluster.names(SECRET, NAMES.serving) == {"slipway-model-store", "a certificate of the user's"}
    assert cluster.names(LEASE, NAMES.serving) == set()
    assert cluster.names(PRIORITY_CLASS, "") == {"slipway-serving"}
    assert cluster.names(POD, NAMES.notebooks) == cluster.names(SECRET, NAMES.notebooks) == set()
    assert cluster.names(VOLUME_CLAIM, NAMES.notebooks) == {"claim-anna"}


@pytest.mark.parametrize(
    ("models", "data", "stay"),
    [
        (False, False, {NAMES.platform, NAMES.serving, NAMES.notebooks}),
        (True, False, {NAMES.platform, NAMES.notebooks}),
        (False, True, {NAMES.serving}),
        (True, True, set()),
    ],
)
def test_a_namespace_goes_with_what_is_in_it_only_where_that_was_asked_for(
    models: bool, data: bool, stay: set[str]
) -> None:
    cluster = platform()
    kept, gone = torn_down(cluster, models, data)
    assert cluster.names(NAMESPACE, "") == stay
    assert gone == set(ALL) - stay
    assert cluster.names(PRIORITY_CLASS, "") == (set() if models else {"slipway-serving"})
    assert bool(kept.models) is not models
    assert bool(kept.volumes) is bool(kept.homes) is not data


def test_what_was_kept_can_be_removed_later() -> None:
    cluster = platform()
    torn_down(cluster, delete_data=True)
    torn_down(cluster, delete_models=True)
    assert cluster.names(NAMESPACE, "") == cluster.names(SELDON_DEPLOYMENT, NAMES.serving) == set()


def test_a_namespace_that_somebody_else_made_stays() -> None:
    cluster = platform()
    cluster.there[NAMESPACE, "", NAMES.training]["metadata"]["labels"] = {}
    assert NAMES.training not in torn_down(cluster, True, True)[1]


def test_without_models_and_users_only_the_passwords_to_data_need_a_namespace() -> None:
    assert doomed(NAMES, Kept(volumes=("data-postgres-0",)), False) == [
        name for name in ALL if name != NAMES.platform
    ]


def test_pods_that_go_are_waited_for_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removal, "PATIENCE", 0.0)
    cluster = platform()
    cluster.there[POD, NAMES.serving, "old"] = {
        "metadata": {"name": "old", "labels": {}, "deletionTimestamp": "2026-11-25T00:00:00Z"}
    }
    with pytest.raises(removal.PlatformError, match="pods old in slipway-serving: are still there"):
        torn_down(cluster)


@pytest.mark.parametrize(
    ("kept", "data_gone", "words"),
    [
        (Kept(), True, ()),
        (Kept(models=("iris",)), False, ("iris", "--delete-models", "comes back with", "takes over")),
        (
            Kept(models=("iris",)),
            True,
            ("iris", "until their pods are replaced", "was deleted", "takes over"),
        ),
        (Kept(volumes=("a", "b"), homes=("c",)), False, ("a, b", "(c)", "takes over")),
    ],
)
def test_it_is_said_what_was_kept_and_how_to_delete_it(
    kept: Kept, data_gone: bool, words: tuple[str, ...]
) -> None:
    lines = said(kept, LOCK, data_gone)
    assert len(lines) == (0 if not words else 2 if kept.models else 3)
    assert all(word in " ".join(lines) for word in words)
    assert all("--delete-" in line for line in lines[:-1])


def test_models_outlive_the_deletion_of_data_that_were_never_the_platforms() -> None:
    store = LOCK.store.model_copy(update={"external": True})
    external = LOCK.model_copy(update={"store": store})
    assert "until their pods are replaced" not in said(Kept(models=("iris",)), external, True)[0]


@pytest.mark.parametrize(("release", "goes"), [("seldon-core", True), ("another", False), (None, False)])
def test_only_our_operators_webhook_is_removed(release: str | None, goes: bool) -> None:
    cluster = Memory()
    annotations = (
        {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": NAMES.serving}
        if release
        else None
    )
    name = webhook_name(NAMES.serving)
    cluster.there[VALIDATING_WEBHOOK, "", name] = {"metadata": {"name": name, "annotations": annotations}}
    assert remove_webhook(cluster, LOCK) is goes  # type: ignore[arg-type]
    assert (cluster.names(VALIDATING_WEBHOOK, "") == set()) is goes
