"""The hub answers through its proxy and knows the trigger by the token that both have; the trigger is there."""

import httpx

from tasks.checks import run
from tasks.settings import settings, variable


def check() -> str:
    hub = f"{variable('HUB_URL')}/hub"
    with httpx.Client(trust_env=False, timeout=10) as client:
        version = client.get(f"{hub}/api/").raise_for_status().json()["version"]
        page = client.get(f"{hub}/login")
        if page.status_code >= 400:
            raise RuntimeError(f"the page to log in answers {page.status_code}")
        token = settings().hub_token.get_secret_value()
        who = client.get(f"{hub}/api/user", headers={"Authorization": f"token {token}"})
        who.raise_for_status()
        name = who.json()["name"]
        client.get(f"{variable('TRIGGER_URL')}/health").raise_for_status()
    return f"JupyterHub {version} answered through its proxy, and knows the service {name}"


if __name__ == "__main__":
    run(check)
