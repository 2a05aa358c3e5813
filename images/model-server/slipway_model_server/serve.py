"""`mlserver`, as a predictor that is replaced under load: python -m slipway_model_server.serve start FOLDER

MLServer cancels what arrives over gRPC in the moment in which it is told to end. So a connection is asked to end
while its server still answers: each after CONNECTION_SECONDS, and no request is lost (gRPC's MAX_CONNECTION_AGE).
Its client connects anew, and a Service takes it to the predictor that traffic has moved to.
"""

CONNECTION_SECONDS = 3
"""Less, with gRPC's tenth more, than a pod that goes away still answers (`seldon_manifest.DRAIN_SECONDS`)."""
GRACE_SECONDS = 20
"""For a request that is being answered when its connection is asked to end."""


def limit_connections() -> None:
    """Where MLServer keeps channel arguments: a private attribute, which no file and no variable can set."""
    from mlserver.settings import Settings

    Settings.__private_attributes__["_custom_grpc_server_settings"].default = {
        "grpc.max_connection_age_ms": CONNECTION_SECONDS * 1000,
        "grpc.max_connection_age_grace_ms": GRACE_SECONDS * 1000,
    }


if __name__ == "__main__":
    from mlserver.cli import main

    limit_connections()
    main()
