"""Addresses that a browser on this machine reaches."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from tasks import runs
from tasks.errors import PlatformError, SpecError
from tasks.opening import PAGES, free, login, opened, outside_address
from tasks.reach import variables
from tasks.runlog import Run
from tasks.serving import Endpoint


def test_a_taken_port_is_left_to_who_has_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free(port) == 0
    assert free(port) == port


def test_the_login_says_where_the_password_is_and_not_what() -> None:
    assert login(PAGES["mlflow"], "platform") == (
        "user admin, password: kubectl -n platform get secret slipway-mlflow"
        " -o go-template='{{index .data \"admin-password\" | base64decode}}'"
    )


def test_the_embedded_platforms_pages_are_where_they_are() -> None:
    with variables({"SLIPWAY_PLATFORM": "embedded", "SLIPWAY_MLFLOW_URL": "http://127.0.0.1:7"}):
        with opened("mlflow") as page:
            assert page.url == "http://127.0.0.1:7"
        with pytest.raises(SpecError, match="known: prefect, mlflow"), opened("hub"):
            pass


def test_a_platform_that_was_never_started_is_said(tmp_path_factory: pytest.TempPathFactory) -> None:
    own = {
        "SLIPWAY_PLATFORM": "embedded",
        "SLIPWAY_MLFLOW_URL": "",
        "SLIPWAY_HOME": str(tmp_path_factory.mktemp("h")),
    }
    with variables(own), pytest.raises(PlatformError, match="never started"), opened("mlflow"):
        pass


OUTSIDE = {
    "SLIPWAY_PLATFORM": "cluster",
    "SLIPWAY_HUB_PAGE": "https://hub.example.com",
    "SLIPWAY_MLFLOW_PAGE": "https://mlflow.example.com",
    "SLIPWAY_PREFECT_PAGE": "https://prefect.example.com",
    "SLIPWAY_MODELS_PAGE": "https://models.example.com",
    "SLIPWAY_MLFLOW_URL": "http://mlflow.slipway.svc:5000",
}


@pytest.mark.parametrize("name", ["hub", "mlflow", "prefect"])
def test_a_page_with_a_host_is_opened_there_and_nothing_is_forwarded(name: str) -> None:
    with variables(OUTSIDE), opened(name) as page:
        assert page.url == f"https://{name}.example.com"
        assert not page.forwarded
        assert "kubectl -n slipway get secret" in page.login


def test_a_model_is_below_the_host_of_the_models() -> None:
    inside = Endpoint("iris", "http://iris-live.serving.svc:9000", "iris-live.serving.svc:9500")
    with variables({**OUTSIDE, "SLIPWAY_SERVING_NAMESPACE": "serving"}):
        assert inside.outside.infer_url == (
            "https://models.example.com/seldon/serving/iris/v2/models/iris/infer"
        )
        assert outside_address("iris") == ("https://models.example.com/seldon/serving/iris/v2/models/iris")
        assert outside_address("hub") == "https://hub.example.com"
    with variables({"SLIPWAY_PLATFORM": "cluster", "SLIPWAY_MODELS_PAGE": ""}):
        assert inside.outside == inside
        assert outside_address("iris") == outside_address("hub") == ""


def test_a_page_without_a_host_is_forwarded_from_its_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, int]] = []

    @contextmanager
    def forward(namespace: str, target: str, port: int, here: int = 0) -> Iterator[str]:
        asked.append((namespace, target, port))
        yield "http://127.0.0.1:1"

    monkeypatch.setattr("tasks.opening.forwarded", forward)
    for name in ("hub", "mlflow"):
        with variables({"SLIPWAY_PLATFORM": "cluster"}), opened(name) as page:
            assert page.forwarded
    assert asked == [("slipway-notebooks", "service/proxy-public", 80), ("slipway", "service/mlflow", 5000)]


def test_links_lead_to_the_host_of_a_page() -> None:
    client, run = SimpleNamespace(api_url="http://prefect.slipway.svc:4200/api"), SimpleNamespace(id="r")
    with variables(OUTSIDE):
        assert Run("abc", "1").url == "https://mlflow.example.com/#/experiments/1/runs/abc"
        assert runs.page(client, run) == "https://prefect.example.com/runs/flow-run/r"  # type: ignore[arg-type]
    with variables({**OUTSIDE, "SLIPWAY_MLFLOW_PAGE": "", "SLIPWAY_PREFECT_PAGE": ""}):
        assert Run("abc", "1").url == "http://mlflow.slipway.svc:5000/#/experiments/1/runs/abc"
        assert runs.page(client, run).startswith("http://prefect.slipway.svc:4200/runs/")  # type: ignore[arg-type]
