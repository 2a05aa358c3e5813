"""`make images [IMAGES="NAME ..."]`: python -m infra.images [NAME ...]

Without names those of the components that infra/platform.yaml enables.
REGISTRY=host/path pushes there; else a running development cluster gets the images. IMAGE_BUILDER=docker, podman
or buildah chooses the program. Prints the images by digest.
"""

import fcntl
import os
import sys

from infra.images.make import Work, make
from tasks.errors import SlipwayError
from tasks.settings import ROOT, settings


def say(message: str) -> None:
    sys.stderr.write(f"{message}\n")
    sys.stderr.flush()


def main(names: list[str]) -> int:
    if {"-h", "--help"} & set(names):
        sys.stdout.write(f"{__doc__}\n")
        return 0
    home = settings().home / "images"
    home.mkdir(parents=True, exist_ok=True)
    work = Work(
        root=ROOT,
        home=home,
        local=ROOT / "infra" / "images.local.yaml",
        registry=os.environ.get("REGISTRY", ""),
        builder=os.environ.get("IMAGE_BUILDER", ""),
        environment=os.environ,
        say=say,
    )
    with (home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another `make images` to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            images = make(work, names)
        except SlipwayError as error:
            say(str(error))
            return error.exit_code
    for image in images.values():
        sys.stdout.write(f"{image.reference}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
