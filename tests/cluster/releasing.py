"""A pod with the rights of a release run: it publishes versions of test models, releases them and asks them."""

import base64
import json
import subprocess
import textwrap
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.markers import markers
from tasks.platform_lock import PlatformLock, load_lock
from tasks.pools import template
from tests.cluster.outside import Done, Outside
from tests.cluster.pods import kubectl

SERVING = load_lock().namespaces.serving
TESTS = Path(__file__).parents[1]
SHIPPED = ("__init__.py", "release/__init__.py", "release/model.py", "release/load.py")
"""What of these tests runs in the pod."""
CODE = "/tmp/code"
PREAMBLE = f"""
import json, os, sys
sys.path.insert(0, {CODE!r})
from pathlib import Path
from tasks.settings import connect, settings
connect()
def give(value):
    'What the test gets.'
    print(json.dumps(value), flush=True)
"""
RELEASE = """
from tasks.errors import SlipwayError
def attempt(call):
    'The outcome of a release or a rollback, or what it raised.'
    try:
        found = call()
    except SlipwayError as error:
        return {'error': type(error).__name__, 'said': str(error)}
    return json.loads(found.model_dump_json())
"""
LOAD = """
import time
from tasks.golden import Golden
from tasks.serving import serving
from tests.release import load
load.PAUSE = 0.02
known = {int(number): Golden.model_validate_json(json.dumps(each)) for number, each in KNOWN.items()}
with load.Load(serving().stable(MODEL), known) as asking:
    give('started')
    while not os.path.exists(STOP):
        time.sleep(0.1)
wrong = []
for answer in asking.answers:
    golden = known[answer.served.number].only(0)
    wrong += load.differences(golden, answer.labels, answer.probability, answer.classes)
give({
    'count': len(asking.answers), 'errors': asking.errors, 'wrong': wrong,
    'versions': {protocol: asking.versions(protocol) for protocol in load.PROTOCOLS},
})
"""


@dataclass
class Load:
    """What clients saw; filled when the load has ended."""

    count: int = 0
    errors: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    versions: dict[str, list[int]] = field(default_factory=dict)

    def check(self, *versions: int) -> None:
        """No request failed, each answer was its version's own, and these versions answered in this order."""
        assert self.count > 50
        assert self.errors == []
        assert self.wrong == []
        assert self.versions == {"REST": list(versions), "gRPC": list(versions)}


