"""MLflow's `authorization_function` (see its "Custom Authentication"): basic authentication, then our policy."""

import json
from typing import Any

from flask import Response, make_response, request
from mlflow.exceptions import MlflowException
from mlflow.server import auth
from mlflow.server.auth.requirements import Requirement
from mlflow.server.handlers import _get_tracking_store
from werkzeug.datastructures import Authorization

from slipway_mlflow import policy


def authenticate() -> Authorization | Response:
    """Who asks; or the answer to somebody unknown, or to somebody who may not ask this."""
    known = auth.authenticate_request_basic_auth()
    if isinstance(known, Response):
        return known
    user = str(known.username)
    if auth.store.get_user(user).is_admin:
        return known
    refused = policy.refusal(user, request.method, request.path) or _refused_content(user)
    return known if refused is None else forbidden(refused)


def forbidden(reason: str) -> Response:
    """In the form in which MLflow's client shows an error's text."""
    body = json.dumps({"error_code": "PERMISSION_DENIED", "message": reason})
    answer = make_response(body, 403)
    answer.mimetype = "application/json"
    return answer


def _refused_content(user: str) -> str | None:
    if policy.is_creation("experiments", request.method, request.path):
        if policy.names_a_place(_body()):
            return "Artifacts of an experiment lie where the server keeps them: leave out artifact_location."
    elif policy.is_creation("model-versions", request.method, request.path):
        return _refused_source(user)
    return None


def _refused_source(user: str) -> str | None:
    """A version's files must be such that nobody can change them who does not register versions."""
    model_id = policy.logged_model(_body())
    if model_id is None:
        return "A version is made from a logged model (models:/m-...)."
    try:
        experiment = _get_tracking_store().get_logged_model(model_id).experiment_id
    except MlflowException:
        return f"Logged model {model_id} does not exist."
    others = [
        other.username for other in auth.store.list_users() if not other.is_admin and other.username != user
    ]
    writers = [other for other in others if other != policy.RELEASE and _may_write(other, experiment)]
    if writers:
        return (
            f"The experiment of {model_id} ({experiment}) can be written by {', '.join(writers)}: "
            "have the administrator rename or delete it, and train again."
        )
    return None


def _may_write(user: str, experiment: str) -> bool:
    anchor = ("experiment", experiment)
    wanted = [
        [Requirement("experiment", experiment, "update")],
        [Requirement("logged_model", "*", "update", fallback_if_no_grant=(anchor,))],
    ]
    return any(auth.authorize(user, anchor, each) for each in wanted)


def _body() -> dict[str, Any]:
    """The request's JSON, which old clients encode twice, as the server's handlers read it."""
    found = request.get_json(force=True, silent=True)
    if isinstance(found, str):
        try:
            found = json.loads(found)
        except ValueError:
            return {}
    return found if isinstance(found, dict) else {}
