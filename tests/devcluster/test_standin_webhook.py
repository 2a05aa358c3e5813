"""What the stand-in's webhook refuses, and how it says so."""

import json
import ssl
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from infra.devcluster.seldon_standin import certificate, webhook
from infra.devcluster.seldon_standin.validation import problems

from .standin import predictor, seldon_deployment


@pytest.mark.parametrize(
    "accepted",
    [
        [predictor("v1")],
        [predictor("v1", 100)],
        [predictor("v1", 100), predictor("v2", 0)],
        [predictor("v1", 100), predictor("v2")],
        [predictor("v1", 30), predictor("v2", 70)],
        [predictor("v1", 100), predictor("v2", 10) | {"shadow": True}],
    ],
)
def test_traffic_of_whole_percents_is_accepted(accepted: list[dict[str, Any]]) -> None:
    assert problems({"protocol": "v2", "predictors": accepted}) == []


def without(key: str, wanted: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in wanted.items() if name != key}


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        ({"predictors": []}, "no predictors"),
        ({"predictors": [predictor("v1", 50), predictor("v2", 40)]}, "sum to 100"),
        ({"predictors": [predictor("v1"), predictor("v2")]}, "sum to 100"),
        ({"predictors": [predictor("v1", 60)]}, "100 for a single predictor"),
        ({"predictors": [predictor("v1", 50), predictor("v1", 50)]}, "Duplicate predictor name"),
        ({"predictors": [without("graph", predictor("v1"))]}, "container for Predictive Unit"),
        ({"predictors": [predictor("v1") | {"graph": {"name": "other"}}]}, "container for Predictive Unit"),
        (
            {
                "predictors": [
                    predictor("v1") | {"graph": {"name": "flights", "implementation": "MLFLOW_SERVER"}}
                ]
            },
            "modelUri required",
        ),
        ({"predictors": [predictor("v1") | {"shadow": True}]}, "only predictor"),
        ({"protocol": "v3", "predictors": [predictor("v1")]}, "Invalid protocol"),
        (
            {
                "predictors": [
                    predictor("v1") | {"graph": {"name": "flights", "children": [{"name": "flights"}]}}
                ]
            },
            "single element graphs",
        ),
    ],
)
def test_what_the_real_operator_refuses_is_refused(spec: dict[str, Any], named: str) -> None:
    assert any(named in problem for problem in problems(spec))


def review(spec: dict[str, Any]) -> dict[str, Any]:
    request = {"uid": "r-1", "object": seldon_deployment() | {"spec": spec}}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def test_over_https_a_bad_one_is_refused_and_a_good_one_is_not(tmp_path: Path) -> None:
    papers = certificate.ensured(tmp_path, "127.0.0.1")
    server = webhook.serve("127.0.0.1", 0, papers)
    trusting = ssl.create_default_context(cadata=papers.pem.decode())

    def ask(spec: dict[str, Any]) -> dict[str, Any]:
        url = f"https://127.0.0.1:{server.server_port}{webhook.PATH}?timeout=10s"
        request = urllib.request.Request(url, json.dumps(review(spec)).encode())
        with urllib.request.urlopen(request, context=trusting, timeout=10) as answer:
            found: dict[str, Any] = json.load(answer)["response"]
            return found

    try:
        assert ask({"predictors": [predictor("v1")]}) == {"uid": "r-1", "allowed": True}
        refused = ask({"predictors": [predictor("v1", 50), predictor("v2", 40)]})
    finally:
        server.shutdown()
        server.server_close()
    assert not refused["allowed"]
    assert (refused["status"]["code"], refused["status"]["reason"]) == (422, "Invalid")
    assert 'spec: Invalid value: "v1": Traffic must sum to 100' in refused["status"]["message"]
    (cause,) = refused["status"]["details"]["causes"]
    assert (cause["field"], cause["reason"]) == ("spec", "FieldValueInvalid")


def test_the_certificate_is_kept_until_it_no_longer_fits(tmp_path: Path) -> None:
    first = certificate.ensured(tmp_path, "127.0.0.1").pem
    assert certificate.ensured(tmp_path, "127.0.0.1").pem == first
    assert certificate.ensured(tmp_path, "10.111.0.1").pem != first
    assert (tmp_path / "webhook.key").stat().st_mode & 0o077 == 0
