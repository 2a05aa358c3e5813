import httpx
import pytest

from tasks.errors import ServingError
from tasks.serving import Served, served_by


def test_what_answers_is_in_the_metadata() -> None:
    answer = httpx.Response(200, json={"parameters": {"version": "7", "digest": "sha256:ab"}})
    assert served_by(answer, "iris", "http://here", "Look.") == Served(7, "sha256:ab")


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, json={"name": "iris"}),
        httpx.Response(200, json={"parameters": None}),
        httpx.Response(200, json={"parameters": {"version": "seven", "digest": ""}}),
        httpx.Response(200, json=["iris"]),
        httpx.Response(502, text="no upstream"),
    ],
)
def test_another_server_is_refused_with_what_it_said(answer: httpx.Response) -> None:
    with pytest.raises(ServingError) as raised:
        served_by(answer, "iris", "http://here", "Look.")
    assert raised.value.obj == "model iris at http://here"
    assert f"({answer.status_code} {answer.text})" in raised.value.observed
