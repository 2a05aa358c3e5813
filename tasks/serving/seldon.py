"""A model on a cluster: one SeldonDeployment per model, one predictor per version, one Service that stays.

What clients use is a Service of ours, `<model>-live`, which selects the pods of one predictor: switching its
selector moves all traffic at once, with or without a service mesh, and no pod is touched. The weights in the
SeldonDeployment follow for those who come through a mesh. The predictors that are there are always applied
again exactly as they stand in the cluster, so that none is restarted because another comes or goes.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from tasks.errors import PlatformError, ServingError, SlipwayError, SpecError
from tasks.kubernetes import DEPLOYMENT, EVENT, POD, SELDON_DEPLOYMENT, SERVICE, Cluster, Kind, client, poll
from tasks.pods import priority_class
from tasks.serving import Endpoint, Predictor, Served, served_by
from tasks.serving import seldon_manifest as manifests
from tasks.serving import seldon_pods as pods
from tasks.serving.seldon_routes import Routes, ensure_route, route_findings
from tasks.settings import Settings
from tasks.spec_schema import ServingSpec

IN_A_ROW = 5
"""Fresh connections to the stable address that must all reach the new version."""
GONE_SECONDS = 60.0
"""How long it may take until what a SeldonDeployment no longer has is gone."""
OPERATOR_SECONDS = 10.0
"""How much of that is the operator's."""
CAUSE_LINES = 200
"""How far back in a log the cause of a crash is looked for."""
LOOK = 0.5
"""Seconds between two looks at the pods."""


def in_cluster(model: str, service: str, namespace: str) -> Endpoint:
    """Pure: where the Service answers for `model`, inside the cluster."""
    host = f"{service}.{namespace}.svc"
    return Endpoint(model, f"http://{host}:{manifests.HTTP}", f"{host}:{manifests.GRPC}")


