"""What each service account may do: that, and none of what it must not."""

import json
from typing import Any

import pytest

from tasks.platform_lock import load_lock
from tests.cluster.outside import Outside
from tests.cluster.pods import API, kubectl, run

SPACES = load_lock().namespaces
PLATFORM, TRAINING, SERVING = SPACES.platform, SPACES.training, SPACES.serving
SELDON = "seldondeployments.machinelearning.seldon.io"

ALLOWED = [
    (PLATFORM, "worker", "create", "jobs", TRAINING),
    (PLATFORM, "worker", "create", "jobs", SERVING),
    (PLATFORM, "worker", "get", "pods/log", TRAINING),
    (TRAINING, "spark-driver", "create", "pods", TRAINING),
    (SERVING, "release", "create", SELDON, SERVING),
    (SERVING, "release", "patch", "services", SERVING),
    *(
        (SERVING, "release", verb, "jobs", home)
        for verb in ("list", "delete")
        for home in (PLATFORM, TRAINING, SERVING)
    ),
]

NOBODY = [
    ("get", "secrets"),
    ("create", "pods/exec"),
    ("create", "rolebindings"),
    ("create", "serviceaccounts/token"),
]
FORBIDDEN = [
    *(
        (home, account, verb, resource, namespace)
        for home, account in [
            (PLATFORM, "worker"), (TRAINING, "training"), (TRAINING, "spark-driver"), (TRAINING, "spark-executor"),
            (SERVING, "release"), (SERVING, "model"),
        ]
        for verb, resource in NOBODY
        for namespace in (PLATFORM, TRAINING, SERVING)
    ),
    *(
        (home, account, verb, SELDON, SERVING)
        for home, account in [
            (PLATFORM, "worker"), (TRAINING, "training"), (TRAINING, "spark-driver"), (TRAINING, "spark-executor"),
            (SERVING, "model"),
        ]
        for verb in ("create", "patch", "update", "delete")
    ),
    (PLATFORM, "worker", "create", "jobs", PLATFORM),
    (PLATFORM, "worker", "create", "pods", TRAINING),
    (PLATFORM, "worker", "list", "pods", "kube-system"),
    (TRAINING, "training", "get", "pods", TRAINING),
    (TRAINING, "training", "create", "jobs", TRAINING),
    (TRAINING, "spark-driver", "create", "jobs", TRAINING),
    (TRAINING, "spark-driver", "create", "pods", SERVING),
    (TRAINING, "spark-driver", "patch", "pods", TRAINING),
    (TRAINING, "spark-executor", "get", "pods", TRAINING),
    (SERVING, "release", "create", "pods", SERVING),
    *((SERVING, "release", "create", "jobs", home) for home in (PLATFORM, TRAINING, SERVING)),
    (SERVING, "release", "patch", "deployments.apps", SERVING),
    (SERVING, "release", "create", SELDON, TRAINING),
    (SERVING, "release", "delete", "services", PLATFORM),
    (SERVING, "model", "get", "pods", SERVING),
]  # fmt: skip


def can(cli: Outside, home: str, account: str, verb: str, resource: str, namespace: str) -> bool:
    who = f"system:serviceaccount:{home}:{account}"
    kind, _, part = resource.partition("/")
    asked = [verb, kind, f"--subresource={part}", "--as", who, "--namespace", namespace]
    said = cli.run("kubectl", "auth", "can-i", *asked)
    assert said.stdout.strip() in ("yes", "no"), said.stderr
    return said.stdout.strip() == "yes"


def test_each_account_may_do_its_work_and_nothing_else(platform_up: Outside) -> None:
    assert [each for each in ALLOWED if not can(platform_up, *each)] == []
    assert [each for each in FORBIDDEN if can(platform_up, *each)] == []


def test_a_training_pod_has_no_token_even_where_its_account_is_named(platform_up: Outside) -> None:
    look = "import json, os; print(json.dumps(os.path.exists('/var/run/secrets/kubernetes.io')))"
    assert run(platform_up, TRAINING, look, account="training") is False


