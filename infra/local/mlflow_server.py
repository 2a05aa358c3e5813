"""MLflow's tracking server in one process.

`mlflow server` imports MLflow twice (the command, then the server it starts: 7 s of processor time each) and
runs ten job processes for evaluating language models. This does what that command does with one worker:
stores made and migrated, security middleware on, the same app.
"""

import argparse
import logging
import os
from pathlib import Path


def migrate(database: Path, url: str, version: str) -> None:
    """Bring the database that another MLflow release wrote to this one's schema."""
    marker = database.with_suffix(".version")
    if database.exists() and (not marker.exists() or marker.read_text() != version):
        from mlflow.db import upgrade

        upgrade.main([url], standalone_mode=False)  # the command `mlflow db upgrade`
    marker.write_text(version)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--database", type=Path, required=True)
    arguments.add_argument("--artifacts", type=Path, required=True)
    given = arguments.parse_args()

    url, root = f"sqlite:///{given.database}", given.artifacts.as_uri()
    given.artifacts.mkdir(parents=True, exist_ok=True)
    # MLflow's server reads these when it is imported (`mlflow server` hands them to its workers so).
    os.environ |= {
        "_MLFLOW_SERVER_FILE_STORE": url,
        "_MLFLOW_SERVER_REGISTRY_STORE": url,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": root,
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{given.port},localhost:{given.port}",
    }
    import mlflow
    import uvicorn
    from mlflow.server.handlers import initialize_backend_stores

    migrate(given.database, url, mlflow.__version__)
    initialize_backend_stores(url, url, root)
    from mlflow.server.fastapi_app import app

    logging.getLogger("alembic").setLevel(logging.WARNING)
    uvicorn.run(app, host="127.0.0.1", port=given.port, log_level="warning")


if __name__ == "__main__":
    main()
