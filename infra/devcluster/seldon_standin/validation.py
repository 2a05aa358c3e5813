"""What the webhook refuses, each with the field that is at fault."""

from collections import Counter
from typing import Any

from .defaults import SERVER_IMAGES, container_of, is_server, units
from .names import Manifest

ONE_OF = {
    "protocol": {"seldon", "tensorflow", "kfserving", "v2"},
    "transport": {"rest", "grpc"},
    "serverType": {"rpc", "kafka"},
}
NO_IMAGE_NEEDED = {*SERVER_IMAGES, "TENSORFLOW_SERVER", "TRITON_SERVER"}


def problems(spec: Manifest) -> list[str]:
    """Why a SeldonDeployment with this spec is refused; empty when it is not."""
    predictors = spec.get("predictors") or []
    found = [
        _problem("spec", spec[key], f"Invalid {key}")
        for key, allowed in ONE_OF.items()
        if spec.get(key) and spec[key] not in allowed
    ]
    if not predictors:
        return [*found, _problem("spec", "", "Graph contains no predictors")]
    found += _service_names(predictors)
    seen: set[str] = set()
    for index, predictor in enumerate(predictors):
        place = f"spec.predictors[{index}]"
        name = predictor.get("name", "")
        graph = predictor.get("graph") or {"name": ""}
        if "seldon.io/no-engine" in (predictor.get("annotations") or {}) and len(list(units(graph))) > 1:
            found.append(_problem(place, name, "Running without engine only valid for single element graphs"))
        if name in seen:
            found.append(_problem(place, name, "Duplicate predictor name"))
        seen.add(name)
        found += _graph(predictor, graph, f"{place}.graph")
    return found + _traffic(predictors)


def _problem(place: str, value: Any, message: str) -> str:
    return f'{place}: Invalid value: "{value}": {message}'


def _graph(predictor: Manifest, unit: Manifest, place: str) -> list[str]:
    found = []
    name = unit.get("name", "")
    container = container_of(predictor, name)
    implementation = unit.get("implementation") or "UNKNOWN_IMPLEMENTATION"
    if implementation == "UNKNOWN_IMPLEMENTATION":
        if container is None:
            found.append(_problem(place, name, "Can't find container for Predictive Unit"))
        if unit.get("type") == "UNKNOWN_TYPE" and not unit.get("methods"):
            found.append(_problem(place, name, "Predictive Unit has no implementation methods defined"))
    elif is_server(unit):
        if not unit.get("modelUri") and implementation != "HUGGINGFACE_SERVER":
            message = "Predictive unit modelUri required when using standalone servers"
            found.append(_problem(place, name, message))
        if not (container or {}).get("image") and implementation not in NO_IMAGE_NEEDED:
            found.append(_problem(place, name, f"No entry in predictors map for {implementation}"))
    for index, child in enumerate(unit.get("children") or []):
        found += _graph(predictor, child, f"{place}[{index}]")
    return found


def _service_names(predictors: list[Manifest]) -> list[str]:
    chosen = [(predictor.get("annotations") or {}).get("seldon.io/svc-name") for predictor in predictors]
    return [
        _problem("spec.predictors", name, "Found duplicate service name in seldon.io/svc-name")
        for name, times in Counter(chosen).items()
        if name and times > 1
    ]


def _traffic(predictors: list[Manifest]) -> list[str]:
    """Whole percents over the predictors that are no shadows; one predictor alone may leave it out."""
    found = []
    shadows = [predictor for predictor in predictors if predictor.get("shadow")]
    first = predictors[0].get("name", "")
    total = sum(predictor.get("traffic") or 0 for predictor in predictors if not predictor.get("shadow"))
    if len(shadows) > 1:
        found.append(_problem("spec", shadows[1].get("name", ""), "Multiple shadows are not allowed"))
    if shadows and len(predictors) == 1:
        found.append(_problem("spec.predictors[0]", first, "Shadow can not exist as only predictor"))
    if total != 100 and len(predictors) - len(shadows) > 1:
        found.append(_problem("spec", first, "Traffic must sum to 100 for multiple predictors"))
    if 0 < total < 100 and len(predictors) == 1:
        found.append(_problem("spec", first, "Traffic must be 100 for a single predictor when set"))
    return found
