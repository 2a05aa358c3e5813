"""The cluster under test: what KUBECONFIG names, else the development cluster of `make cluster`.

Commands run outside of it, in a network namespace that reaches its API server and nothing else.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.outside import Outside, find_kubeconfig, outside
from tests.cluster.second import Second, second_platform


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--charts", type=Path, help="folder with the charts that other projects publish")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker("cluster")


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The file of the cluster under test; an error says how to get one."""
    found = find_kubeconfig()
    if not found.is_file():
        pytest.exit(f"{found} does not exist: start a cluster with `make cluster`, or set KUBECONFIG.", 2)
    return found


@pytest.fixture(scope="session")
def charts(request: pytest.FixtureRequest) -> Path:
    """The folder of `--charts`; tests that need it are skipped without."""
    given: Path | None = request.config.getoption("--charts")
    if given is None:
        pytest.skip("needs the charts of other projects: `pytest tests/cluster --charts DIR`")
    return given.resolve()


@pytest.fixture(scope="session")
def cli(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """The command line, outside the cluster, with a home of its own."""
    with outside("slipway-cli", kubeconfig, tmp_path_factory.mktemp("home")) as place:
        answered = place.run("kubectl", "version", timeout=60)
        assert answered.returncode == 0, answered.stderr
        yield place


@pytest.fixture(scope="session")
def given_charts(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What `slipway bootstrap` is told of `--charts`: nothing where it is not given."""
    given: Path | None = request.config.getoption("--charts")
    return ("--charts", str(given.resolve())) if given else ()


@pytest.fixture(scope="session")
def platform_up(cli: Outside, given_charts: tuple[str, ...]) -> Outside:
    """The platform, as `slipway bootstrap` makes it; the command line speaks to it."""
    done = cli.slipway("bootstrap", *given_charts, timeout=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    return cli


@pytest.fixture
def second(cli: Outside, tmp_path: Path, given_charts: tuple[str, ...]) -> Iterator[Second]:
    """A platform that a test may kill and tear down; it is gone afterwards."""
    with second_platform(cli, tmp_path, given_charts) as made:
        yield made
