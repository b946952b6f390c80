"""The environment that the settings are read from: a wrong value stops the start, and the message says which one.

It never says what a value of its own is, which may be a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_network
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured
from environ.fileaware_mapping import FileAwareMapping


class Files(FileAwareMapping):
    """Values from variables and from the files that they name, without the end of line that editors leave in a file."""

    def __getitem__(self, key: str) -> str:
        try:
            value: str = super().__getitem__(key)
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ImproperlyConfigured(
                f"{key}_FILE is {self.env[f'{key}_FILE']}, which cannot be read: {why}."
            ) from None
        return value.rstrip("\r\n") if self.env.get(f"{key}_FILE") else value


class Environment(environ.FileAwareEnv):
    """Reads variables as django-environ does; each `NAME` may come from the file named by `NAME_FILE`."""

    ENVIRON = Files()

    def get_value(
        self, var: str, cast: Any = None, default: Any = environ.Env.NOTSET, parse_default: bool = False
    ) -> Any:
        """Return a value, cast. Raises ImproperlyConfigured, also where it cannot be cast."""
        try:
            return super().get_value(var, cast, default, parse_default)
        except (ValueError, TypeError):
            raise ImproperlyConfigured(f"{var} is not what it has to be, such as a number: see .env.example.") from None

    def address(self, name: str, *, default: str, schemes: Iterable[str]) -> str:
        """Return an address that begins with one of these schemes; an empty variable is as good as none."""
        value = self.str(name, default="") or default
        if not value.startswith(tuple(f"{scheme}://" for scheme in schemes)):
            known = " or ".join(f"{scheme}://" for scheme in schemes)
            raise ImproperlyConfigured(f"{name} has to begin with {known}.")
        return str(value)

    def networks(self, name: str, *, words: Iterable[str]) -> list[str]:
        """Return addresses and networks (CIDR), and these words."""
        values: list[str] = self.list(name, default=[])
        for value in values:
            try:
                if value.strip() not in words:
                    ip_network(value.strip(), strict=False)
            except ValueError:
                raise ImproperlyConfigured(f"{name}: {value!r} is no address and no network (CIDR).") from None
        return values

    def number(self, name: str, *, default: float, least: float = 0) -> Any:
        """Return a number of the kind of `default`, no smaller than `least`."""
        value = self.get_value(name, cast=type(default), default=default)
        if not value >= least:
            raise ImproperlyConfigured(f"{name} has to be at least {least}.")
        return value

    def one_of(self, name: str, *, default: str, choices: Iterable[str]) -> str:
        """Return one of these words, in whatever case it is written."""
        value = self.str(name, default=default).upper()
        if value not in choices:
            raise ImproperlyConfigured(f"{name} has to be one of {', '.join(choices)}.")
        return str(value)
