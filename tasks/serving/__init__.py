"""What a release needs of a server, whichever it is: `local.py` here, `seldon.py` on a cluster."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from tasks.errors import ServingError
from tasks.settings import settings

if TYPE_CHECKING:
    import httpx

    from tasks.spec_schema import ServingSpec


@dataclass(frozen=True)
class Endpoint:
    """Where one model answers the Open Inference Protocol v2, and under which name."""

    name: str
    rest: str
    """Base URL; the inference path is `<rest>/v2/models/<name>/infer`."""
    grpc: str
    """host:port"""

    @property
    def infer_url(self) -> str:
        return f"{self.rest}/v2/models/{self.name}/infer"

    @property
    def outside(self) -> "Endpoint":
        """The same as people ask it, where a cluster's models have a host of their own."""
        page = page_of(self.name)
        return replace(self, rest=page) if page else self


def page_of(model: str) -> str:
    """Base URL of a model outside of its cluster; empty if the lock gives models no host."""
    found = settings()
    return f"{found.models_page}/seldon/{found.serving_namespace}/{model}" if found.models_page else ""


@dataclass(frozen=True)
class Served:
    """What an answer says of itself: the registered version's number and the digest of its artifacts."""

    number: int
    digest: str

    def __str__(self) -> str:
        return f"version {self.number} ({self.digest[:19]})"


@dataclass(frozen=True)
class Predictor(Served):
    """One version with its artifacts, as a server is told to serve it."""

    uri: str
    """Folder of the artifacts: a local path or `s3://`."""

    @property
    def served(self) -> Served:
        return Served(self.number, self.digest)


def served_by(answer: "httpx.Response", model: str, rest: str, next_step: str) -> Served:
    """What a model's OIP metadata, answered at the base URL `rest`, says of it; ServingError if it is not ours."""
    try:
        parameters = answer.json()["parameters"]
        return Served(int(parameters["version"]), str(parameters["digest"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ServingError(
            f"model {model} at {rest}",
            f"does not say which version it is ({answer.status_code} {answer.text[:200]})",
            next_step,
        ) from error


class Serving(Protocol):
    """A server of models. Each method raises ServingError, or PlatformError if the server is not there.

    Every method may be repeated: a release that was killed calls them again.
    """

    def start_candidate(self, model: str, predictor: Predictor, needs: "ServingSpec") -> None:
        """Start `predictor` beside what is live, without traffic, and return when it is ready."""

    def candidate(self, model: str, number: int) -> Endpoint:
        """Address at which a started candidate answers."""

    def stable(self, model: str) -> Endpoint:
        """The address that clients use."""

    def told(self, model: str) -> Predictor | None:
        """What the server was last told to serve at the stable address; it serves that after a restart."""

    def answering(self, model: str) -> Served | None:
        """What really answers at the stable address, or None if nothing does."""

    def move_traffic(self, model: str, to: Predictor | None) -> None:
        """Let `to` answer at the stable address (None: nothing); no request is lost on the way."""

    def retire_candidates(self, model: str) -> None:
        """Remove every predictor of `model` but the live one, also those that a killed release left."""

    def models(self) -> list[str]:
        """Names of the models that the server was told to serve."""

    def log_tail(self, model: str, number: int, lines: int = 30) -> str:
        """The end of the log of the server that serves version `number`, for error messages."""

    def findings(self, model: str) -> list[str]:
        """What the server itself knows that does not fit together, each with the next step."""

    def image(self, model: str) -> str | None:
        """Digest of the image that answers at the stable address; None if none is, or no image."""


def serving() -> Serving:
    """The server of this platform."""
    if settings().platform == "embedded":
        from tasks.serving.local import LocalServing

        return LocalServing.of(settings())
    from tasks.serving.seldon import SeldonServing

    return SeldonServing.of(settings())
