"""How to ask what is live: a command to paste."""

from tasks import artifacts, smoke, tracking
from tasks.golden import read_golden
from tasks.serving import serving


def curl_line(model: str) -> str:
    """A command that asks the stable address of `model` for one golden row of what answers there; or \"\"."""
    server = serving()
    answering = server.answering(model)
    if answering is None:
        return ""
    version = tracking.get_version(model, answering.number)
    golden = read_golden(artifacts.download(version), version.name)
    return smoke.curl_line(server.stable(model), golden)
