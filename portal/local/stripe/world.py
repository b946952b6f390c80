"""Everything that the stand-in knows, in memory and in one file: objects, what is hidden of them, events, clocks."""

from __future__ import annotations

import copy
import json
import os
import secrets
import string
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from portal.local.stripe import shapes, types
from portal.local.stripe.errors import missing

Json = dict[str, Any]

_CHARACTERS = string.ascii_letters + string.digits

API_VERSION = "2026-10-28.endive"
ACCOUNT = "acct_1LocalStandIn"
# Which object an id leads to.
PREFIXES = {
    "cus": "customer",
    "txi": "tax_id",
    "prod": "product",
    "price": "price",
    "cs": "checkout.session",
    "pi": "payment_intent",
    "ch": "charge",
    "py": "charge",
    "pm": "payment_method",
    "seti": "setup_intent",
    "in": "invoice",
    "ii": "invoiceitem",
    "sub": "subscription",
    "si": "subscription_item",
    "re": "refund",
    "pyr": "refund",
    "du": "dispute",
    "txn": "balance_transaction",
    "evt": "event",
    "inpay": "invoice_payment",
    "bps": "billing_portal.session",
    "cbtxn": "customer_balance_transaction",
    "req": "request",
}
_KINDS = {kind: prefix for prefix, kind in reversed(PREFIXES.items())}


@dataclass
class Asked:
    """The request that is being answered; what is not asked for by a request has neither id nor key."""

    id: str | None = None
    key: str | None = None


@dataclass
class World:
    """The state. `objects`: kind -> id -> object; `hidden`: id -> what no answer shows (the card behind a method)."""

    file: Path | None = None
    origin: str = ""
    settle_seconds: float | None = None
    objects: dict[str, dict[str, Json]] = field(default_factory=dict)
    hidden: dict[str, Json] = field(default_factory=dict)
    answers: dict[str, Json] = field(default_factory=dict)
    endpoints: dict[str, Json] = field(default_factory=dict)
    offsets: dict[str, int] = field(default_factory=dict)
    away: Json | None = None
    next_refund: str | None = None
    asked: Asked = field(default_factory=Asked)
    emitted: list[Json] = field(default_factory=list)
    changed: bool = False

    # --- Objects ------------------------------------------------------------------------------------------------------
    def new_id(self, kind: str, prefix: str = "") -> str:
        """Return an id like Stripe's."""
        return f"{prefix or _KINDS[kind]}_{_random(24)}"

    def add(self, kind: str, customer: str | None = None, **values: Any) -> Json:
        """Keep a new object in its full shape, created at its customer's present time."""
        if "id" not in values:
            values["id"] = self.new_id(kind)
        known = types.hints(types.resource(types.NAMES.get(kind, kind)))
        common = {"object": kind, "created": self.now(customer), "livemode": False}
        values = {name: value for name, value in common.items() if name in known} | values
        if customer:
            values["customer"] = customer
        made = shapes.fill(values)
        self.objects.setdefault(kind, {})[made["id"]] = made
        self.changed = True
        return made

    def get(self, kind: str, identifier: str, param: str | None = None) -> Json:
        """Return an object. Raises 404, or 400 when its id was the parameter `param`."""
        try:
            return self.objects[kind][identifier]
        except KeyError:
            name = kind.rsplit(".", 1)[-1]
            raise missing(name, identifier, param or "id", status=400 if param else 404) from None

    def all(self, kind: str, **equal: Any) -> list[Json]:
        """Return the objects of a kind whose attributes have these values, oldest first."""
        return [
            found
            for found in self.objects.get(kind, {}).values()
            if all(found.get(name) == value for name, value in equal.items())
        ]

    def secret(self, identifier: str) -> Json:
        """Return what is kept with an object and never shown, to read and to write."""
        return self.hidden.setdefault(identifier, {})

    def remove(self, kind: str, identifier: str) -> Json:
        """Forget an object and return what Stripe answers."""
        self.get(kind, identifier)
        del self.objects[kind][identifier]
        return {"id": identifier, "object": kind, "deleted": True}

    # --- Time ---------------------------------------------------------------------------------------------------------
    def now(self, customer: str | None = None) -> int:
        """Return the present in seconds; a customer whose subscription was advanced lives in the future."""
        return int(time.time()) + self.offsets.get(customer or "", 0)

    def advance_to(self, customer: str, moment: int) -> None:
        """Move a customer's clock forward to a moment; never back."""
        self.offsets[customer] = max(self.offsets.get(customer, 0), moment - int(time.time()))

    # --- Undoing ------------------------------------------------------------------------------------------------------
    def checkpoint(self) -> Json:
        """Return what `restore` needs to forget everything that follows."""
        return copy.deepcopy({"objects": self.objects, "hidden": self.hidden, "emitted": self.emitted})

    def restore(self, before: Json) -> None:
        """Go back to a checkpoint. Objects that were looked up before are no longer the kept ones."""
        self.objects, self.hidden, self.emitted = before["objects"], before["hidden"], before["emitted"]

    # --- Events -------------------------------------------------------------------------------------------------------
    def emit(self, kind: str, about: Json, previous: Json | None = None) -> Json:
        """Keep an event with a copy of the object as it is now; it is delivered once the request is answered."""
        data: Json = {"object": copy.deepcopy(about)}
        if previous is not None:
            data["previous_attributes"] = previous
        event = self.add(
            "event",
            account=None,
            api_version=API_VERSION,
            data=data,
            pending_webhooks=0,
            request={"id": self.asked.id, "idempotency_key": self.asked.key},
            type=kind,
        )
        event.pop("account")
        event.pop("context", None)
        event["created"] = int(time.time())
        self.emitted.append(event)
        return event

    def be_away(self) -> Json | None:
        """Return how this request is to be failed, when it is one of those that were asked to."""
        if not self.away:
            return None
        now, self.away["requests"] = self.away, self.away["requests"] - 1
        if self.away["requests"] <= 0:
            self.away = None
        return now

    # --- The file -----------------------------------------------------------------------------------------------------
    def load(self) -> None:
        """Take up what an earlier run has saved, where there is such a file."""
        if self.file is None or not self.file.exists():
            return
        saved = json.loads(self.file.read_text())
        for name in ("objects", "hidden", "answers", "offsets"):
            setattr(self, name, saved[name])

    def save(self) -> None:
        """Write everything at once, so that a crash leaves the old file or the new one."""
        if self.file is None or not self.changed:
            return
        self.changed = False
        saved = {name: getattr(self, name) for name in ("objects", "hidden", "answers", "offsets")}
        new = self.file.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(saved, file)
        new.replace(self.file)

    def clear(self) -> None:
        """Forget everything but the webhook endpoints."""
        for part in (self.objects, self.hidden, self.answers, self.offsets):
            part.clear()
        self.away, self.next_refund, self.changed = None, None, True

    def undelivered(self) -> Iterator[Json]:
        """Yield the events that an earlier run could not deliver."""
        yield from (event for event in self.all("event") if event["pending_webhooks"])


def _random(length: int) -> str:
    return "".join(secrets.choice(_CHARACTERS) for _ in range(length))
