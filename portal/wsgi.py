"""The WSGI entry point that gunicorn serves."""

import os
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")
_django = get_wsgi_application()
# Every view is imported now, not when the first caller waits for it.
assert get_resolver().url_patterns

from tenants.api.slow_bodies import watched  # noqa: E402 the settings come first


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer one request; its body is watched from here on, before Django takes hold of it."""
    watched(environ)
    answer: Iterable[bytes] = _django(environ, start_response)
    return answer