def attempts(cli: Outside, namespace: str, account: str, script: str) -> Any:
    me = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
        for name, path in (("POD_NAME", "metadata.name"), ("POD_UID", "metadata.uid"))
    ]
    role = {"slipway.io/role": account}
    return run(cli, namespace, API + script, labels=role, account=account, token=True, environment=me)


def test_a_release_pod_is_refused_what_is_not_its_own(platform_up: Outside) -> None:
    paths = {
        "its models": ["GET", f"/apis/machinelearning.seldon.io/v1/namespaces/{SERVING}/seldondeployments"],
        "its secrets": ["GET", f"/api/v1/namespaces/{SERVING}/secrets"],
        "the platform's secrets": ["GET", f"/api/v1/namespaces/{PLATFORM}/secrets/slipway-postgres"],
        "pods of training": ["GET", f"/api/v1/namespaces/{TRAINING}/pods"],
        "another's model": [
            "DELETE",
            "/apis/machinelearning.seldon.io/v1/namespaces/default/seldondeployments/x",
        ],
        "the node": ["GET", "/api/v1/nodes"],
    }
    script = f"print(json.dumps({{name: ask(*path)[0] for name, path in {paths!r}.items()}}))"
    answered = attempts(platform_up, SERVING, "release", script)
    assert answered.pop("its models") == 200
    assert set(answered.values()) == {403}, answered


def executor(**changes: Any) -> dict[str, Any]:
    """A pod as Spark makes it; `me` is the name of the driver's pod."""
    spec = {
        "serviceAccountName": "spark-executor",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "executor",
                "image": "docker.io/slipway/none",
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "me", "uid": "uid"}
    metadata = {"name": "rights-executor", "labels": {"spark-role": "executor"}, "ownerReferences": [owner]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**metadata, **changes.get("metadata", {})},
        "spec": {**spec, **changes.get("spec", {})},
    }


def test_a_spark_driver_manages_executors_of_its_own_only(platform_up: Outside) -> None:
    another = {"apiVersion": "v1", "kind": "Pod", "name": "another", "uid": "uid"}
    wanted = {
        "its own": executor(),
        "one with another account": executor(spec={"serviceAccountName": "training"}),
        "another's": executor(metadata={"ownerReferences": [another]}),
        "nobody's": executor(metadata={"ownerReferences": []}),
        "no executor": executor(metadata={"labels": {"slipway.io/role": "training"}}),
    }
    script = f"""
said = {{}}
for name, pod in json.loads({json.dumps(json.dumps(wanted))}).items():
    for owner in pod['metadata']['ownerReferences']:
        if owner['name'] == 'me':
            owner.update(name=os.environ['POD_NAME'], uid=os.environ['POD_UID'])
    said[name] = ask('POST', '/api/v1/namespaces/{TRAINING}/pods?dryRun=All', pod)
me = os.environ['POD_NAME']
said['itself'] = ask('DELETE', '/api/v1/namespaces/{TRAINING}/pods/' + me + '?dryRun=All')
said['all'] = ask('DELETE', '/api/v1/namespaces/{TRAINING}/pods?dryRun=All')
said = {{name: [status, answer.get('message', '')] for name, (status, answer) in said.items()}}
print(json.dumps(said))
"""
    said = attempts(platform_up, TRAINING, "spark-driver", script)
    assert said.pop("its own")[0] == 201, said
    for name, (status, message) in said.items():
        assert status in (403, 422), (name, status, message)
        assert "Spark driver" in message, (name, message)


@pytest.mark.parametrize("namespace", [PLATFORM, TRAINING, SERVING])
def test_a_pod_that_is_not_restricted_is_refused(platform_up: Outside, namespace: str) -> None:
    label = "pod-security.kubernetes.io/enforce"
    found = kubectl(platform_up, "get", "namespace", namespace, "--output", "json")
    assert json.loads(found)["metadata"]["labels"].get(label) == "restricted"
