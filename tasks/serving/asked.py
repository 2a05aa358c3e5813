"""What answers for a model, asked as any client asks: the code of a model has no right to look further."""

import httpx

from tasks.errors import ServingError
from tasks.serving import Served, serving
from tasks.settings import settings

ATTEMPTS = 3
TIMEOUT = 5.0


def answering(model: str) -> Served | None:
    """What answers at the stable address of `model`, None if nothing does. In a pod, over HTTP alone."""
    if not settings().inside:
        return serving().answering(model)
    from tasks.serving.seldon_manifest import HTTP, live_name

    base = f"http://{live_name(model)}.{settings().serving_namespace}.svc:{HTTP}"
    for attempt in range(1, ATTEMPTS + 1):
        try:
            answer = httpx.get(f"{base}/v2/models/{model}", timeout=TIMEOUT, trust_env=False)
        except httpx.ConnectError:
            return None  # no such Service, or no pod behind it
        except httpx.HTTPError as error:
            if attempt == ATTEMPTS:
                raise ServingError(
                    f"{model} at {base}",
                    f"does not answer ({type(error).__name__})",
                    f"See `slipway live {model}`.",
                ) from error
            continue
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return served(model, base, answer)
    raise AssertionError("unreachable")


def served(model: str, base: str, answer: httpx.Response) -> Served:
    """Pure: what an answer of a model server says of itself."""
    try:
        parameters = answer.raise_for_status().json().get("parameters") or {}
        return Served(int(parameters["version"]), str(parameters["digest"]))
    except (httpx.HTTPStatusError, KeyError, ValueError) as error:
        raise ServingError(
            f"{model} at {base}",
            f"does not say which version it is ({answer.status_code} {answer.text[:200]})",
            f"See `slipway live {model}`.",
        ) from error
