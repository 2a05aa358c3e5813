"""Addresses that a browser on this machine reaches."""

import socket

import pytest

from tasks.errors import PlatformError, SpecError
from tasks.opening import PAGES, free, login, opened
from tasks.reach import variables


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
