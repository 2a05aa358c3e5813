"""The embedded model server: one MLServer process, its model repository in `<home>/serving/models`.

A model is a folder with a `model-settings.json` there. A candidate gets a folder (and so a name) of its own:
never a version of the live name, because MLServer makes a second version the default while it still loads.
The live name is switched by rewriting its file and loading it again, which MLServer does in place: the old
model answers until the new one is ready, and stays if the new one fails.
"""

import json
import os
import re
import shutil
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import httpx

from tasks.errors import PlatformError, ServingError
from tasks.serving import Endpoint, Predictor, Served, served_by
from tasks.settings import Settings
from tasks.spec_schema import ServingSpec
from tasks.tls import tls

RUNTIME = "slipway_model_server.runtime.Runtime"
SETTINGS_FILE = "model-settings.json"
CANDIDATE = re.compile(r"^(?P<model>.+)-candidate-(?P<number>\d+)$")


@dataclass(frozen=True)
class LocalServing:
    """`Serving` by MLServer's repository API. `timeout` seconds is what one load may take."""

    rest: str
    grpc: str
    repository: Path
    log: Path
    timeout: float

    @classmethod
    def of(cls, settings: Settings) -> "LocalServing":
        if not settings.serving_rest_url or not settings.serving_grpc:
            raise PlatformError("model server", "has no address", "Start the platform with `slipway up`.")
        return cls(
            rest=settings.serving_rest_url.rstrip("/"),
            grpc=settings.serving_grpc,
            repository=settings.home / "serving" / "models",
            log=settings.home / "logs" / "model-server.log",
            timeout=settings.release_timeout,
        )

    def start_candidate(self, model: str, predictor: Predictor, needs: ServingSpec) -> None:
        name = candidate_name(model, predictor.number)
        self._write(name, predictor)
        self._load(name, predictor)

    def candidate(self, model: str, number: int) -> Endpoint:
        return Endpoint(candidate_name(model, number), self.rest, self.grpc)

    def stable(self, model: str) -> Endpoint:
        return Endpoint(model, self.rest, self.grpc)

    def told(self, model: str) -> Predictor | None:
        path = self.repository / model / SETTINGS_FILE
        try:
            return parse_settings(json.loads(path.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise ServingError(
                str(path),
                f"is not a model's settings ({error!r})",
                f"Delete {path.parent} and release {model}.",
            ) from error

    def answering(self, model: str) -> Served | None:
        response = self._ask("GET", f"/v2/models/{model}")
        if response.status_code == 404:
            return None
        if not response.is_success:
            self._refused(f"model {model}", response)
        next_step = (
            f"It was not loaded by Slipway; delete {self.repository / model} and restart the platform."
        )
        return served_by(response, model, self.rest, next_step)

    def move_traffic(self, model: str, to: Predictor | None) -> None:
        if to is None:
            self._remove(model)
            return
        self._write(model, to)
        self._load(model, to)

    def retire_candidates(self, model: str) -> None:
        for name in self._folders():
            found = CANDIDATE.match(name)
            if found and found["model"] == model:
                self._remove(name)

    def models(self) -> list[str]:
        return [name for name in self._folders() if not CANDIDATE.match(name)]

    def load_told(self) -> dict[str, str]:
        """Load every model that the server was told to serve and does not: it has just started.

        What could not be loaded comes back by name, with the reason.
        """
        failed: dict[str, str] = {}
        for name in self.models():
            try:
                predictor = self.told(name)
                if predictor is not None and self.answering(name) is None:
                    self._load(name, predictor)
            except ServingError as error:
                failed[name] = f"{error.obj}: {error.observed}"
        return failed

    def log_tail(self, model: str, number: int, lines: int = 30) -> str:
        try:
            with self.log.open(encoding="utf-8", errors="replace") as log:
                return "".join(deque(log, maxlen=lines))
        except FileNotFoundError:
            return f"(no log at {self.log})"

    def findings(self, model: str) -> list[str]:
        return []

    def image(self, model: str) -> str | None:
        return None

    def _folders(self) -> list[str]:
        return sorted(path.parent.name for path in self.repository.glob(f"*/{SETTINGS_FILE}"))

    def _write(self, name: str, predictor: Predictor) -> None:
        """Tell the server, on disk, what `name` is: whole or not at all."""
        folder = self.repository / name
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".settings-")
        with os.fdopen(handle, "w") as file:
            json.dump(model_settings(name, predictor), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, folder / SETTINGS_FILE)

    def _load(self, name: str, predictor: Predictor) -> None:
        response = self._ask("POST", f"/v2/repository/models/{name}/load")
        if not response.is_success:
            self._refused(f"{name} with {predictor}", response)
        if not self._ask("GET", f"/v2/models/{name}/ready").is_success:
            raise ServingError(
                f"{name} with {predictor} at {self.rest}",
                "was loaded but is not ready",
                "Read the server's log below.",
            )

    def _remove(self, name: str) -> None:
        """Take `name` off the disk first, so that a restart cannot bring it back, then out of the server."""
        if (self.repository / name).exists():
            shutil.rmtree(self.repository / name)
        response = self._ask("POST", f"/v2/repository/models/{name}/unload")
        if not response.is_success and response.status_code != 404:
            self._refused(name, response)

    def _ask(self, method: str, path: str) -> httpx.Response:
        try:
            return httpx.request(
                method, self.rest + path, timeout=self.timeout, trust_env=False, verify=tls()
            )
        except httpx.TimeoutException as error:
            raise ServingError(
                f"model server {self.rest}",
                f"{method} {path} took longer than {self.timeout:g} s",
                "Read the server's log; SLIPWAY_RELEASE_TIMEOUT sets the limit.",
            ) from error
        except httpx.HTTPError as error:
            raise PlatformError(
                f"model server {self.rest}",
                f"does not answer ({error})",
                "Start the platform with `slipway up`.",
            ) from error

    def _refused(self, what: str, response: httpx.Response) -> NoReturn:
        raise ServingError(
            f"{what} at {self.rest}",
            f"the server answered {response.status_code} {_reason(response)}",
            "Read the server's log below.",
        )


def candidate_name(model: str, number: int) -> str:
    return f"{model}-candidate-{number}"


def model_settings(name: str, predictor: Predictor) -> dict[str, Any]:
    """Pure: what `model-settings.json` says."""
    return {
        "name": name,
        "implementation": RUNTIME,
        "parameters": {
            "uri": predictor.uri,
            "extra": {"digest": predictor.digest, "version": str(predictor.number)},
        },
    }


def parse_settings(written: dict[str, Any]) -> Predictor:
    """Pure: the inverse of `model_settings`."""
    parameters = written["parameters"]
    extra = parameters["extra"]
    return Predictor(int(extra["version"]), str(extra["digest"]), str(parameters["uri"]))


def _reason(response: httpx.Response) -> str:
    """The server's own words, shortened."""
    try:
        said = response.json().get("error") or response.text
    except ValueError:
        said = response.text
    return " ".join(str(said).split())[:500]
