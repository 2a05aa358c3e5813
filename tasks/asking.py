"""How to ask what is live: a command to paste."""

from tasks import artifacts, smoke, tracking
from tasks.golden import read_golden
from tasks.serving import Endpoint, serving
from tasks.settings import settings


def endpoint(model: str) -> Endpoint:
    """Where `model` answers, whichever version is live. Asks nobody: a notebook has no rights in the cluster."""
    found = settings()
    if found.platform == "embedded":
        return Endpoint(model, found.serving_rest_url, found.serving_grpc)
    from tasks.serving.seldon import in_cluster
    from tasks.serving.seldon_manifest import live_name

    return in_cluster(model, live_name(model), found.serving_namespace)


def curl_line(model: str) -> str:
    """A command that asks the stable address of `model` for one golden row of what answers there; or \"\"."""
    server = serving()
    answering = server.answering(model)
    if answering is None:
        return ""
    version = tracking.get_version(model, answering.number)
    golden = read_golden(artifacts.download(version), version.name)
    return smoke.curl_line(server.stable(model), golden)
