"""The store takes an object and gives it back; the bucket is made if it is not there."""

import os
import uuid

from tasks import store
from tasks.checks import run
from tasks.settings import settings, variable


def check() -> str:
    bucket = variable("BUCKET")
    client = store.client()
    if bucket not in {each["Name"] for each in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=bucket)
    name, body = f"verification/{uuid.uuid4().hex}", os.urandom(1 << 16)
    store.write_bytes(f"s3://{bucket}/{name}", body)
    try:
        if store.read_bytes(f"s3://{bucket}/{name}") != body:
            raise RuntimeError(f"s3://{bucket}/{name} at {settings().s3_endpoint} came back different")
    finally:
        client.delete_object(Bucket=bucket, Key=name)
    return f"put, read and deleted an object in s3://{bucket}"


if __name__ == "__main__":
    run(check)
