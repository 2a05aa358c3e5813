"""Build time only: what the spark extra adds to the environment, and the jars that let Spark read and write S3.

    python add_spark.py only BASE.txt WITH_EXTRA.txt     requirements of the second file that the first has not
    python add_spark.py jars LIST FOLDER                 fetch LIST from Maven Central; checked by SHA-256

The jars are hadoop-aws and the parts of the AWS SDK it uses, 13 MB, instead of the SDK's bundle of 686 MB; without
what Spark ships in newer versions (Netty, Apache HTTP client, SLF4J). Natives of other systems are taken out.
MAVEN_CENTRAL names a mirror; MAVEN_USER and MAVEN_PASSWORD its credentials.
"""

import base64
import hashlib
import os
import platform
import re
import sys
import urllib.request
import zipfile
from pathlib import Path

CENTRAL = "https://repo1.maven.org/maven2"
OTHER_SYSTEMS = ("*-osx-*", "*-windows-*", "*-linux-riscv64*", "*-kqueue-*")
NATIVE = re.compile(r"\.(so|dll|dylib|jnilib)$|\.so\.|librocksdbjni")


def main() -> None:
    match sys.argv[1:]:
        case ["only", base, extra]:
            have = set(requirements(Path(base).read_text()))
            wanted = requirements(Path(extra).read_text())
            sys.stdout.write("".join(text for text in wanted if text not in have))
        case ["jars", listed, folder]:
            for sha256, path in (line.split() for line in Path(listed).read_text().splitlines()):
                fetch(sha256, path, Path(folder))
            for jar in sorted(Path(folder).glob("*.jar")):
                shrink(jar)
        case _:
            sys.exit(__doc__)


def requirements(text: str) -> list[str]:
    """One string a requirement, with its hashes, without comments."""
    lines = [line for line in text.splitlines(keepends=True) if not line.lstrip().startswith("#")]
    return re.findall(r"^\S.*?(?=^\S|\Z)", "".join(lines), re.MULTILINE | re.DOTALL)


def fetch(sha256: str, path: str, folder: Path) -> None:
    request = urllib.request.Request(f"{os.environ.get('MAVEN_CENTRAL', CENTRAL).rstrip('/')}/{path}")  # noqa: S310 - the user's mirror
    if user := os.environ.get("MAVEN_USER"):
        pair = base64.b64encode(f"{user}:{os.environ.get('MAVEN_PASSWORD', '')}".encode()).decode()
        request.add_header("Authorization", f"Basic {pair}")
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        content = answer.read()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        sys.exit(f"{path}: SHA-256 is {found}, s3a-jars.txt says {sha256}")
    (folder / path.rpartition("/")[2]).write_bytes(content)


def shrink(jar: Path) -> None:
    """Take out of the jar native libraries that this system cannot load; drop a jar of nothing else."""
    if any(jar.match(pattern) for pattern in OTHER_SYSTEMS):
        jar.unlink()
        return
    with zipfile.ZipFile(jar) as opened:
        members = opened.infolist()
        kept = [member for member in members if not foreign(member.filename)]
        if len(kept) == len(members):
            return
        beside = jar.with_suffix(".part")
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as written:
            for member in kept:
                written.writestr(member, opened.read(member))
    beside.replace(jar)


def foreign(name: str) -> bool:
    """Whether a jar's member is a native library for another system, C library or processor than this one."""
    lowered = name.lower()
    if not NATIVE.search(lowered):
        return False
    if "musl" in lowered or "linux" not in lowered:
        return True
    ours = {"x86_64": ("x86_64", "amd64", "linux64"), "aarch64": ("aarch64",)}.get(platform.machine(), ())
    return bool(ours) and not any(part in lowered for part in ours)


if __name__ == "__main__":
    main()
