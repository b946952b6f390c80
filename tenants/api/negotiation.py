"""What a stream is answered as."""

from __future__ import annotations

from typing import Any

from rest_framework.negotiation import BaseContentNegotiation


class AnyFormat(BaseContentNegotiation):
    """What is streamed has one form, whatever was asked for."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        """Return the renderer of the problems."""
        return renderers[0], renderers[0].media_type
