"""A flow that does nothing: that it ran says that a pool, its worker, the image and the server fit together."""

from prefect import flow


@flow(name="verification", flow_run_name="verification")
def verification() -> str:
    return "ran"
