"""The list of events, as far back as the file goes."""

from __future__ import annotations

from portal.local.stripe.lists import page
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.world import Json, World


def retrieve(world: World, params: Json, event: str) -> Json:
    return world.get("event", event)


def list_all(world: World, params: Json) -> Json:
    events = world.all("event")
    if wanted := params.get("types") or ([params["type"]] if "type" in params else None):
        events = [event for event in events if any(_matches(event["type"], word) for word in wanted)]
    return page(events, params, "/v1/events")


def _matches(kind: str, word: str) -> bool:
    return kind.startswith(word[:-1]) if word.endswith("*") else kind == word


ROUTES = (
    Route("GET", "/v1/events", list_all, "EventListParams", f"{LIST} created type types"),
    Route("GET", "/v1/events/{event}", retrieve, "EventRetrieveParams"),
)
