from typing import Any

import pytest

from tasks.pods import failing, trouble


def container(name: str = "c", ready: bool = False, restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state}


def pod(*containers: dict[str, Any], init: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    status = {"containerStatuses": list(containers), "initContainerStatuses": init or []}
    return {"metadata": {"name": "p"}, "status": status}


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (pod(container(waiting={"reason": "ContainerCreating"})), []),
        (pod(container(restarts=1, waiting={"reason": "CrashLoopBackOff"})), ["c"]),
        (pod(container(terminated={"exitCode": 3, "reason": "Error"})), ["c"]),
        (pod(container(terminated={"exitCode": 0, "reason": "Completed"})), []),
        (pod(container(ready=True, restarts=4, running={})), []),
        (
            pod(container(), init=[container("migrate", terminated={"exitCode": 1, "reason": "Error"})]),
            ["migrate"],
        ),
        ({"metadata": {"name": "p"}}, []),
    ],
)
def test_the_log_of_what_fails_is_wanted_also_of_what_comes_before(
    found: dict[str, Any], names: list[str]
) -> None:
    assert failing(found) == names


def test_what_is_wrong_is_said_in_the_words_of_the_kubelet() -> None:
    crash = container(restarts=2, waiting={"reason": "CrashLoopBackOff", "message": "back-off 10s"})
    assert trouble([pod(crash)]) == "p/c: CrashLoopBackOff back-off 10s"
