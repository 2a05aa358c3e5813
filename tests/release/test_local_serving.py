"""The model server by itself: what it serves after a restart, and one bad model among good ones."""

from flows.release import release
from tasks import artifacts
from tasks.serving import Predictor, serving
from tasks.serving.local import LocalServing, model_settings, parse_settings
from tasks.settings import settings
from tasks.spec_schema import ServingSpec
from tests.release.model import go_live, name_of, publish


def test_settings_are_read_as_they_were_written() -> None:
    predictor = Predictor(12, "sha256:ab", "/models/with space")

    assert parse_settings(model_settings("iris", predictor)) == predictor


def test_a_restarted_server_serves_what_was_live_but_not_what_was_altered(home, specs) -> None:  # type: ignore[no-untyped-def]
    server = LocalServing.of(settings())
    good, bad = specs("good"), specs("bad")
    go_live(publish(good))
    altered = publish(bad, 0.01, own=True)
    go_live(altered)
    for path in (good, bad):  # as after a restart: told, and not loaded
        server._ask("POST", f"/v2/repository/models/{name_of(path)}/unload").raise_for_status()
    stored = artifacts.download(altered) / "model.skops"
    whole = stored.read_bytes()
    stored.write_bytes(whole + b"x")

    failed = server.load_told()

    assert list(failed) == [name_of(bad)]
    assert "the files have changed" in failed[name_of(bad)]
    assert serving().answering(name_of(good)) is not None
    assert serving().answering(name_of(bad)) is None
    stored.write_bytes(whole)
    assert server.load_told() == {}
    assert release(bad).outcome == "already live"


def test_candidates_of_one_model_are_not_those_of_another(home, specs) -> None:  # type: ignore[no-untyped-def]
    server, path, other = serving(), specs("one"), specs("one")
    version, others = publish(path), publish(other)
    for each in (version, others):
        server.start_candidate(each.model, Predictor(each.number, each.digest or "", each.uri), ServingSpec())

    server.retire_candidates(name_of(path))

    asked = LocalServing.of(settings())._ask
    assert asked("GET", f"/v2/models/{name_of(path)}-candidate-1/ready").status_code == 404
    assert asked("GET", f"/v2/models/{name_of(other)}-candidate-1/ready").status_code == 200
    server.retire_candidates(name_of(other))
    assert server.answering(name_of(path)) is None
    assert name_of(path) not in server.models()
