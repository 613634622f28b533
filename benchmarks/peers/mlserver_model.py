"""The example model in MLServer: `mlserver start FOLDER`, where FOLDER has the settings."""

import numpy as np
from example_network import load_network
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Network(MLModel):
    """One worker; MLServer joins the requests of a batch before it asks."""

    async def load(self) -> bool:
        """Load the model."""
        self._run = load_network()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a batch."""
        rows = NumpyCodec.decode_input(payload.inputs[0])
        numbers = np.array(self._run(rows.tolist()), np.float32)[:, None]
        output = NumpyCodec.encode_output("output", numbers)
        return InferenceResponse(model_name=self.name, outputs=[output])
