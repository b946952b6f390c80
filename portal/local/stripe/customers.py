"""Customers and their tax ids."""

from __future__ import annotations

from portal.local.stripe.errors import invalid
from portal.local.stripe.lists import INCLUDABLE, page
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.world import Json, World

FIELDS = (
    "address balance business_name description email individual_name invoice_settings.default_payment_method"
    " invoice_settings.footer metadata name phone preferred_locales tax_exempt tax.ip_address tax.validate_location"
)
_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))
_COUNTRIES_OF_TAX_IDS = {"eu_vat": None, "cn_tin": "CN", "gb_vat": "GB", "us_ein": "US", "jp_cn": "JP", "hk_br": "HK"}


def create(world: World, params: Json) -> Json:
    tax_ids = params.pop("tax_id_data", None) or []
    method = params.pop("payment_method", None)
    params.pop("tax", None)
    settings = params.pop("invoice_settings", None) or {}
    customer = world.add(
        "customer",
        **{
            "balance": 0,
            "currency": None,
            "delinquent": False,
            "invoice_prefix": f"LOCAL{len(world.all('customer')) + 1:04d}",
            "next_invoice_sequence": 1,
            "preferred_locales": [],
            "tax_exempt": "none",
            **params,
            "address": _address(params.get("address")),
            "invoice_settings": {},
            "metadata": params.get("metadata") or {},
        },
    )
    customer["invoice_settings"] |= settings
    world.emit("customer.created", customer)
    for tax_id in tax_ids:
        add_tax_id(world, customer["id"], tax_id["type"], tax_id["value"])
    if method:
        from_api = world.get("payment_method", method, "payment_method")
        from_api["customer"] = customer["id"]
    return customer


def _address(address: Json | None) -> Json | None:
    return {**_ADDRESS, **address} if address else None


def retrieve(world: World, params: Json, customer: str) -> Json:
    if world.secret("deleted").get(customer):
        return {"id": customer, "object": "customer", "deleted": True}
    return world.get("customer", customer)


def update(world: World, params: Json, customer: str) -> Json:
    found = world.get("customer", customer)
    params.pop("tax", None)
    if settings := params.pop("invoice_settings", None):
        if method := settings.get("default_payment_method"):
            owner = world.get("payment_method", method, "invoice_settings[default_payment_method]")["customer"]
            if owner != customer:
                raise invalid(
                    "The customer does not have a payment method with the ID"
                    f" {method}. The payment method must be attached to the customer.",
                    "resource_missing",
                    "invoice_settings[default_payment_method]",
                )
        params["invoice_settings"] = {**found["invoice_settings"], **settings}
    change(world, found, params)
    return found


def change(world: World, customer: Json, values: Json) -> None:
    """Change attributes of a customer and tell the webhooks which ones, where any is another."""
    if "address" in values:
        values["address"] = _address(values["address"])
    if "metadata" in values:
        values["metadata"] = merged(customer["metadata"], values["metadata"])
    previous = {name: customer[name] for name, value in values.items() if customer[name] != value}
    customer.update(values)
    if previous:
        world.changed = True
        world.emit("customer.updated", customer, previous)


def merged(metadata: Json, changes: Json | None) -> Json:
    """Return metadata after an update: an empty value takes its key away, none at all takes every key."""
    if changes is None:
        return {}
    return {name: value for name, value in {**metadata, **changes}.items() if value != ""}


def delete(world: World, params: Json, customer: str) -> Json:
    found = world.get("customer", customer)
    world.emit("customer.deleted", found)
    world.secret("deleted")[customer] = True
    return world.remove("customer", customer)


def list_all(world: World, params: Json) -> Json:
    equal = {"email": params["email"]} if "email" in params else {}
    return page(world.all("customer", **equal), params, "/v1/customers")


def add_tax_id(world: World, customer: str, kind: str, value: str) -> Json:
    """Keep a tax id of a customer; a number given twice is kept once."""
    if same := world.all("tax_id", customer=customer, type=kind, value=value):
        return same[0]
    country = _COUNTRIES_OF_TAX_IDS.get(kind) or value[:2].upper()
    verification = {"status": "verified", "verified_address": None, "verified_name": None}
    owner = {"type": "customer", "customer": customer}
    made = world.add(
        "tax_id", customer, type=kind, value=value, country=country, verification=verification, owner=owner
    )
    world.emit("customer.tax_id.created", made)
    return made


def create_tax_id(world: World, params: Json, customer: str) -> Json:
    world.get("customer", customer)
    return add_tax_id(world, customer, params["type"], params["value"])


def list_tax_ids(world: World, params: Json, customer: str) -> Json:
    world.get("customer", customer)
    return page(world.all("tax_id", customer=customer), params, f"/v1/customers/{customer}/tax_ids")


def delete_tax_id(world: World, params: Json, customer: str, tax_id: str) -> Json:
    world.get("customer", customer)
    world.emit("customer.tax_id.deleted", world.get("tax_id", tax_id))
    return world.remove("tax_id", tax_id)


INCLUDABLE["customer", "tax_ids"] = lambda world, customer: world.all("tax_id", customer=customer["id"])

ROUTES = (
    Route("POST", "/v1/customers", create, "CustomerCreateParams", f"{FIELDS} payment_method tax_id_data"),
    Route("GET", "/v1/customers", list_all, "CustomerListParams", f"{LIST} created email"),
    Route("GET", "/v1/customers/{customer}", retrieve, "CustomerRetrieveParams"),
    Route("POST", "/v1/customers/{customer}", update, "CustomerUpdateParams", FIELDS),
    Route("DELETE", "/v1/customers/{customer}", delete, "CustomerDeleteParams"),
    Route("POST", "/v1/customers/{customer}/tax_ids", create_tax_id, "CustomerCreateTaxIdParams", "type value"),
    Route("GET", "/v1/customers/{customer}/tax_ids", list_tax_ids, "CustomerListTaxIdsParams", LIST),
    Route("DELETE", "/v1/customers/{customer}/tax_ids/{tax_id}", delete_tax_id, "CustomerDeleteTaxIdParams"),
)
