"""Products and their prices, one-time and recurring, by the unit."""

from __future__ import annotations

from portal.local.stripe.customers import merged
from portal.local.stripe.errors import invalid
from portal.local.stripe.lists import page
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.world import Json, World

_PRODUCT = "active description images marketing_features metadata name statement_descriptor tax_code unit_label url"
_RECURRING = "recurring.interval recurring.interval_count"


def create_product(world: World, params: Json) -> Json:
    first_price = params.pop("default_price_data", None)
    if (identifier := params.get("id")) and identifier in world.objects.get("product", {}):
        raise invalid("Product already exists.", "resource_already_exists", "id")
    product = world.add(
        "product",
        **{
            "active": True,
            "images": [],
            "marketing_features": [],
            "metadata": {},
            "type": "service",
            "updated": world.now(),
            **params,
        },
    )
    world.emit("product.created", product)
    if first_price:
        product["default_price"] = make_price(world, {**first_price, "product": product["id"]})["id"]
    return product


def retrieve_product(world: World, params: Json, product: str) -> Json:
    return world.get("product", product)


def update_product(world: World, params: Json, product: str) -> Json:
    found = world.get("product", product)
    if "metadata" in params:
        params["metadata"] = merged(found["metadata"], params["metadata"])
    if price := params.get("default_price"):
        world.get("price", price, "default_price")
    previous = {name: found[name] for name, value in params.items() if found[name] != value}
    found.update(params, updated=world.now())
    world.emit("product.updated", found, previous)
    return found


def list_products(world: World, params: Json) -> Json:
    found = world.all("product", **({"active": params["active"]} if "active" in params else {}))
    if ids := params.get("ids"):
        found = [product for product in found if product["id"] in ids]
    return page(found, params, "/v1/products")


def create_price(world: World, params: Json) -> Json:
    if ("product" in params) == ("product_data" in params):
        raise invalid("You must specify exactly one of `product` and `product_data`.", None, "product")
    if data := params.pop("product_data", None):
        params["product"] = create_product(world, data)["id"]
    world.get("product", params["product"], "product")
    if key := params.get("lookup_key"):
        for other in world.all("price", lookup_key=key):
            if not params.get("transfer_lookup_key"):
                message = f"A price (`{other['id']}`) already uses that lookup key."
                raise invalid(message, "resource_already_exists", "lookup_key")
            other["lookup_key"] = None
    params.pop("transfer_lookup_key", None)
    return make_price(world, params)


def make_price(world: World, params: Json, *, active: bool = True) -> Json:
    """Keep a price. Raises StripeError without an amount."""
    amount = params.pop("unit_amount", None)
    decimal = params.pop("unit_amount_decimal", None)
    if (amount is None) == (decimal is None):
        raise invalid("You must specify exactly one of `unit_amount` and `unit_amount_decimal`.", None, "unit_amount")
    if amount is not None and amount < 0:
        raise invalid("This value must be greater than or equal to 0.", "parameter_invalid_integer", "unit_amount")
    if recurring := params.get("recurring"):
        recurring = {"interval_count": 1, "usage_type": "licensed", **recurring}
    price = world.add(
        "price",
        **{
            "active": active,
            "billing_scheme": "per_unit",
            "metadata": {},
            "tax_behavior": "unspecified",
            "unit_amount": amount,
            "unit_amount_decimal": str(amount) if decimal is None else decimal,
            **params,
            "currency": params["currency"].lower(),
            "recurring": recurring,
            "type": "recurring" if recurring else "one_time",
        },
    )
    world.emit("price.created", price)
    return price


def retrieve_price(world: World, params: Json, price: str) -> Json:
    return world.get("price", price)


def update_price(world: World, params: Json, price: str) -> Json:
    found = world.get("price", price)
    if "metadata" in params:
        params["metadata"] = merged(found["metadata"], params["metadata"])
    previous = {name: found[name] for name, value in params.items() if found[name] != value}
    found.update(params)
    world.emit("price.updated", found, previous)
    return found


def list_prices(world: World, params: Json) -> Json:
    equal = {name: params[name] for name in ("active", "currency", "product", "type") if name in params}
    found = world.all("price", **equal)
    if keys := params.get("lookup_keys"):
        found = [price for price in found if price["lookup_key"] in keys]
    return page(found, params, "/v1/prices")


ROUTES = (
    Route("POST", "/v1/products", create_product, "ProductCreateParams", f"{_PRODUCT} id default_price_data"),
    Route("GET", "/v1/products", list_products, "ProductListParams", f"{LIST} active created ids"),
    Route("GET", "/v1/products/{product}", retrieve_product, "ProductRetrieveParams"),
    Route("POST", "/v1/products/{product}", update_product, "ProductUpdateParams", f"{_PRODUCT} default_price"),
    Route(
        "POST",
        "/v1/prices",
        create_price,
        "PriceCreateParams",
        f"active currency lookup_key metadata nickname product product_data {_RECURRING}"
        " tax_behavior transfer_lookup_key unit_amount unit_amount_decimal",
    ),
    Route(
        "GET", "/v1/prices", list_prices, "PriceListParams", f"{LIST} active created currency lookup_keys product type"
    ),
    Route("GET", "/v1/prices/{price}", retrieve_price, "PriceRetrieveParams"),
    Route("POST", "/v1/prices/{price}", update_price, "PriceUpdateParams", "active metadata nickname tax_behavior"),
)
