"""What goes into an image, what a build is told of this machine, what an image weighs: no builder runs here."""

import io
import json
import os
import re
import subprocess
import tarfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from infra.images import archive, delivery, host, inputs, lockfile
from infra.images.archive import Entry
from infra.images.builders import candidates
from infra.images.lockfile import Built
from infra.images.make import chosen, project_version, wanted
from tasks.errors import PlatformError, SpecError
from tasks.lock_parts import LOADED
from tasks.platform_lock import load_lock
from tasks.settings import ROOT

DOCKERFILE = """
# a comment
FROM docker.io/library/python:3.11-slim AS tools
RUN echo "it's" \\
    # explained
    && true
FROM tools AS dependencies
COPY uv.lock pyproject.toml ./
FROM docker.io/library/python:3.11-slim AS code
COPY flows flows/
FROM docker.io/library/debian:12 AS java
COPY --from=tools /usr/bin/tini /usr/bin/tini
COPY jars.txt /
FROM tools AS flow
COPY --from=dependencies /venv /venv
COPY --chown=1000:1000 --from=code /flows /flows
FROM flow AS spark
COPY --from=java /java /java
"""


@pytest.mark.parametrize(
    ("stage", "sources", "bases"),
    [
        ("tools", (), ("docker.io/library/python:3.11-slim",)),
        ("flow", ("flows", "pyproject.toml", "uv.lock"), ("docker.io/library/python:3.11-slim",)),
        (
            "spark",
            ("flows", "jars.txt", "pyproject.toml", "uv.lock"),
            ("docker.io/library/debian:12", "docker.io/library/python:3.11-slim"),
        ),
    ],
)
def test_an_image_is_made_from_what_its_stage_and_those_before_it_copy(
    stage: str, sources: tuple[str, ...], bases: tuple[str, ...]
) -> None:
    assert inputs.sources(DOCKERFILE, stage) == sources
    assert inputs.bases(DOCKERFILE, stage) == bases


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "checkout"
    for name in ("uv.lock", "pyproject.toml", "jars.txt", "flows/a.py", "flows/deep/b.py", "README.md"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    for name in (
        "flows/__pycache__/a.pyc",
        "flows/.hidden/x",
        "flows/.venv/bin/python",
        "flows/x.egg-info/y",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def test_caches_and_hidden_files_do_not_go_into_an_image(checkout: Path) -> None:
    found = [str(file) for file in inputs.files(checkout, DOCKERFILE, "flow")]
    assert found == ["flows/a.py", "flows/deep/b.py", "pyproject.toml", "uv.lock"]


@pytest.mark.parametrize(
    ("change", "flow", "spark"),
    [
        ("nothing", False, False),
        ("flows/a.py", True, True),
        ("flows/new.py", True, True),
        ("jars.txt", False, True),
        ("README.md", False, False),
        ("flows/__pycache__/a.pyc", False, False),
        ("mode", True, True),
        ("instruction of java", False, True),
        ("comment", False, False),
    ],
)
def test_the_tag_changes_with_what_goes_in_and_with_nothing_else(
    checkout: Path, change: str, flow: bool, spark: bool
) -> None:
    before = {stage: inputs.inputs_hash(checkout, DOCKERFILE, stage) for stage in ("flow", "spark")}
    text = DOCKERFILE
    if change == "mode":
        (checkout / "flows/a.py").chmod(0o755)
    elif change == "instruction of java":
        text = text.replace("COPY jars.txt /", "COPY jars.txt /\nENV A=1")
    elif change == "comment":
        text = text.replace("# a comment", "# another")
    elif change != "nothing":
        (checkout / change).write_text("changed")
    after = {stage: inputs.inputs_hash(checkout, text, stage) for stage in ("flow", "spark")}
    assert (before["flow"] != after["flow"], before["spark"] != after["spark"]) == (flow, spark)


def test_a_source_that_is_not_there_is_named(checkout: Path) -> None:
    (checkout / "uv.lock").unlink()
    with pytest.raises(PlatformError, match=r"uv\.lock: .*not there"):
        inputs.files(checkout, DOCKERFILE, "flow")


def test_the_context_holds_the_inputs_with_fixed_times_and_modes(checkout: Path, tmp_path: Path) -> None:
    (checkout / "flows/a.py").chmod(0o600)
    context = tmp_path / "context"
    context.mkdir()
    inputs.copy_inputs(checkout, DOCKERFILE, "flow", context)
    found = sorted(str(path.relative_to(context)) for path in context.rglob("*") if path.is_file())
    assert found == ["flows/a.py", "flows/deep/b.py", "pyproject.toml", "uv.lock"]
    assert (context / "flows/a.py").stat().st_mode & 0o777 == 0o644
    assert {path.stat().st_mtime for path in context.rglob("*")} == {inputs.MTIME}


@pytest.mark.parametrize("target", inputs.TARGETS, ids=lambda target: target.name)
def test_the_images_of_this_repository_have_what_they_copy(target: inputs.Target) -> None:
    text = target.text(ROOT)
    assert inputs.files(ROOT, text, target.stage)
    bases = inputs.bases(text, target.stage)
    assert bases[0] == "docker.io/library/python:3.11-slim"
    assert all("@sha256:" in base for base in bases[1:])
    last = inputs.needed(inputs.stages(text), target.stage)[-1].text
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE)[-1] in ("1000", "1000:1000")
    assert "org.opencontainers.image.revision" in last


@pytest.mark.parametrize("target", inputs.TARGETS, ids=lambda target: target.name)
def test_version_and_revision_stand_in_the_text_that_is_built(target: inputs.Target) -> None:
    text = inputs.filled_in(target.text(ROOT), {"VERSION": "1.2.3", "REVISION": "abc+"})
    last = inputs.needed(inputs.stages(text), target.stage)[-1].text
    assert 'org.opencontainers.image.version="1.2.3"' in last
    assert 'org.opencontainers.image.revision="abc+"' in last
    assert ('SLIPWAY_COMMIT="abc+"' in last) is target.name.startswith(("flow", "notebook"))


def test_a_change_of_the_code_leaves_the_layers_of_the_dependencies(checkout: Path) -> None:
    for target in inputs.TARGETS:
        text = target.text(ROOT)
        names = {stage.name for stage in inputs.stages(text)}
        for stage in names & {"build", "dependencies", "spark", "java", "tools"}:
            copied = inputs.sources(text, stage)
            assert not [one for one in copied if one in ("flows", "tasks") or one.endswith("model_server")], (
                stage
            )


def commit(root: Path, message: str) -> str:
    def git(*arguments: str) -> str:
        identity = {
            f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        done = subprocess.run(
            ["git", *arguments], cwd=root, env={**os.environ, **identity}, capture_output=True, text=True,
            check=True,
        )  # fmt: skip
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", "--all")
    git("commit", "--quiet", "--message", message)
    return git("rev-parse", "HEAD")


def test_the_revision_is_the_last_commit_that_touched_the_inputs(checkout: Path) -> None:
    assert lockfile.revision(checkout, ["flows"]) == "", "no checkout of git"
    first = commit(checkout, "first")
    (checkout / "README.md").write_text("more")
    commit(checkout, "of something else")
    assert lockfile.revision(checkout, ["flows", "uv.lock"]) == first
    (checkout / "flows/a.py").write_text("changed")
    assert lockfile.revision(checkout, ["flows", "uv.lock"]) == f"{first}+"
    third = commit(checkout, "third")
    assert lockfile.revision(checkout, ["flows", "uv.lock"]) == third


def test_a_machine_with_nothing_set_gives_a_build_nothing(tmp_path: Path) -> None:
    assert host.secrets({"PATH": "/bin", "HOME": str(tmp_path)}, tmp_path, tmp_path) == {}


@pytest.mark.parametrize(
    ("environment", "wanted", "unwanted"),
    [
        ({"PIP_INDEX_URL": "https://m/simple"}, ["PIP_INDEX_URL=https://m/simple"], []),
        ({"https_proxy": "http://p:1", "NO_PROXY": "a,b"}, ["https_proxy=http://p:1", "NO_PROXY=a,b"], []),
        ({"UV_INDEX_CORP_PASSWORD": "a'b"}, ["UV_INDEX_CORP_PASSWORD='a'\"'\"'b'"], []),
        ({"UV_DEFAULT_INDEX": "corp=https://m/s"}, ["PIP_INDEX_URL=https://m/s"], []),
        ({"UV_DEFAULT_INDEX": "https://m/s?a=b"}, ["PIP_INDEX_URL='https://m/s?a=b'"], []),
        ({"PIP_INDEX_URL": "file:///wheels", "PIP_FIND_LINKS": "/wheels", "PIP_RETRIES": "2"},
         ["PIP_RETRIES=2"], ["wheels"]),
        ({"UV_CACHE_DIR": "/c", "AWS_SECRET_ACCESS_KEY": "s", "PIP_RETRIES": "2"},
         ["PIP_RETRIES=2"], ["/c", "AWS"]),
        ({"MAVEN_CENTRAL": "https://m/maven2"}, ["MAVEN_CENTRAL=https://m/maven2"], []),
    ],
)  # fmt: skip
def test_a_build_is_told_how_this_machine_reaches_indexes(
    environment: dict[str, str], wanted: list[str], unwanted: list[str], tmp_path: Path
) -> None:
    text = host.secrets(environment, tmp_path, tmp_path)["env"].decode()
    for line in wanted:
        assert f"export {line}\n" in text
    for part in unwanted:
        assert part not in text


def test_configuration_files_and_certificates_come_under_their_place_in_the_build(tmp_path: Path) -> None:
    (tmp_path / ".config/pip").mkdir(parents=True)
    (tmp_path / "ca.pem").write_text("CERTIFICATE")
    (tmp_path / "pip.conf").write_text(
        f"[global]\ncert = {tmp_path}/ca.pem\nindex-url = https://old/simple\n"
    )
    (tmp_path / ".config/pip/pip.conf").write_text(
        "[global]\nindex-url = https://u:p@m/simple\ncache-dir = /x\n[install]\nfind-links = /wheels\n"
    )
    (tmp_path / ".config/uv").mkdir()
    (tmp_path / ".config/uv/uv.toml").write_text('[[index]]\nurl = "https://m/uv"\ndefault = true\n')
    (tmp_path / ".netrc").write_text("machine m login a password b")
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2/settings.xml").write_text(SETTINGS)
    found = host.secrets({}, tmp_path, tmp_path)
    assert found["ca"] == b"CERTIFICATE"
    assert found["pip"] == b"[global]\nindex-url = https://u:p@m/simple\n"
    assert found["netrc"] == b"machine m login a password b"
    assert b'url = "https://m/uv"' in found["uv"]
    lines = found["env"].decode().splitlines()
    for line in (
        "SSL_CERT_FILE=/run/secrets/ca", "PIP_CONFIG_FILE=/run/secrets/pip", "UV_CONFIG_FILE=/run/secrets/uv",
        "NETRC=/run/secrets/netrc", "MAVEN_CENTRAL=https://m/maven", "MAVEN_USER=anna", "MAVEN_PASSWORD=secret",
    ):  # fmt: skip
        assert f"export {line}" in lines
    assert not [line for line in lines if "PIP_INDEX_URL" in line], "pip has its own"


SETTINGS = """<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0">
  <mirrors>
    <mirror><id>block</id><mirrorOf>external:http:*</mirrorOf><url>http://0.0.0.0/</url><blocked>true</blocked></mirror>
    <mirror><id>m</id><mirrorOf>*,!local</mirrorOf><url>https://m/maven</url></mirror>
  </mirrors>
  <servers><server><id>m</id><username>anna</username><password>secret</password></server></servers>
</settings>"""


@pytest.mark.parametrize(
    ("mirror_of", "taken"), [("central", True), ("*", True), ("*,!central", False), ("jboss", False)]
)
def test_only_a_mirror_of_maven_central_is_taken(mirror_of: str, taken: bool) -> None:
    assert bool(host.maven_mirror(SETTINGS.replace("*,!local", mirror_of))) is taken


def test_the_size_is_what_the_layers_leave() -> None:
    site = "opt/slipway/.venv/lib/python3.11/site-packages"
    layers = (
        (
            Entry("usr/bin/python3.11", 7),
            Entry("etc/passwd", 1),
            Entry("var/cache/x/y", 9),
            Entry("tmp/z", 5),
        ),
        (Entry(f"{site}/numpy/a.so", 20), Entry(f"{site}/numpy.libs/b.so", 10), Entry("etc/passwd", 2)),
        (Entry("var/cache/.wh.x", 0), Entry("tmp/.wh..wh..opq", 0), Entry("opt/slipway/flows/a.py", 3)),
        (Entry(f"{site}/_polars_runtime_32/p.so", 4), Entry(f"{site}/polars/a.py", 1)),
        (Entry("opt/java/lib/modules", 8),),
    )
    sizes = archive.unpacked(layers)
    assert archive.parts(sizes) == [
        ("numpy", 30), ("base", 9), ("/opt/java", 8), ("polars", 5), ("/opt/slipway", 3),
    ]  # fmt: skip
    millions = {path: size * 1_000_000 for path, size in sizes.items()}
    assert archive.size_line(millions, 50, shown=2) == (
        "55 MB unpacked (wanted: at most 50): numpy 30, base 9, 3 others 16"
    )


def oci_archive(path: Path, layers: list[dict[str, bytes]], nested: bool = False) -> str:
    """Write an OCI archive; with `nested`, as docker does: an index in the index, and an attestation."""
    blobs: dict[str, bytes] = {}

    def add(content: bytes) -> dict[str, Any]:
        digest = sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"digest": f"sha256:{digest}", "size": len(content)}

    def layer(files: dict[str, bytes]) -> bytes:
        return tar(files)

    labels = {"org.opencontainers.image.revision": "abc"}
    config = add(json.dumps({"config": {"Labels": labels}}).encode())
    manifest = add(json.dumps({"config": config, "layers": [add(layer(one)) for one in layers]}).encode())
    index: dict[str, Any] = {"manifests": [manifest]}
    if nested:
        attestation = {**add(b"{}"), "platform": {"os": "unknown"}}
        index = {"manifests": [add(json.dumps({"manifests": [attestation, manifest]}).encode())]}
    path.write_bytes(tar({"index.json": json.dumps(index).encode(), **blobs}))
    return str(manifest["digest"])


def tar(files: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as opened:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    return written.getvalue()


@pytest.mark.parametrize("nested", [False, True])
def test_an_archive_tells_its_digest_revision_and_files(tmp_path: Path, nested: bool) -> None:
    digest = oci_archive(tmp_path / "a.tar", [{"./etc/passwd": b"ab"}, {"opt/x": b"abc"}], nested)
    image = archive.read(tmp_path / "a.tar")
    assert (image.digest, image.revision) == (digest, "abc")
    assert archive.unpacked(image.layers) == {"etc/passwd": 2, "opt/x": 3}


def test_a_broken_archive_is_named_with_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(b"half")
    with pytest.raises(PlatformError, match=r"a\.tar: is no OCI archive.*make images"):
        archive.read(tmp_path / "a.tar")


def test_bootstrap_reads_what_is_written_here(tmp_path: Path) -> None:
    local = tmp_path / "images.local.yaml"
    built = {
        target.name: Built(f"{LOADED}/{target.name}", "0.1.0-abc", f"sha256:{'1' * 64}")
        for target in inputs.TARGETS
    }
    lockfile.write(local, built)
    assert lockfile.read(local) == built
    for name in built:
        assert load_lock(local=local).image(name) == f"docker.io/slipway/{name}@sha256:{'1' * 64}"
    before = local.stat().st_mtime_ns
    lockfile.write(local, built)
    assert local.stat().st_mtime_ns == before, "written though nothing changed"


def test_an_image_that_does_not_exist_is_refused_with_those_that_do() -> None:
    enabled = wanted(load_lock())
    assert [target.name for target in chosen(["flow", "notebook"], enabled)] == ["flow", "notebook"]
    assert {target.name for target in chosen([], enabled)} == {"flow", "flow-spark", "mlflow", "model-server"}
    with pytest.raises(SpecError, match=r"no image 'spark'.*model-server, flow, mlflow, flow-spark"):
        chosen(["spark"], enabled)


def test_what_was_pushed_is_not_pushed_again(tmp_path: Path) -> None:
    pushed = Built("r.example/a/flow", "0.1.0-abc", "sha256:there")

    def builder() -> Any:
        raise AssertionError("nothing is to be pushed")

    registry = delivery.Registry("r.example/a/", {"flow": pushed}, builder)
    assert registry.repository == "r.example/a"
    assert registry.bring(Built("r.example/a/flow", "0.1.0-abc", "sha256:here"), tmp_path) == pushed


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("docker", [("docker",)]),
        ("buildah", [("buildah", "--storage-driver", "overlay"), ("buildah", "--storage-driver", "vfs")]),
    ],
)
def test_each_builder_has_its_ways_to_be_called(name: str, commands: list[tuple[str, ...]]) -> None:
    assert [builder.command for builder in candidates(name)] == commands


def test_every_image_has_the_version_of_the_project() -> None:
    assert f'version = "{project_version(ROOT)}"' in (ROOT / "pyproject.toml").read_text()
