"""The MLServer runtime: its documented extension point, named in a model's `model-settings.json`."""

import asyncio
import os
from http import HTTPStatus
from typing import Any

from mlserver import MLModel, ModelSettings
from mlserver.errors import MLServerError
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataTensor,
    Parameters,
    ResponseOutput,
    TensorData,
)
from mlserver.utils import get_model_uri

from slipway_model_server.codec import BadRequest, Decoder, Encoder, Output, UnservableLabels
from slipway_model_server.predictor import Predictor
from slipway_model_server.trust import DATATYPES, ModelRefused, load_model


class Runtime(MLModel):  # type: ignore[misc]
    """Serves one model that MLflow stored, after checking the digest it was given and our table of types.

    `parameters.uri` is the model's folder, `parameters.extra` holds `digest` ("sha256:...") and `version`;
    SLIPWAY_MODEL_DIGEST and SLIPWAY_MODEL_VERSION win over them.

    While the file that SLIPWAY_DRAIN_FILE names is there, this server is about to end: it answers, and asks
    REST clients to open a new connection for their next request, which then reaches another server. (gRPC
    clients are told by the protocol itself.) Otherwise a request could meet a connection as it is closed.
    """

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings)
        # Until it is loaded a model can already be asked what it is.
        self._told: dict[str, str] = {}
        self._drain_file = os.environ.get("SLIPWAY_DRAIN_FILE", "")

    async def load(self) -> bool:
        """Check and load the model; a refused one is an error of status 422 and nothing of it has run."""
        extra = self.settings.parameters.extra or {}
        digest = os.environ.get("SLIPWAY_MODEL_DIGEST") or extra.get("digest") or ""
        version = os.environ.get("SLIPWAY_MODEL_VERSION") or extra.get("version") or ""
        folder = await get_model_uri(self.settings)
        try:
            # In a thread, so that the models already served go on answering.
            model = await asyncio.to_thread(load_model, folder, digest)
            self._encoder = Encoder(model.classes)
        except (ModelRefused, UnservableLabels) as error:
            raise MLServerError(
                f"model {self.name} refused: {error}", HTTPStatus.UNPROCESSABLE_ENTITY
            ) from error
        self._decoder = Decoder(model.columns)
        self._predictor = Predictor(model.pipeline)
        self._told = {"version": str(version), "digest": model.digest}
        self.inputs = [
            MetadataTensor(
                name=name,
                datatype=DATATYPES[column.type],
                shape=[-1],
                parameters=Parameters(type=column.type, nullable=column.nullable),
            )
            for name, column in model.columns.items()
        ]
        return True

    async def metadata(self) -> MetadataModelResponse:
        """The protocol's metadata, and which version this is: a release asks that without knowing columns."""
        found: MetadataModelResponse = await super().metadata()
        found.parameters = Parameters(**self._told)
        return found

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Outputs `prediction` and, for a classifier that knows it, `probability`."""
        try:
            frame = self._decoder.frame(payload.inputs)
            predicted, probability = self._predictor(frame)
        except BadRequest as error:
            raise MLServerError(str(error), HTTPStatus.BAD_REQUEST) from error
        except ValueError as error:
            # The frame fits the signature, so what the model objects to is a value in it, such as a category
            # that an encoder set to refuse new ones never saw.
            raise MLServerError(f"the model refuses these values: {error}", HTTPStatus.BAD_REQUEST) from error
        outputs = [self._encoder.prediction(predicted)]
        if probability is not None:
            outputs.append(self._encoder.probability(probability))
        # model_construct: what we made needs no validation, which would walk through every value again.
        return InferenceResponse.model_construct(
            model_name=self.name,
            model_version=self.version,
            parameters=Parameters.model_construct(headers=self._headers(payload), **self._told),
            outputs=[_tensor(output) for output in outputs],
        )

    def _headers(self, payload: InferenceRequest) -> dict[str, str] | None:
        """Of the answer: MLServer takes them out of the body. Only a REST request names its host."""
        asked = (payload.parameters.headers if payload.parameters else None) or {}
        if "host" in asked and self._drain_file and os.path.exists(self._drain_file):
            return {"Connection": "close"}
        return None


def _tensor(output: Output) -> ResponseOutput:
    fields: dict[str, Any] = {
        "name": output.name,
        "shape": output.shape,
        "datatype": output.datatype,
        "data": TensorData.model_construct(root=output.data),
    }
    if output.parameters:
        fields["parameters"] = Parameters.model_construct(**output.parameters)
    return ResponseOutput.model_construct(**fields)
