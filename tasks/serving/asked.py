"""What answers for a model, asked as any client asks: the code of a model has no right to look further."""

import httpx

from tasks.errors import ServingError
from tasks.serving import Served, served_by, serving
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
        return served_by(answer, model, base, f"See `slipway live {model}`.")
    raise AssertionError("unreachable")