@dataclass(frozen=True)
class SeldonServing:
    """`Serving` by Seldon Core. `timeout` seconds is what a predictor may take to become ready."""

    cluster: Cluster
    image_wanted: str
    """Reference, by digest, of the model server's image for predictors that are started."""
    priority: str
    """PriorityClass of their pods."""
    inside: bool
    """Whether this process is a pod of the cluster, and reaches its Services by name."""
    timeout: float
    initializer: str = manifests.INITIALIZER_IMAGE
    """Reference of the image that fetches their models."""
    routes: Routes = "none"
    """What leads to models from outside the cluster."""

    @classmethod
    def of(cls, settings: Settings) -> "SeldonServing":
        return cls(
            cluster=client(settings.serving_namespace),
            image_wanted=settings.model_server_image,
            priority=priority_class(settings.platform_namespace, "serving"),
            inside=settings.inside,
            timeout=settings.release_timeout,
            initializer=settings.initializer_image or manifests.INITIALIZER_IMAGE,
            routes=settings.routes,
        )

    @property
    def namespace(self) -> str:
        return self.cluster.namespace

    def start_candidate(self, model: str, predictor: Predictor, needs: ServingSpec) -> None:
        if not model[:1].isalpha():
            raise SpecError(
                f"model {model}",
                "cannot be served on a cluster, where the name of a Service begins with a letter",
                "Give the model another name.",
            )
        if not self.image_wanted:
            raise PlatformError(
                f"predictor {manifests.service_name(model, predictor.number)}",
                "has no image of a model server",
                "Run `slipway bootstrap`, which sets SLIPWAY_MODEL_SERVER_IMAGE for release runs.",
            )
        candidate = manifests.predictor_manifest(
            model, predictor, needs, self.image_wanted, self.priority, self.initializer
        )
        deployment = self._deployment(model)
        wanted = manifests.with_candidate(deployment, candidate, self._selected(model))
        if wanted != manifests.predictors_of(deployment):
            self._apply(model, wanted)
        self._wait_until_ready(pods.Wanted(model, predictor, self.image_wanted, needs.replicas))
        self._wait_until_it_answers(model, predictor)

    def candidate(self, model: str, number: int) -> Endpoint:
        return self._endpoint(model, manifests.service_name(model, number))

    def stable(self, model: str) -> Endpoint:
        return self._endpoint(model, manifests.live_name(model))

    def told(self, model: str) -> Predictor | None:
        number = self._selected(model)
        if number is None:
            return None
        found = manifests.find_predictor(self._deployment(model), number)
        return None if found is None else manifests.read_predictor(model, found)

    def answering(self, model: str) -> Served | None:
        number = self._selected(model)
        if number is None or not any(map(pods.is_ready, self._pods(model, number))):
            return None
        with self._reached(model) as rest:
            found = poll(lambda: self._ask(model, rest), timeout=10.0)
        if found is None:
            raise ServingError(
                f"{model} at {self.stable(model).rest}",
                f"does not answer, though pods of version {number} are ready",
                f"See the pods: `kubectl -n {self.namespace} get pods -l {manifests.DEPLOYMENT_LABEL}={model}`.",
            )
        return found

    def move_traffic(self, model: str, to: Predictor | None) -> None:
        if to is None:
            self.cluster.delete(SERVICE, manifests.live_name(model))
            return
        standing = self._deployment(model)
        if manifests.find_predictor(standing, to.number) is None:
            raise ServingError(
                f"SeldonDeployment {model}",
                f"has no predictor {manifests.predictor_name(to.number)} that traffic could go to",
                f"Run `slipway release {model} --version {to.number}`, which starts it.",
            )
        # The selector last: it is what `told` reads, and a release that was killed before it moves both again.
        self._set_predictors(model, manifests.with_traffic(manifests.predictors_of(standing), to.number))
        self.cluster.apply(manifests.live_service(model, self.namespace, to.number))
        self._wait_until_only(model, to.served)

    def retire_candidates(self, model: str) -> None:
        standing = manifests.predictors_of(self._deployment(model))
        if not standing:
            return
        live = self._selected(model)
        kept = [each for each in standing if live is not None and manifests.number_of(each) == live]
        if not kept and live is not None:
            raise ServingError(
                f"SeldonDeployment {model}",
                f"has no predictor {manifests.predictor_name(live)}, which {manifests.live_name(model)} selects",
                f"Run `slipway release {model}`.",
            )
        if kept:
            self._set_predictors(model, manifests.with_traffic(kept, live))
        else:
            self.cluster.delete(SELDON_DEPLOYMENT, model)
        removed = [str(each["name"]) for each in standing if each not in kept]
        self._wait_until_gone(model, removed)

    def models(self) -> list[str]:
        found = self.cluster.list(SELDON_DEPLOYMENT, manifests.MANAGED)
        return sorted(str(each["metadata"]["name"]) for each in found)

    def log_tail(self, model: str, number: int, lines: int = 30) -> str:
        """Of the first container that has failed or is not ready, or else of the server."""
        found = self._pods(model, number)
        if not found:
            return f"(no pods of {manifests.service_name(model, number)})"
        pod = next((each for each in found if not pods.is_ready(each)), found[0])
        name, container = str(pod["metadata"]["name"]), pods.culprit(pod) or model
        try:
            text = self.cluster.logs(name, container, lines)
        except SlipwayError as error:
            return f"(no log of {container} in pod {name}: {error})"
        return text or f"(nothing in the log of {container} in pod {name})"

    def findings(self, model: str) -> list[str]:
        deployment, number = self._deployment(model), self._selected(model)
        found = route_findings(self.cluster, deployment, self.routes)
        if number is None:
            return found
        told = manifests.find_predictor(deployment, number)
        return [*found, *disagreements(model, number, deployment, told, self._pods(model, number))]

    def image(self, model: str) -> str | None:
        number = self._selected(model)
        ready = [pod for pod in self._pods(model, number) if pods.is_ready(pod)] if number is not None else []
        return pods.image_digest(ready[0], model) or None if ready else None

    def _endpoint(self, model: str, service: str) -> Endpoint:
        return in_cluster(model, service, self.namespace)

    def _deployment(self, model: str) -> dict[str, Any] | None:
        return self.cluster.get(SELDON_DEPLOYMENT, model)

    def _selected(self, model: str) -> int | None:
        """The version that the stable Service selects."""
        return manifests.selected_number(self.cluster.get(SERVICE, manifests.live_name(model)), model)

    def _pods(self, model: str, number: int) -> list[dict[str, Any]]:
        return self._of(POD, model, manifests.predictor_name(number))

    def _apply(self, model: str, predictors: list[dict[str, Any]]) -> None:
        self._route(self.cluster.apply(manifests.deployment_manifest(model, self.namespace, predictors)))

    def _set_predictors(self, model: str, predictors: list[dict[str, Any]]) -> None:
        """Apply them unless they are just as they stand."""
        standing = self._deployment(model)
        if standing is None or predictors != manifests.predictors_of(standing):
            self._apply(model, predictors)
        else:
            self._route(standing)

    def _route(self, deployment: dict[str, Any]) -> None:
        if self.routes == "gateway-api":
            ensure_route(self.cluster, deployment)

    def _wait_until_ready(self, wanted: pods.Wanted) -> None:
        """ServingError as soon as the pods show that waiting is in vain, or after `timeout`."""
        verdict = pods.Verdict()

        def look() -> pods.Verdict | None:
            nonlocal verdict
            verdict = self._judge(wanted)
            return verdict if verdict.ready or verdict.failure else None

        poll(look, self.timeout, LOOK)
        if verdict.ready:
            return
        name = f"predictor {manifests.service_name(wanted.model, wanted.predictor.number)}"
        if verdict.failure:
            cause = pods.cause_in(self.log_tail(wanted.model, wanted.predictor.number, CAUSE_LINES))
            said = f"; its log says: {cause}" if cause else ""
            raise ServingError(name, verdict.failure + said, advice(verdict.failure))
        said = self._operator_says(wanted.model)
        raise ServingError(
            name,
            f"is not ready after {self.timeout:g} s: {verdict.missing}{said}",
            "Read the log below; SLIPWAY_RELEASE_TIMEOUT sets the limit.",
        )

    def _judge(self, wanted: pods.Wanted) -> pods.Verdict:
        name = manifests.predictor_name(wanted.predictor.number)
        found, deployments = self._of(POD, wanted.model, name), self._of(DEPLOYMENT, wanted.model, name)
        events = self.cluster.list(EVENT) if pods.unscheduled(found) else []
        return pods.judge(wanted, found, deployments, events, datetime.now(UTC))

    def _operator_says(self, model: str) -> str:
        """The operator's own explanation, which is worth reading only when nothing came of it."""
        status = (self._deployment(model) or {}).get("status") or {}
        said = str(status.get("description") or "").strip()
        return f" (the operator says: {status.get('state')}: {said})" if said else ""

    def _wait_until_it_answers(self, model: str, predictor: Predictor) -> None:
        """Ready pods are in the Service of their predictor a moment later, on every node."""
        from tasks.inference import PROTOCOLS, Client

        endpoint, refused = self.candidate(model, predictor.number), ""
        service = manifests.service_name(model, predictor.number)

        def look() -> bool | None:
            nonlocal refused
            # Asked for too early, a name would be remembered as unknown.
            if self.cluster.get(SERVICE, service) is None:
                refused = f"the operator has made no Service {service}"
                return None
            try:
                with Client(endpoint, timeout=5.0) as asked:
                    return all(asked.ready(protocol) for protocol in PROTOCOLS) or None
            except ServingError as error:
                refused = error.observed
                return None

        if poll(look, 30.0, 0.2) is None:
            raise ServingError(
                f"predictor {service} at {endpoint.rest}",
                f"has ready pods but does not answer there ({refused or 'it says that it is not ready'})",
                "See whether a NetworkPolicy keeps release pods from it, and the log below.",
            )

    def _wait_until_only(self, model: str, served: Served) -> None:
        """Return when IN_A_ROW fresh connections to the stable address were answered by `served`."""
        deadline, in_a_row, last = time.monotonic() + self.timeout, 0, "nothing"
        with self._reached(model) as rest:
            while in_a_row < IN_A_ROW:
                answer = self._ask(model, rest)
                in_a_row = in_a_row + 1 if answer == served else 0
                last = str(answer or "nothing")
                if in_a_row == 0:
                    if time.monotonic() > deadline:
                        raise ServingError(
                            f"{model} at {self.stable(model).rest}",
                            f"{last} still answers {self.timeout:g} s after traffic moved to {served}",
                            "See the pods that the Service selects, and `slipway live`.",
                        )
                    time.sleep(0.1)

    def _wait_until_gone(self, model: str, predictors: list[str]) -> None:
        """Return when of these predictors nothing is there but pods that are ending.

        A Deployment that the operator has not removed after a while is removed here: it forgets those whose
        pods never came to be, and waits with all others until what remains is well.
        """
        patience = time.monotonic() + OPERATOR_SECONDS

        def look() -> bool | None:
            deployments = [each for name in predictors for each in self._of(DEPLOYMENT, model, name)]
            if time.monotonic() > patience:
                for each in deployments:
                    self.cluster.delete(DEPLOYMENT, str(each["metadata"]["name"]))
            left = [
                each for name in predictors for each in self._of(POD, model, name) if not pods.leaving(each)
            ]
            return None if deployments or left else True

        if poll(look, GONE_SECONDS, LOOK) is None:
            raise ServingError(
                f"SeldonDeployment {model}",
                f"no longer has {', '.join(predictors)}, but their pods are still there after {GONE_SECONDS:g} s",
                "See the log of the Seldon operator.",
            )

    def _of(self, kind: Kind, model: str, predictor: str) -> list[dict[str, Any]]:
        return self.cluster.list(kind, {manifests.PREDICTOR_LABEL: f"{model}-{predictor}"})

    @contextmanager
    def _reached(self, model: str) -> Iterator[str]:
        """Base URL of the stable address, as this process reaches it."""
        if self.inside:
            yield self.stable(model).rest
            return
        from tasks.forwarding import forwarded

        with forwarded(self.namespace, f"service/{manifests.live_name(model)}", manifests.HTTP) as url:
            yield url

    def _ask(self, model: str, rest: str) -> Served | None:
        """What answers there, over a connection of its own; None if nothing does."""
        try:
            response = httpx.get(f"{rest}/v2/models/{model}", timeout=5.0, trust_env=False)
        except httpx.HTTPError:
            return None
        if not response.is_success:
            return None
        next_step = f"It is not a model server of Slipway; see SeldonDeployment {model}."
        return served_by(response, model, rest, next_step)


