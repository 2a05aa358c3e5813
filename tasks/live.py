"""What is live, as seen by asking: the server, the registry, the store, and where they disagree."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from tasks import artifacts, tracking
from tasks.errors import RegistryError
from tasks.releasing import FORCED, Facts, look
from tasks.serving import Serving, serving
from tasks.spec import MODELS
from tasks.tracking import Version


class Live(BaseModel):
    """One model. `version` and `digest` are what really answers at the addresses, None if nothing does."""

    model_config = ConfigDict(frozen=True)

    model: str
    version: int | None
    digest: str | None
    champion: int | None
    previous: int | None
    stored_digest: str | None
    """Digest of the answering version's artifacts as they lie in the store now."""
    image: str | None
    """Digest of the image whose server answers; None where servers are no containers."""
    gate: str
    """"promote", "forced: <reason>", or what is wrong with the gate record of the answering version."""
    hold: str | None
    rest_url: str
    grpc_url: str
    disagreements: tuple[str, ...]
    """What is not as it should be, each with the next step. Empty: all is well."""

    @property
    def well(self) -> bool:
        return not self.disagreements

    def __str__(self) -> str:
        answers = "nothing answers" if self.version is None else f"version {self.version} answers"
        wrong = "".join(f"\n  ! {text}" for text in self.disagreements)
        held = f", on hold ({self.hold})" if self.hold else ""
        return f"{self.model}: {answers} at {self.rest_url}{held}{wrong}"


def live(model: str | None = None) -> list[Live]:
    """What is live of `model`, or of every model that the server or the registry knows."""
    server = serving()
    return [inspect(name, server) for name in ([model] if model is not None else known_models(server))]


def known_models(server: Serving) -> list[str]:
    """Models that the server serves, and those of `deployments/models/` that have a champion."""
    specs = {path.stem for path in Path(MODELS).glob("*.yaml")}
    registered = {name for name in specs if tracking.alias(name, "champion") is not None}
    return sorted(registered | set(server.models()))


def inspect(model: str, server: Serving) -> Live:
    facts = look(model, server)
    hold = tracking.hold(model)
    versions = tracking.versions(model)
    number = facts.answering.number if facts.answering else None
    version = next((each for each in versions if each.number == number), None)
    stored = stored_digest(version)
    gate = gate_of(version)
    left = {each.number for each in versions if each.rolled_back is not None}
    endpoint = server.stable(model)
    return Live(
        model=model,
        version=number,
        digest=facts.answering.digest if facts.answering else None,
        champion=facts.champion,
        previous=facts.previous,
        stored_digest=stored,
        image=server.image(model),
        gate=gate,
        hold=hold,
        rest_url=endpoint.infer_url,
        grpc_url=endpoint.grpc,
        disagreements=(
            *disagreements(model, facts, version, stored, gate, left),
            *server.findings(model),
        ),
    )


def stored_digest(version: Version | None) -> str | None:
    from slipway_model_server.digest import ModelRefused, artifact_digest

    if version is None:
        return None
    try:
        return artifact_digest(artifacts.download(version))
    except (ModelRefused, RegistryError):
        return None


def gate_of(version: Version | None) -> str:
    if version is None:
        return "no version, no gate record"
    if FORCED in version.tags:
        return f"forced: {version.tags[FORCED]}"
    try:
        return tracking.read_record(version).decision.outcome
    except RegistryError as error:
        return error.observed


def disagreements(
    model: str, facts: Facts, version: Version | None, stored: str | None, gate: str, left: set[int]
) -> list[str]:
    """Pure: what does not fit together, and what to do about each."""
    again = f"run `slipway release {model}`"
    number = facts.champion
    answering, told = facts.answering, facts.told
    if answering is None:
        if number is None:
            return []
        return [
            f"nothing answers, and the champion is version {number}: "
            f"run `slipway release {model} --version {number}`"
        ]
    found: list[str] = []
    if version is None:
        found.append(f"{answering} answers, which is not registered: {again}")
    elif version.digest != answering.digest:
        found.append(f"{answering} answers, but that version is registered with {version.digest}: {again}")
    if version is not None and stored != version.digest:
        found.append(
            f"the stored artifacts of version {version.number} are {stored or 'gone'}, not {version.digest}: "
            "restore them, or retrain"
        )
    if version is not None and gate != "promote" and not gate.startswith("forced: "):
        found.append(f"version {version.number} {gate}: retrain, or release it with --force and a reason")
    if number != answering.number:
        meant = "there is no champion" if number is None else f"the champion is version {number}"
        found.append(f"version {answering.number} answers, but {meant}: a release was interrupted; {again}")
    if told is not None and told.served != answering:
        found.append(f"{answering} answers, but after a restart {told} would: {again}")
    if answering.number in left:
        found.append(
            f"version {answering.number} is marked as rolled back: run `slipway rollback {model}` again"
        )
    return found
