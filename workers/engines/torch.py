"""The engine for `.pt` checkpoints: torch with ultralytics' own loader (the `torch` extra)."""

from __future__ import annotations

from typing import Any

import torch
from ultralytics.nn.autobackend import AutoBackend
from ultralytics.utils import SAFE_LOAD

from workers import torchvision_shim
from workers.engines.base import Engine, EngineError, Floats, ModelFile, check_head, checked_bytes


class TorchEngine(Engine):
    """A `.pt` checkpoint run by torch, on the GPU where there is one."""

    # The detection head keeps the anchors of the last shape it saw in itself.
    exclusive = True

    def __init__(self, model: ModelFile, *, threads: int, half: bool = False) -> None:
        super().__init__(model)
        if not SAFE_LOAD:
            # workers/apps.py asks for it before ultralytics is imported; without it a checkpoint could run code.
            raise EngineError("ultralytics was imported before ULTRALYTICS_SAFE_LOAD was set")
        checked_bytes(model)
        torchvision_shim.install()
        # Importing ultralytics leaves torch on one thread.
        torch.set_num_threads(threads)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._half = half and self._device.type == "cuda"
        try:
            self._model = AutoBackend(
                str(model.path), device=self._device, fp16=self._half, end2end=model.end_to_end, verbose=False
            )
        except Exception as error:
            # ultralytics raises whatever unpickling and building the network raise.
            raise EngineError(f"{model.path} is not a checkpoint that ultralytics can load: {error}") from error
        self._model.eval()
        check_head(model, end_to_end=bool(self._model.end2end), class_count=len(self._model.names))

    def forward(self, batch: Floats) -> Floats:
        tensor = torch.from_numpy(batch).to(self._device)
        with torch.inference_mode():
            output: Any = self._model(tensor.half() if self._half else tensor)
        while isinstance(output, (list, tuple)):
            output = output[0]
        result: Floats = output.float().cpu().numpy()
        return result
