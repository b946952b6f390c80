"""The default engine: ONNX Runtime on TensorRT, CUDA or the CPU, whichever this machine has."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from workers.engines.base import Engine, EngineError, Floats, ModelFile, check_head, checked_bytes

PREFERRED = ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider")


class OnnxEngine(Engine):
    """A `.onnx` export run by ONNX Runtime."""

    def __init__(self, model: ModelFile, *, threads: int, providers: tuple[str, ...] = PREFERRED) -> None:
        available = onnxruntime.get_available_providers()
        chosen = [name for name in providers if name in available]
        # A CUDA session that several threads run at once corrupts its results.
        self.exclusive = chosen[0] != "CPUExecutionProvider"
        super().__init__(model)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A waiting thread that spins takes the processor from the web.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(checked_bytes(model), options, providers=chosen)
        except EngineError:
            raise
        except Exception as error:
            # ONNX Runtime has no base class of its own for what can be wrong with a file.
            raise EngineError(f"{model.path} is not a model that ONNX Runtime can load: {error}") from error
        self._input = self._session.get_inputs()[0]
        output = self._session.get_outputs()[0]
        self._output = output.name
        end_to_end = output.shape[-1] == 6
        check_head(model, end_to_end=end_to_end, class_count=None if end_to_end else output.shape[1] - 4)
        self._half = "float16" in self._input.type

    @property
    def any_shape(self) -> bool:
        return all(not isinstance(size, int) for size in (self._input.shape[i] for i in (0, 2, 3)))

    def forward(self, batch: Floats) -> Floats:
        feed: Any = batch.astype(np.float16) if self._half else batch
        output: Floats = self._session.run([self._output], {self._input.name: feed})[0]
        return output.astype(np.float32, copy=False)
