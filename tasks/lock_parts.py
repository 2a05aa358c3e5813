"""The parts of infra/platform.yaml: what each section of the lock may hold. `platform_lock` is the whole."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]{0,51}[a-z0-9])?$")]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Repository = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)+$")]
Version = Annotated[str, StringConstraints(pattern=r"^[0-9]+\.[0-9]+$")]
Url = Annotated[str, StringConstraints(pattern=r"^(https?|oci)://[^\s]*[^\s/]$")]
Mirror = Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*$")]
Checksum = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
File = Annotated[str, StringConstraints(pattern=r"^[^/.][^/]*(/[^/.][^/]*)*$")]
Several = BeforeValidator(lambda given: (given,) if isinstance(given, str) else tuple(given))
"""One may be written without a list."""
Files = Annotated[tuple[File, ...], Several]
BUILT = ("flow", "flow-spark", "mlflow", "model-server", "notebook", "notebook-spark")
"""Images that `make images` makes."""
LOADED = "docker.io/slipway"
"""Repository of those that no registry has: nodes have them loaded."""
NOTEBOOKS = "notebooks"
"""The component without which there are no notebooks, nor their namespaces."""
OF_NOTEBOOKS = ("flow-spark", "notebook", "notebook-spark")
"""Images of users' servers and of their executors, whose namespaces housekeeping does not see into."""
Role = Literal["platform", "training", "serving", "notebooks", "executors"]
"""A namespace, by the name that `namespaces` gives it."""
Check = Literal["postgres", "object-store", "mlflow", "prefect", "workers", "jupyterhub", "seldon-core"]


class Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Namespaces(Part):
    platform: Name
    training: Name
    serving: Name
    notebooks: Name = Field(default_factory=lambda given: f"{given.get('platform', '')}-notebooks")
    executors: Name = Field(default_factory=lambda given: f"{given.get('platform', '')}-executors")

    @model_validator(mode="after")
    def _apart(self) -> "Namespaces":
        names = list(self.model_dump().values())
        if len(set(names)) < len(names):
            raise ValueError("the namespaces must differ: their rights do")
        return self


class Store(Part):
    """Where objects lie. `external`: an S3 whose keys the user put into the Secret slipway-s3-admin."""

    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^/\s]+$")]
    region: str = "us-east-1"
    external: bool = False


class Postgres(Part):
    """`external`: a server whose two URIs the user put into the Secret slipway-postgres."""

    host: str
    port: int = Field(default=5432, gt=0, lt=65536)
    external: bool = False


class Kubernetes(Part):
    """Minor versions of the cluster that will do."""

    least: Version = "1.30"
    most: Version = "1.36"


class Registry(Part):
    """Where nodes get images from."""

    mirror: Mirror | None = None
    """Stands for the registry of every image; each is below it at its own path."""
    pull_secret: Name | None = None
    """Secret of the platform's namespace, of type kubernetes.io/dockerconfigjson; the others get a copy."""
    clean: bool = False
    """Whether housekeeping deletes images of ours there that nothing of this platform refers to any more."""


class Notify(Part):
    """Who hears of a scheduled run that failed or is held. Addresses and passwords are in the user's Secrets."""

    webhook: Name | None = None
    """Secret of the platform's namespace with the key `url`."""
    email: Name | None = None
    """Secret with the keys `server`, `from` and `to`."""
    ports: tuple[Annotated[int, Field(gt=0, lt=65536)], ...] = (443, 465, 587)
    """Where they listen: else the Prefect server reaches nothing but its database."""

    @property
    def reached(self) -> list[int]:
        return list(self.ports) if self.webhook or self.email else []


class Image(Part):
    image: Repository
    tag: str
    digest: Digest | None = None

    @property
    def reference(self) -> str:
        return f"{self.image}@{self.digest}"

    def of(self, mirror: str) -> "Image":
        """The same image, in `mirror` instead of its registry."""
        return self.model_copy(update={"image": f"{mirror}/{self.image.partition('/')[2]}"})


class Published(Part):
    """A chart that its project publishes, at the component's version."""

    repository: Url
    chart: Name
    sha256: Checksum | None = None
    """Of the archive. Without it only a folder of `--charts` will do."""
    without: tuple[File, ...] = ()
    """Files of the chart that are left out."""


class Component(Part):
    """One line of the platform. With a chart it is a Helm release of that name; without, a step of its own."""

    name: Name
    chart: File | None = None
    """A folder of this repository."""
    published: Published | None = None
    values: Files = ()
    """What a published chart is told: files of this repository, later ones over earlier ones, with markers."""
    namespace: Role = "platform"
    version: str = ""
    licence: str = ""
    images: tuple[str, ...] = ()
    address: str = ""
    verify: Check | None = None
    pools: tuple[str, ...] = ()
    timeout: int = Field(default=600, gt=0)
    """Seconds that its pods may take until they are ready: a node may have to fetch images."""
    enabled: bool = True
    """Whether the platform has it at all."""
    left_out: str = ""
    """What a person who wants it does first, if it is not `enabled`."""
    installed: bool = True
    """Whether bootstrap installs it, or only looks whether it is there and works."""
