"""What prefect.yaml says is what the server has: nothing missing, nothing left over."""

import json

import httpx
import pytest
import yaml

from infra.local.state import read
from tasks.automations import NAME, ensure_automations
from tasks.deployments import TAG, prune
from tasks.pools import POOLS, make_pools, template
from tasks.prefect_api import ask
from tasks.settings import ROOT, Settings
from tasks.spec import MODELS

FILE = yaml.safe_load((ROOT / "prefect.yaml").read_text())
pytestmark = pytest.mark.platform


def names(api: str) -> set[str]:
    flows = {flow["id"]: flow["name"] for flow in httpx.post(f"{api}/flows/filter", json={}).json()}
    found = httpx.post(f"{api}/deployments/filter", json={}).json()
    return {f"{flows[deployment['flow_id']]}/{deployment['name']}" for deployment in found}


def test_every_deployment_of_the_file_is_registered(platform: Settings) -> None:
    wanted = {f"{entry['entrypoint'].rsplit(':', 1)[1]}/{entry['name']}" for entry in FILE["deployments"]}
    assert wanted <= names(platform.prefect_url)
    of_models = {
        f"{flow}/{path.stem}"
        for flow in ("retrain", "score", "release", "rollback")
        for path in MODELS.glob("*.yaml")
    }
    others = {"retrain/flight-delays-spark", "score/flight-delays-spark", "housekeeping/platform"}
    assert wanted == of_models | others
    assert read(platform.home).registered


def test_every_deployment_has_our_tag_a_known_pool_and_schedules_with_slugs() -> None:
    for entry in FILE["deployments"]:
        assert TAG in entry["tags"]
        assert entry["work_pool"]["name"] in POOLS
        assert all(schedule["slug"] for schedule in entry["schedules"])


@pytest.mark.parametrize("pool", POOLS)
def test_a_flow_run_of_a_pool_works_in_this_checkout(platform: Settings, pool: str) -> None:
    made = httpx.get(f"{platform.prefect_url}/work_pools/{pool}").json()
    assert made["type"] == "process"
    assert made["base_job_template"] == template(pool, "process")
    assert made["base_job_template"]["variables"]["properties"]["working_dir"]["default"] == str(ROOT)


def test_a_pool_changed_by_hand_is_brought_back(platform: Settings) -> None:
    url = f"{platform.prefect_url}/work_pools/spark"
    other = json.loads(json.dumps(template("spark", "process")))
    other["variables"]["properties"]["working_dir"]["default"] = "/"
    ask("PATCH", url, {"base_job_template": other}).raise_for_status()
    make_pools(platform.prefect_url, "process")
    assert httpx.get(url).json()["base_job_template"] == template("spark", "process")


def test_a_run_without_heartbeat_is_ended_by_one_automation(platform: Settings) -> None:
    """Its doing takes 90 s and more: tried by hand, not here."""
    ensure_automations(platform.prefect_url)
    found = httpx.post(f"{platform.prefect_url}/automations/filter", json={}).json()
    (ours,) = (automation for automation in found if automation["name"] == NAME)
    assert ours["enabled"]
    assert ours["actions"][0]["state"] == "CRASHED"


def test_deployments_and_schedules_that_left_the_file_are_removed_and_no_others(platform: Settings) -> None:
    api = platform.prefect_url
    flow = httpx.get(f"{api}/deployments/name/retrain/iris").json()
    for name, tags in (("left-the-file", [TAG]), ("made-by-hand", [])):
        body = {"name": name, "flow_id": flow["flow_id"], "tags": tags, "entrypoint": flow["entrypoint"]}
        ask("POST", f"{api}/deployments/", body).raise_for_status()
    stale = [{"slug": "left-the-file", "active": False, "schedule": {"cron": "0 0 1 1 *"}}]
    ask("POST", f"{api}/deployments/{flow['id']}/schedules", stale).raise_for_status()

    prune(api, FILE)

    assert "retrain/left-the-file" not in names(api)
    assert "retrain/made-by-hand" in names(api)
    by_hand = httpx.get(f"{api}/deployments/name/retrain/made-by-hand").json()["id"]
    ask("DELETE", f"{api}/deployments/{by_hand}").raise_for_status()
    assert httpx.get(f"{api}/deployments/name/retrain/iris").json()["schedules"] == []
    kept = httpx.get(f"{api}/deployments/name/retrain/flight-delays").json()["schedules"]
    assert [schedule["slug"] for schedule in kept] == ["weekly"]