def advice(failure: str) -> str:
    """Pure: the next step after a failure of a pod."""
    steps = {
        "OOMKilled": "Make the model smaller, or raise serving.memory in the spec.",
        "image": "See that the image exists and that the nodes may pull it; SLIPWAY_MODEL_SERVER_IMAGE names it.",
        "model-initializer": "See that the model lies in the store, and the Secret slipway-model-store.",
        "finds no room": "Add a node, free some room, or lower serving.cpu, memory or replicas in the spec.",
        "refused": "See the namespace's Pod Security Standard and quotas.",
    }
    return next((step for word, step in steps.items() if word in failure), "Read the log below.")


def disagreements(
    model: str,
    number: int,
    deployment: dict[str, Any] | None,
    told: dict[str, Any] | None,
    running: list[dict[str, Any]],
) -> list[str]:
    """Pure: where the Service, the SeldonDeployment and the pods of version `number` differ."""
    again = f"run `slipway release {model}`"
    name, live = manifests.predictor_name(number), manifests.live_name(model)
    if told is None:
        return [f"Service {live} selects {name}, which SeldonDeployment {model} does not have: {again}"]
    found: list[str] = []
    if told.get("traffic") != 100:
        found.append(
            f"SeldonDeployment {model} gives {name} {told.get('traffic', 0)} % of the traffic, and Service "
            f"{live} all of it: a release was interrupted; {again}"
        )
    others = [
        str(each["name"]) for each in manifests.predictors_of(deployment) if each["name"] != told["name"]
    ]
    if others:
        found.append(f"{', '.join(others)} still stands beside {name}: a release was interrupted; {again}")
    predictor, server = manifests.read_predictor(model, told), manifests.server_of(model, told)
    if predictor is None or server is None:
        return [*found, f"predictor {name} of SeldonDeployment {model} was not made by Slipway: {again}"]
    wanted = pods.Wanted(model, predictor, str(server.get("image")), int(told.get("replicas") or 1))
    present = [pod for pod in running if not pods.leaving(pod)]
    ready = [pod for pod in present if pods.is_ready(pod)]
    strange = [pods.name_of(pod) for pod in ready if not pods.runs(pod, wanted)]
    if strange:
        found.append(f"{', '.join(strange)} runs something else than SeldonDeployment {model} says: {again}")
    if len(ready) < wanted.replicas:
        states = [f"{pods.name_of(pod)}: {pods.state_of(pod)}" for pod in present if pod not in ready]
        found.append(
            f"{len(ready)} of {wanted.replicas} pods of {name} are ready"
            f"{': ' if states else ''}{'; '.join(states)}: see `kubectl describe pods`"
        )
    return found