@dataclass(frozen=True)
class Releaser:
    """The pod `name`. Scripts run there with `PREAMBLE` before them; what they `give` comes back."""

    cli: Outside
    name: str
    namespace: str
    training: str
    """Namespace with the login that may register versions."""

    def script(self, body: str, **values: Any) -> list[str]:
        """A command that runs `body` there; `values` are its global names."""
        given = "".join(f"{name} = json.loads({json.dumps(value)!r})\n" for name, value in values.items())
        return ["python", "-c", PREAMBLE + given + textwrap.dedent(body)]

    def command(self, body: str, environment: dict[str, str] | None = None, **values: Any) -> list[str]:
        variables = [f"{name}={value}" for name, value in (environment or {}).items()]
        place = ["kubectl", "exec", "--namespace", self.namespace, self.name, "--", "env", *variables]
        return [*place, *self.script(body, **values)]

    def python(self, body: str, environment: dict[str, str] | None = None, **values: Any) -> Any:
        """Run `body` there to its end; what it gave last."""
        done = self.run(body, environment, **values)
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    def run(self, body: str, environment: dict[str, str] | None = None, **values: Any) -> Done:
        return self.cli.run(*self.command(body, environment, **values), timeout=600)

    def model(self, word: str, versions: int = 1, **serving: Any) -> "Model":
        """A model of one test's own with this many registered versions."""
        made = self.known(f"{word}-{uuid.uuid4().hex[:6]}", **serving)
        made.publish(*[10.0**-each for each in range(versions)])
        return made

    def known(self, name: str, **serving: Any) -> "Model":
        """A model of which another pod may have registered versions."""
        self.python(
            """
            from tests.release.model import write_spec
            give(write_spec(Path('/tmp'), NAME, serving={'latency_ms': 1000, 'cpu': '50m', **SERVING}))
            """,
            NAME=name, SERVING=serving,
        )  # fmt: skip
        return Model(self, name, f"/tmp/{name}.yaml")

    @contextmanager
    def load(self, model: "Model", *numbers: int) -> Iterator[Load]:
        """Ask the stable address over REST and gRPC all the while; `numbers` are who may answer."""
        seen, stop = Load(), f"/tmp/stop-{uuid.uuid4().hex}"
        known = {number: model.golden(number) for number in numbers}
        command = self.cli.command(*self.command(LOAD, KNOWN=known, MODEL=model.name, STOP=stop))
        with subprocess.Popen(
            command, env=self.cli.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            started = process.stdout.readline()
            assert "started" in started, started + process.stderr.read()
            try:
                yield seen
            finally:
                kubectl(self.cli, "exec", "--namespace", self.namespace, self.name, "--", "touch", stop)
                out, err = process.communicate(timeout=120)
            assert process.returncode == 0, out + err
            found = json.loads(out.splitlines()[-1])
            seen.count, seen.errors = found["count"], found["errors"]
            seen.wrong, seen.versions = found["wrong"], found["versions"]


@dataclass(frozen=True)
class Model:
    """A model of one test, with a spec at `path` in the releaser's pod."""

    releaser: Releaser
    name: str
    path: str

    def publish(self, *strengths: float, golden: str = "None") -> list[int]:
        """Register one more version for each strength; `golden` is Python that falsifies golden rows."""
        numbers: list[int] = self.releaser.python(
            f"""
            from tests.release.model import publish
            def another_label(golden):
                other = next(label for label in golden.labels if label != golden.labels[3])
                labels = [*golden.labels]
                labels[3] = other
                return golden.model_copy(update={{'labels': tuple(labels)}})
            give([publish(PATH, strength, golden={golden}).number for strength in STRENGTHS])
            """,
            login_of_training(self.releaser.cli, self.releaser.training), PATH=self.path, STRENGTHS=strengths,
        )  # fmt: skip
        return numbers

    def golden(self, number: int) -> dict[str, Any]:
        """The golden rows of a version, as JSON."""
        rows: dict[str, Any] = self.releaser.python(
            """
            from tasks import tracking
            from tests.release.model import golden_of
            give(json.loads(golden_of(tracking.get_version(MODEL, NUMBER)).model_dump_json()))
            """,
            MODEL=self.name, NUMBER=number,
        )  # fmt: skip
        return rows

    def release(self, number: int, *, before: str = "", **environment: str) -> dict[str, Any]:
        """What releasing the version came to; `before` is Python that spoils something first."""
        done = self.attempt(number, before=before, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def attempt(self, number: int, *, before: str = "", **environment: str) -> Done:
        body = textwrap.dedent(before) + RELEASE + (
            "from flows.release import release\n"
            "give(attempt(lambda: release(PATH, version=NUMBER)))\n"
        )  # fmt: skip
        return self.releaser.run(body, environment, PATH=self.path, NUMBER=number)

    def rollback(self, reason: str) -> dict[str, Any]:
        found: dict[str, Any] = self.releaser.python(
            RELEASE + "from flows.rollback import rollback\ngive(attempt(lambda: rollback(PATH, REASON)))",
            PATH=self.path, REASON=reason,
        )  # fmt: skip
        return found

    def free_lock(self) -> None:
        """What an operator does who will not wait for the lease of a release that was killed."""
        self.releaser.python(
            """
            from prefect.client.orchestration import get_client
            from tasks.locks import limit_name
            with get_client(sync_client=True) as client:
                client.delete_global_concurrency_limit_by_name(limit_name('release', MODEL))
            give('freed')
            """,
            MODEL=self.name,
        )

    def live(self) -> dict[str, Any]:
        """What `slipway live` says of it, seen from the pod."""
        found: dict[str, Any] = self.releaser.python(
            """
            from tasks.live import live
            give(json.loads(live(MODEL)[0].model_dump_json()))
            """,
            MODEL=self.name,
        )
        return found

    def get(self, kind: str, *arguments: str) -> Any:
        command = ("get", kind, "--namespace", self.releaser.namespace, "--output", "json", *arguments)
        return json.loads(kubectl(self.releaser.cli, *command))

    def pods(self) -> dict[str, str]:
        """Uid of each pod of the model that is not ending, by its predictor."""
        found = self.get("pods", "--selector", f"seldon-deployment-id={self.name}")["items"]
        return {
            each["metadata"]["labels"]["version"]: each["metadata"]["uid"]
            for each in found
            if "deletionTimestamp" not in each["metadata"]
        }

    def wait_for_ended_pods(self, timeout: float = 60) -> None:
        """Return when no pod of the model is ending any more."""
        until = time.monotonic() + timeout
        while True:
            found = self.get("pods", "--selector", f"seldon-deployment-id={self.name}")["items"]
            if not any("deletionTimestamp" in each["metadata"] for each in found):
                return
            assert time.monotonic() < until, found
            time.sleep(0.5)

    def state(self) -> dict[str, Any]:
        """All that a failed release must leave as it was."""
        found = self.live()
        service = self.get("service", "--field-selector", f"metadata.name={self.name}-live")["items"]
        deployment = self.get("seldondeployment", "--field-selector", f"metadata.name={self.name}")["items"]
        return {
            "live": {
                key: found[key] for key in ("version", "digest", "image", "champion", "previous", "hold")
            },
            "disagreements": found["disagreements"],
            "service": [each["spec"] for each in service],
            "predictors": [each["spec"]["predictors"] for each in deployment],
            "pods": self.pods(),
        }


def login_of_training(cli: Outside, namespace: str) -> dict[str, str]:
    """The variables with which a retrain logs in to MLflow: a release registers no versions."""
    where = ("secret", "slipway-mlflow", "--namespace", namespace, "--output", "json")
    held = json.loads(kubectl(cli, "get", *where))["data"]
    return {name: base64.b64decode(value).decode() for name, value in held.items()}


@contextmanager
def releaser(cli: Outside, lock: PlatformLock | None = None, *, keep: bool = False) -> Iterator[Releaser]:
    """The pod, made from the pool's own template; what it released goes with it, unless `keep`."""
    lock = lock or load_lock()
    names = lock.namespaces
    made = Releaser(cli, f"releaser-{uuid.uuid4().hex[:6]}", names.serving, names.training)
    file = cli.home / f"{made.name}.json"
    file.write_text(json.dumps(pod(made.name, lock)))
    place = ("--namespace", made.namespace)
    kubectl(cli, "apply", "--filename", str(file))
    try:
        waiting = ("wait", "--for=condition=Ready", f"pod/{made.name}", *place, "--timeout=120s")
        ready = cli.run("kubectl", *waiting, timeout=150)
        assert ready.returncode == 0, kubectl(cli, "describe", "pod", made.name, *place)
        _ship(made)
        yield made
        if not keep:
            made.python(
                """
                from tasks.serving import serving
                server = serving()
                for path in Path('/tmp').glob('*.yaml'):
                    server.move_traffic(path.stem, None)
                    server.retire_candidates(path.stem)
                give('gone')
                """
            )
    finally:
        gone = ("--grace-period=1", "--wait=false", "--ignore-not-found")
        kubectl(cli, "delete", "pod", made.name, *place, *gone)


def _ship(made: Releaser) -> None:
    files = {name: (TESTS / name).read_text() for name in SHIPPED}
    made.python(
        """
        for name, text in FILES.items():
            path = Path(CODE) / 'tests' / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        give('shipped')
        """,
        FILES=files, CODE=CODE,
    )  # fmt: skip


def pod(name: str, lock: PlatformLock) -> dict[str, Any]:
    """A pod as the pool `release` starts them, that does nothing by itself."""
    known = markers({"flow": lock.image("flow")}, lock.namespaces.model_dump())
    job = template("release", "kubernetes", known)["job_configuration"]["job_manifest"]["spec"]["template"]
    spec = dict(job["spec"])
    for key in ("parallelism", "completions", "nodeSelector", "tolerations"):
        spec.pop(key, None)
    container = dict(spec["containers"][0])
    container |= {"command": ["sleep", "infinity"], "name": "releaser"}
    container |= {"resources": {"requests": {"cpu": "50m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}}
    container.pop("args", None)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": lock.namespaces.serving, **job["metadata"]},
        "spec": {**spec, "containers": [container]},
    }
