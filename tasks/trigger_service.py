"""The trigger: a service of JupyterHub that starts flows for those who have a notebook, and tells how they go.

`python -m tasks.trigger_service` runs it in the platform's namespace. The hub says who asks (by the token that it
gave to the notebook), `trigger_rules` says what they may start, and only here Prefect's password is known.
"""

import logging
import sys
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

import yaml
from jupyterhub.services.auth import HubAuth, HubAuthenticated
from pydantic import ValidationError
from tornado.ioloop import IOLoop
from tornado.web import Application, HTTPError, RequestHandler, authenticated

from tasks import deployments, handover, runs, trigger_rules
from tasks.errors import PlatformError, SlipwayError, SpecError
from tasks.runs import Follower, RunFailed
from tasks.settings import connect, settings
from tasks.spec import load_spec
from tasks.trigger_rules import Asked, NotAllowed, User

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

PORT = 8000
NAME = "trigger"
"""Of the service in the hub's configuration."""
CACHED = 60
"""Seconds for which what the hub said of a token holds: a user who was removed may ask as long."""
LARGEST = 1 << 16
"""Bytes of a request."""
T = TypeVar("T")


def start(user: User, asked: Asked) -> dict[str, str]:
    """Start the run that is asked for; its id and page. Raises NotAllowed, SpecError or PlatformError."""
    listed = trigger_rules.listed(yaml.safe_load(deployments.FILE.read_text()))
    if asked.deployment not in listed:
        raise NotAllowed(
            f"deployment {asked.deployment!r}",
            "is not one that a notebook may start",
            f"Those are: {', '.join(sorted(listed))}.",
        )
    trigger_rules.check(user, asked, load_spec(listed[asked.deployment]), settings().store_root)
    with prefect() as client:
        run = runs.start(
            client, asked.deployment, asked.parameters, trigger_rules.tags(user, asked),
            trigger_rules.labels(user, asked),
        )  # fmt: skip
        say(f"{user.name} started {asked.deployment} as {run.name}")
        return {"id": str(run.id), "url": runs.page(client, run)}


def look(user: User, run_id: UUID, seen: int) -> dict[str, Any]:
    """What the run is now, and what it said after the first `seen` records of its log."""
    with prefect() as client:
        follower = Follower(client, own_run(client, user, run_id), seen)
        now = follower.look()
        return {**asdict(now), "seen": follower.seen}


def outcome(user: User, run_id: UUID) -> dict[str, Any]:
    """What came of a run that has ended. Raises RunFailed with the run's own reason if it did not complete."""
    with prefect() as client:
        run = own_run(client, user, run_id)
        name = str(run.labels[trigger_rules.DEPLOYMENT])
        ended = runs.outcome(client, name, run)
        result = handover.document(name.partition("/")[0], ended.result)
        return {"url": ended.url, "state": ended.state, "message": ended.message, "result": result}


def own_run(client: "SyncPrefectClient", user: User, run_id: UUID) -> Any:
    """The run, if it is this user's; else nothing is said of it, not even whether it is there."""
    from prefect.exceptions import ObjectNotFound

    try:
        run = client.read_flow_run(run_id)
    except ObjectNotFound:
        run = None
    if run is None or run.labels.get(trigger_rules.ASKED_BY) != user.name:
        raise NotAllowed(f"run {run_id}", f"is none that {user.name} started here", "Give a run of your own.")
    return run


def prefect() -> "SyncPrefectClient":
    from prefect.client.orchestration import get_client

    return get_client(sync_client=True)


class Handler(HubAuthenticated, RequestHandler):  # type: ignore[misc]
    """Answers JSON; errors as what they are about, what was observed and what to do."""

    def initialize(self, hub_auth: HubAuth) -> None:
        self.hub_auth = hub_auth

    @property
    def user(self) -> User:
        found: dict[str, Any] = self.current_user
        if found.get("kind") != "user":
            raise HTTPError(HTTPStatus.FORBIDDEN, "only users of the hub may ask")
        return User(found["name"], tuple(found.get("groups") or ()))

    async def answer(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Finish with what `work` gives, in a thread: it waits for Prefect."""
        try:
            self.finish(await IOLoop.current().run_in_executor(None, work, *arguments))
        except SlipwayError as error:
            self.refuse(error)

    def refuse(self, error: SlipwayError) -> None:
        self.set_status(status(error))
        self.finish({
            "error": type(error).__name__,
            "object": error.obj,
            "observed": error.observed,
            "next_step": error.next_step,
        })  # fmt: skip

    def write_error(self, status_code: int, **given: Any) -> None:
        """In place of tornado's page; a defect keeps its words to the log."""
        reason = given.get("exc_info", (None, None))[1]
        said = reason.log_message if isinstance(reason, HTTPError) and reason.log_message else self._reason
        self.finish({"error": "PlatformError", "object": "the trigger", "observed": said, "next_step": ""})


class Runs(Handler):
    @authenticated
    async def post(self) -> None:
        try:
            asked = Asked.model_validate_json(self.request.body)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"])) or "request"
            self.refuse(SpecError(place, first["msg"], "The trigger of another version asks otherwise."))
            return
        await self.answer(start, self.user, asked)


class Run(Handler):
    @authenticated
    async def get(self, run_id: str) -> None:
        seen = self.get_query_argument("seen", "0")
        if not seen.isdecimal():
            raise HTTPError(HTTPStatus.BAD_REQUEST, "seen is a number")
        await self.answer(look, self.user, UUID(run_id), int(seen))


class Outcome(Handler):
    @authenticated
    async def get(self, run_id: str) -> None:
        await self.answer(outcome, self.user, UUID(run_id))


class Health(RequestHandler):
    def get(self) -> None:
        self.finish({"well": True})


def status(error: SlipwayError) -> HTTPStatus:
    """Pure: how an error is told in HTTP."""
    if isinstance(error, NotAllowed):
        return HTTPStatus.FORBIDDEN
    if isinstance(error, SpecError):
        return HTTPStatus.UNPROCESSABLE_ENTITY
    return HTTPStatus.CONFLICT if isinstance(error, RunFailed) else HTTPStatus.BAD_GATEWAY


def application(hub_auth: HubAuth) -> Application:
    given, run = {"hub_auth": hub_auth}, r"/runs/([0-9a-f-]{36})"
    routes: list[Any] = [
        (r"/runs", Runs, given),
        (run, Run, given),
        (rf"{run}/outcome", Outcome, given),
        (r"/health", Health),
    ]
    return Application(routes)


def say(message: str) -> None:
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


def main(address: str = "0.0.0.0", port: int = PORT) -> None:  # noqa: S104 (of its pod)
    """Serve until this process is ended. Where the hub is, and the service's own token, is in JUPYTERHUB_API_*."""
    logging.basicConfig(level=logging.WARNING)
    found = connect()
    if not found.prefect_url:
        raise PlatformError("Prefect server", "has no address", "Set SLIPWAY_PREFECT_URL.")
    hub_auth = HubAuth(
        access_scopes={f"access:services!service={NAME}"}, cache_max_age=CACHED, allow_token_in_url=False
    )
    application(hub_auth).listen(port, address, max_body_size=LARGEST, max_buffer_size=LARGEST)
    say(f"the trigger listens on {address}:{port}; it asks {hub_auth.api_url}")
    IOLoop.current().start()


if __name__ == "__main__":
    main()
