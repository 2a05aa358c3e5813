"""Where a backup lies, and the store that it is made of: a folder of this machine, or an S3."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks import store
from tasks.errors import SpecError


@dataclass(frozen=True)
class Folder:
    """Readable by this user only: dumps hold what the databases do."""

    root: Path

    def __str__(self) -> str:
        return str(self.root)

    def names(self) -> list[str]:
        return [
            path.relative_to(self.root).as_posix() for path in sorted(self.root.rglob("*")) if path.is_file()
        ]

    def put(self, name: str, source: Path) -> None:
        path = self.root / name
        with store.writing(str(path)):
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for folder in reversed(path.relative_to(self.root).parents):
                (self.root / folder).mkdir(mode=0o700, exist_ok=True)
            path.touch(mode=0o600)  # the root may be one that everybody reads
            shutil.copyfile(source, path)

    def get(self, name: str, target: Path) -> None:
        with store.reading(str(self.root / name)):
            shutil.copyfile(self.root / name, target)


@dataclass(frozen=True)
class Bucket:
    """Objects below `prefix` (empty: all), with a client whose address and keys are its own."""

    client: Any
    bucket: str
    prefix: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    def names(self) -> list[str]:
        return [name for name in self.at("") if name]

    def at(self, name: str) -> list[str]:
        """Names of the object `name`, or of those below it."""
        start, found = self.key(name).rstrip("/"), list[str]()
        with store.reading(str(self)):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start)
            found = [item["Key"] for page in pages for item in page.get("Contents", ())]
        found = [key for key in found if not key.endswith("/")]  # folders, as some programs mark them
        own = [key for key in sorted(found) if not start or key == start or key.startswith(f"{start}/")]
        return [key.removeprefix(f"{self.prefix}/") if self.prefix else key for key in own]

    def put(self, name: str, source: Path) -> None:
        with store.writing(f"{self}/{name}"):
            self.client.upload_file(str(source), self.bucket, self.key(name))

    def get(self, name: str, target: Path) -> None:
        with store.reading(f"{self}/{name}"):
            self.client.download_file(self.bucket, self.key(name), str(target))

    def delete(self, name: str) -> None:
        with store.writing(f"{self}/{name}"):
            self.client.delete_object(Bucket=self.bucket, Key=self.key(name))


def place(uri: str) -> Folder | Bucket:
    """The place that `uri` names. An S3 is reached as boto3 finds it: AWS_ENDPOINT_URL_S3 and the AWS_* keys."""
    if not store.is_s3(uri):
        if "://" in uri:
            raise SpecError(uri, "is neither a folder nor s3://", "Give DIR or s3://BUCKET/PREFIX.")
        return Folder(Path(uri).expanduser().absolute())
    import boto3

    bucket, prefix = store.split_s3(uri)
    # A session of its own: what it finds now stays, whatever this process is told of the platform's store later.
    return Bucket(boto3.session.Session().client("s3"), bucket, prefix.strip("/"))


def bucket_at(endpoint: str | None, region: str, bucket: str, key: str, secret: str) -> Bucket:
    import boto3

    client = boto3.session.Session().client(
        "s3", endpoint_url=endpoint, region_name=region, aws_access_key_id=key, aws_secret_access_key=secret
    )
    return Bucket(client, bucket)
