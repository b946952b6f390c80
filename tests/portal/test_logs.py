"""No secret reaches a log, wherever in an event it hides."""

from __future__ import annotations

import io
import json
import logging
import logging.config

import structlog
from django.urls import reverse

from portal.logs import logging_settings, scrub
from tenants.secrets import SecretKind, new_secret


def test_secrets_are_cut_short_in_texts_and_structures() -> None:
    secret = new_secret(SecretKind.SUB_TOKEN)
    key = new_secret(SecretKind.MANAGEMENT_KEY)
    scrubbed = json.dumps(
        scrub(
            {
                "text": f"called with {secret}",
                "headers": [("Authorization", f"Bearer {key}")],
                "Authorization": "Basic abc",
                "deep": {"password": "hunter2", "url": "postgresql://app:pass-word@db/x"},
            }
        )
    )
    for hidden in (secret, key, secret[8:], "Basic abc", "hunter2", "pass-word"):
        assert hidden not in scrubbed
    assert secret[:8] in scrubbed, "enough is left to tell which one it was"


def test_links_that_open_an_account_are_cut_short() -> None:
    for name, arguments in (
        ("account_reset_password_from_key", ["1a", "set-me-9"]),
        ("account_confirm_email", ["Mjk:k"]),
    ):
        line = scrub(f"GET {reverse(name, args=arguments)} 302 4 ms")
        assert arguments[-1] not in line
        assert line.startswith("GET /accounts/")
        assert line.endswith("/ 302 4 ms")


def test_both_kinds_of_loggers_write_one_json_line_without_secrets() -> None:
    secret = new_secret(SecretKind.SUB_TOKEN)
    configuration = logging_settings(pretty=False, level="INFO")
    formatter = structlog.stdlib.ProcessorFormatter(
        **{name: value for name, value in configuration["formatters"]["structured"].items() if name != "()"}
    )
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    logger = logging.getLogger("tests.logs")
    logger.addHandler(handler)
    logger.setLevel("INFO")
    try:
        logger.info("plain %s", secret)
        structlog.wrap_logger(logger).info("structured", caller={"token": "kept", "secret": secret})
        try:
            raise ValueError(secret)
        except ValueError:
            logger.exception("failed")
    finally:
        logger.removeHandler(handler)
    plain, structured, failed = (json.loads(line) for line in stream.getvalue().splitlines())
    assert secret not in stream.getvalue()
    assert plain["event"] == f"plain {secret[:8]}…"
    assert structured["caller"] == {"token": "kept", "secret": "…"}
    assert "ValueError" in failed["exception"]
