"""One exception tree: every message names the object, what was observed, and the next step."""


class SlipwayError(Exception):
    """Base of all errors that a user can act on.

    `obj` is what it is about (a file, a column, a server), `observed` what was seen there, `next_step` what
    to do about it.
    """

    exit_code = 1

    def __init__(self, obj: str, observed: str, next_step: str) -> None:
        self.obj, self.observed, self.next_step = obj, observed, next_step
        super().__init__(obj, observed, next_step)

    def __str__(self) -> str:
        return f"{self.obj}: {self.observed.rstrip('.')}. {self.next_step}"


class SpecError(SlipwayError):
    """A model spec, or an argument, that cannot be right. Refused before anything runs."""

    exit_code = 2


class SourceError(SlipwayError):
    """A source that cannot be read, or does not hold what the spec says."""


class PreparationError(SlipwayError):
    """A `prepare` or `target` function, or its engine, that failed."""


class DataError(SlipwayError):
    """Prepared data that breaks the spec's schema, or cannot be split or learnt from."""


class TrainingError(SlipwayError):
    """A candidate that could not be fitted or logged."""


class InsufficientEvidence(SlipwayError):
    """The gate could not decide: evidence is missing, not finite, or cannot be had."""


class RegistryError(SlipwayError):
    """The tracking server refused, or holds something that a release must not trust."""


class ServingError(SlipwayError):
    """A server that does not load, answer, or answer equally."""


class PlatformError(SlipwayError):
    """A part of the platform that is not there, or not well."""
