"""Settings come from the environment, are safe unless told otherwise, and every variable is documented."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRODUCTION = {
    "SECRET_KEY": "an-unguessable-key-for-this-test-only-0123456789-abcdefghijkl",
    "ALLOWED_HOSTS": "tokensight.example",
    "BASE_URL": "https://tokensight.example",
    "DATABASE_URL": "postgresql://app:a-password@db.internal/tokensight",
}
NAMES = [
    "DEBUG", "SECRET_KEY", "SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE", "CSRF_COOKIE_SECURE", "SECURE_HSTS_SECONDS",
    "EMAIL_BACKEND", "CONTENT_SECURITY_POLICY", "STORAGES",
]  # fmt: skip


def load(**env: str) -> subprocess.CompletedProcess[str]:
    """Load the settings in a process of their own, with nothing in the environment but `env`."""
    values = f"{{name: getattr(settings, name) for name in {NAMES}}}"
    code = f"import json; from portal import settings; print(json.dumps({values}, default=str))"
    return subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **env},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def policy_of(**env: str) -> str:
    """Return the Content-Security-Policy that is sent with these settings."""
    policy = json.loads(load(**env).stdout)["CONTENT_SECURITY_POLICY"]["DIRECTIVES"]
    return "; ".join(f"{name} {' '.join(values)}" for name, values in policy.items() if isinstance(values, list))


def test_production_is_the_default_and_is_safe() -> None:
    settings = json.loads(load(**PRODUCTION).stdout)
    assert settings["DEBUG"] is False
    assert settings["SECURE_SSL_REDIRECT"]
    assert settings["SESSION_COOKIE_SECURE"]
    assert settings["CSRF_COOKIE_SECURE"]
    assert settings["SECURE_HSTS_SECONDS"] >= 365 * 24 * 3600
    assert settings["EMAIL_BACKEND"].endswith("smtp.EmailBackend")
    directives = settings["CONTENT_SECURITY_POLICY"]["DIRECTIVES"]
    assert not re.search(r"unsafe-|https?:|\*", json.dumps(directives))
    assert "Manifest" in settings["STORAGES"]["staticfiles"]["BACKEND"]


def test_every_setting_is_set_once() -> None:
    names = re.findall(r"^(?:[A-Z_]+ = )*([A-Z_]{3,}) = ", (ROOT / "portal/settings.py").read_text(), re.MULTILINE)
    assert [name for name in set(names) if names.count(name) > 1] == []


def test_no_key_no_start() -> None:
    result = load(**{**PRODUCTION, "SECRET_KEY": ""})
    assert result.returncode != 0
    assert "SECRET_KEY is not set: give SECRET_KEY or SECRET_KEY_FILE" in result.stderr


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("from-a-file-0123456789-0123456789-0123456789-0123456789")
    env = {name: value for name, value in PRODUCTION.items() if name != "SECRET_KEY"}
    settings = json.loads(load(**env, SECRET_KEY_FILE=str(tmp_path / "key")).stdout)
    assert settings["SECRET_KEY"] == (tmp_path / "key").read_text()


@pytest.mark.parametrize("name", ["SECRET_KEY", "DATABASE_URL", "REDIS_URL", "EMAIL_URL"])
def test_a_missing_secret_file_fails_loudly(name: str, tmp_path: Path) -> None:
    env = {key: value for key, value in PRODUCTION.items() if key != name}
    result = load(**env, **{f"{name}_FILE": str(tmp_path / "absent")})
    assert result.returncode != 0
    assert str(tmp_path / "absent") in result.stderr


def test_the_end_of_line_in_a_secret_s_file_is_no_part_of_the_secret(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(PRODUCTION["SECRET_KEY"] + "\n")
    env = {name: value for name, value in PRODUCTION.items() if name != "SECRET_KEY"}
    settings = json.loads(load(**env, SECRET_KEY_FILE=str(tmp_path / "key")).stdout)
    assert settings["SECRET_KEY"] == PRODUCTION["SECRET_KEY"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "db.internal/tokensight"),
        ("DATABASE_OWNER_URL", "mysql://planted@db.internal/tokensight"),
        ("REDIS_URL", "planted:6379"),
        ("BASE_URL", "tokensight.example"),
        ("TRUSTED_PROXIES", "10.0.0.0/8,10.0.0.0/99"),
        ("MAX_IMAGE_BYTES", "20MB"),
        ("UPLOAD_BYTES_PER_SECOND", "0"),
        ("JOB_LEASE_SECONDS", "nan"),
        ("LOG_LEVEL", "loud"),
        ("STRIPE_SECRET_KEY", "pk_live_planted"),
    ],
)
def test_a_wrong_value_stops_the_start_and_is_named_but_not_shown(name: str, value: str) -> None:
    result = load(**{**PRODUCTION, "STRIPE_WEBHOOK_SECRET": "whsec_planted", name: value})
    assert result.returncode != 0
    last = result.stderr.splitlines()[-1]
    assert last.startswith("django.core.exceptions.ImproperlyConfigured: ")
    assert name in last
    assert "planted" not in result.stderr


def test_an_empty_address_is_as_good_as_none() -> None:
    assert load(**PRODUCTION, DATABASE_OWNER_URL="", REDIS_URL="").returncode == 0


def test_every_variable_is_in_the_example() -> None:
    documented = set(re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    read = set(re.findall(r"\benv(?:\.\w+)?\(\s*\"([A-Z_]+)\"", (ROOT / "portal/settings.py").read_text()))
    read |= set(re.findall(r"environ\.get\(\"([A-Z_]+)\"", (ROOT / "deploy/gunicorn.conf.py").read_text()))
    read |= set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yml").read_text()))
    assert len(read) > 20
    assert read - documented == set()


def test_the_example_documents_nothing_that_is_not_read() -> None:
    documented = set(re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    sources = "".join(
        path.read_text()
        for path in [ROOT / "portal/settings.py", ROOT / "deploy/gunicorn.conf.py", ROOT / "docker-compose.yml"]
    )
    assert [name for name in documented if not re.search(rf"\b{name}\b", sources)] == []


# What the image and docker-compose.yml lay down themselves, and what is never for production.
NOT_FOR_CONTAINERS = {"TOKENSIGHT_DATA_DIR", "STATIC_ROOT", "HOST", "PROMETHEUS_MULTIPROC_DIR", "DATABASE_APP_ROLE",
                      "SSO_ANYWHERE", "DEVELOPMENT", "DEBUG", "WEBHOOKS_ANYWHERE", "ALLOW_NULL_ENGINE",
                      "NULL_ENGINE_SECONDS"}  # fmt: skip


def test_every_variable_reaches_the_containers() -> None:
    documented = set(re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    compose = (ROOT / "docker-compose.yml").read_text()
    passed = set(re.findall(r"^\s+([A-Z_]+):", compose, re.MULTILINE)) | set(re.findall(r"\$\{([A-Z_]+)", compose))
    assert documented - NOT_FOR_CONTAINERS == passed - {"POSTGRES_USER", "POSTGRES_DB"}
