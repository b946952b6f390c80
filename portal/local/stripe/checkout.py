"""Checkout Sessions: what is bought on the hosted page, and what became of it."""

from __future__ import annotations

from portal.local.stripe import catalogue, coupons, customers, invoices, methods, payments, setups, subscriptions
from portal.local.stripe.errors import invalid
from portal.local.stripe.lists import INCLUDABLE, page
from portal.local.stripe.routes import LIST, Route
from portal.local.stripe.tax import tax_of
from portal.local.stripe.world import Json, World

SHORTEST, LONGEST = 30 * 60, 24 * 3600
_ECHOED = (
    "allow_promotion_codes",
    "billing_address_collection",
    "cancel_url",
    "client_reference_id",
    "customer_email",
    "locale",
    "origin_context",
    "payment_method_collection",
    "submit_type",
    "success_url",
)
_SERVER_SIDE = "adaptive_pricing.enabled payment_method_options saved_payment_method_options"


def create(world: World, params: Json) -> Json:
    mode = params.get("mode")
    if mode not in ("payment", "setup", "subscription"):
        raise invalid("You must pass mode: payment, setup or subscription.", "parameter_missing", "mode")
    if params.get("ui_mode") not in (None, "hosted_page"):
        raise invalid("This stand-in has the hosted page alone.", None, "ui_mode")
    if not params.get("success_url"):
        raise invalid("Missing required param: success_url.", "parameter_missing", "success_url")
    customer = params.get("customer")
    if customer:
        _require_updates(world, params, world.get("customer", customer, "customer"))
    items = _line_items(world, params, mode)
    currency = items[0]["currency"] if items else params.get("currency")
    expires_at = params.get("expires_at", world.now() + LONGEST)
    if not SHORTEST - 5 <= expires_at - world.now() <= LONGEST + 5:
        message = "The `expires_at` timestamp must be between 30 minutes and 24 hours from Checkout Session creation."
        raise invalid(message, None, "expires_at")
    identifier = world.new_id("checkout.session", "cs_test")
    automatic_tax = params.get("automatic_tax") or {"enabled": False}
    discounts = coupons.apply(world, params.get("discounts") or [], items)
    discounted = sum(item["amount_discount"] for item in items)
    subtotal = sum(item["amount_subtotal"] for item in items)
    total = subtotal - discounted
    session = world.add(
        "checkout.session",
        customer,
        **{name: params[name] for name in _ECHOED if name in params},
        id=identifier,
        amount_subtotal=subtotal if mode != "setup" else None,
        amount_total=total if mode != "setup" else None,
        automatic_tax={
            "enabled": automatic_tax["enabled"],
            "status": "requires_location_inputs" if automatic_tax["enabled"] else None,
        },
        currency=currency.lower() if currency else None,
        custom_fields=[],
        custom_text=params.get("custom_text") or {},
        discounts=discounts,
        customer_creation=_creation(params, mode),
        expires_at=expires_at,
        invoice_creation=_invoice_creation(params) if mode == "payment" else None,
        metadata=params.get("metadata") or {},
        mode=mode,
        payment_method_types=params.get("allowed_payment_method_types") or ["card", "us_bank_account"],
        payment_status="no_payment_required" if mode == "setup" or total == 0 else "unpaid",
        phone_number_collection={"enabled": False},
        shipping_options=[],
        status="open",
        tax_id_collection={"enabled": False, "required": "never", **(params.get("tax_id_collection") or {})},
        total_details={"amount_discount": discounted, "amount_shipping": 0, "amount_tax": 0}
        if mode != "setup"
        else None,
        ui_mode="hosted_page",
        url=f"{world.origin}/c/pay/{identifier}",
    )
    data_of_mode = {"payment": "payment_intent_data", "setup": "setup_intent_data", "subscription": "subscription_data"}
    world.secret(identifier).update(
        items=items, data=params.get(data_of_mode[mode]) or {}, update=params.get("customer_update") or {}
    )
    if mode == "setup":
        data = {name: value for name, value in world.secret(identifier)["data"].items() if value is not None}
        session["setup_intent"] = setups.new_setup(world, customer, **data)["id"]
    return session


def _require_updates(world: World, params: Json, customer: Json) -> None:
    """Refuse what Stripe refuses for a customer that is there already."""
    updates = params.get("customer_update") or {}
    taxed = (params.get("automatic_tax") or {}).get("enabled")
    if taxed and updates.get("address") != "auto" and not (customer["address"] or {}).get("country"):
        message = (
            "Automatic tax calculation in Checkout requires a valid address on the Customer. Add a valid address to"
            " the Customer or set either `customer_update[address]` to 'auto' or `customer_update[shipping]`."
        )
        raise invalid(message, "customer_tax_location_invalid", "automatic_tax")
    if (params.get("tax_id_collection") or {}).get("enabled") and updates.get("name") != "auto":
        message = (
            "Tax ID collection requires updating business name on the customer. To enable tax ID collection for an"
            " existing customer, please set `customer_update[name]` to `auto`."
        )
        raise invalid(message, None, "customer_update[name]")


def _creation(params: Json, mode: str) -> str | None:
    if params.get("customer") or mode == "setup":
        return None
    if mode == "subscription" or (params.get("invoice_creation") or {}).get("enabled"):
        return "always"
    return str(params.get("customer_creation", "if_required"))


def _invoice_creation(params: Json) -> Json:
    asked = params.get("invoice_creation") or {"enabled": False}
    data = asked.get("invoice_data") or {}
    return {"enabled": asked["enabled"], "invoice_data": {"metadata": data.get("metadata"), **data}}


def _line_items(world: World, params: Json, mode: str) -> list[Json]:
    asked = params.get("line_items") or []
    if mode == "setup":
        if asked:
            raise invalid("You can not pass `line_items` in `setup` mode.", None, "line_items")
        return []
    if not asked:
        raise invalid("You must pass `line_items`.", "parameter_missing", "line_items")
    items = [_line_item(world, item, f"line_items[{place}]") for place, item in enumerate(asked)]
    if len({item["currency"] for item in items}) > 1:
        raise invalid("All line items must have the same currency.", None, "line_items")
    recurring = [item for item in items if item["price"]["type"] == "recurring"]
    if mode == "payment" and recurring:
        message = "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or"
        raise invalid(f"{message} use only one-time prices.", None, "line_items[0][price]")
    if mode == "subscription" and not recurring:
        message = "You must provide at least one recurring price in `subscription` mode when using prices."
        raise invalid(message, None, "line_items")
    return items


def _line_item(world: World, asked: Json, where: str) -> Json:
    if ("price" in asked) == ("price_data" in asked):
        raise invalid("You must specify either `price` or `price_data`.", None, f"{where}[price]")
    if "price" in asked:
        price = world.get("price", asked["price"], f"{where}[price]")
        if not price["active"]:
            raise invalid("The price specified is inactive.", None, f"{where}[price]")
    else:
        data = dict(asked["price_data"])
        if product_data := data.pop("product_data", None):
            data["product"] = catalogue.create_product(world, dict(product_data))["id"]
        world.get("product", data.get("product", ""), f"{where}[price_data][product]")
        price = catalogue.make_price(world, data, active=False)
    quantity = asked.get("quantity", 1)
    amount = price["unit_amount"] * quantity
    return {
        "id": world.new_id("invoice", "li"),
        "object": "item",
        "adjustable_quantity": None,
        "amount_discount": 0,
        "amount_subtotal": amount,
        "amount_tax": 0,
        "amount_total": amount,
        "currency": price["currency"],
        "description": world.get("product", price["product"])["name"],
        "metadata": asked.get("metadata") or {},
        "price": dict(price),
        "quantity": quantity,
    }


# --- What the hosted page does ----------------------------------------------------------------------------------------
def close_if_late(world: World, session: Json) -> None:
    """Let a session expire whose time is over."""
    if session["status"] == "open" and world.now() >= session["expires_at"]:
        _expire(world, session)


def set_country(world: World, session: Json, country: str | None) -> None:
    """Compute the tax and the total anew for the country that the customer has given."""
    if session["mode"] == "setup" or not session["automatic_tax"]["enabled"]:
        return
    for item in world.secret(session["id"])["items"]:
        inclusive = item["price"]["tax_behavior"] == "inclusive"
        net = item["amount_subtotal"] - item["amount_discount"]
        item["amount_tax"] = tax_of(net, country, inclusive=inclusive)
        item["amount_total"] = net + (0 if inclusive else item["amount_tax"])
    items = world.secret(session["id"])["items"]
    session["total_details"]["amount_tax"] = sum(item["amount_tax"] for item in items)
    session["amount_total"] = sum(item["amount_total"] for item in items)
    session["automatic_tax"]["status"] = "complete" if country else "requires_location_inputs"
    world.changed = True


def collect(world: World, session: Json, details: Json) -> None:
    """Keep what the customer typed in: address, name, mail address, tax ids; update or make the customer from it."""
    country = details["address"]["country"]
    set_country(world, session, country)
    customer = session["customer"]
    if customer is None and (session["customer_creation"] == "always" or session["mode"] == "subscription"):
        data = {name: details[name] for name in ("email", "name", "address")}
        session["customer"] = customer = customers.create(world, data)["id"]
    elif customer:
        wanted = world.secret(session["id"])["update"]
        found = world.get("customer", customer)
        changes = {name: details[name] for name in ("name", "address") if wanted.get(name) == "auto" and details[name]}
        if not found["email"] and details["email"]:
            changes["email"] = details["email"]
        customers.change(world, found, changes)
    if customer:
        for tax_id in details["tax_ids"]:
            customers.add_tax_id(world, customer, tax_id["type"], tax_id["value"])
    session["customer_details"] = {
        "business_name": None,
        "individual_name": None,
        "phone": None,
        "tax_exempt": "none",
        **details,
    }
    world.changed = True


def pay(world: World, session: Json, method: Json) -> Json:
    """Charge or save the method. Returns the intent; the session is complete unless that asks for an action.

    Raises StripeError (402) for a decline: the session stays open for another try.
    """
    secret = world.secret(session["id"])
    if session["mode"] == "setup":
        setup = world.get("setup_intent", session["setup_intent"])
        world.secret(setup["id"])["session"] = session["id"]
        setups.confirm_setup(world, setup, method)
        if setup["status"] == "succeeded":
            complete_setup(world, setup)
        return setup
    if session["amount_total"] == 0:
        return _pay_nothing(world, session, method)
    data = dict(secret["data"]) if session["mode"] == "payment" else {"setup_future_usage": "off_session"}
    if secret.get("intent"):
        intent = world.get("payment_intent", secret["intent"])
        intent.update(amount=session["amount_total"], customer=session["customer"])
    else:
        intent = payments.new_intent(
            world,
            session["amount_total"],
            session["currency"],
            session["customer"],
            **{
                **data,
                "metadata": data.get("metadata") or {},
                "payment_method_types": session["payment_method_types"],
                "receipt_email": data.get("receipt_email") or session["customer_details"]["email"],
            },
        )
        secret["intent"] = intent["id"]
        world.secret(intent["id"])["session"] = session["id"]
    payments.confirm_intent(world, intent, method)
    return intent


def _pay_nothing(world: World, session: Json, method: Json) -> Json:
    """Complete a session that costs nothing; a subscription keeps the method for what comes."""
    if session["mode"] == "subscription":
        methods.attach(world, method, session["customer"])
        subscriptions.begin(world, session, method, None)
    _complete(world, session, "no_payment_required")
    return session


def complete_setup(world: World, setup: Json) -> None:
    """Complete the session whose card was saved."""
    if identifier := world.secret(setup["id"]).get("session"):
        _complete(world, world.get("checkout.session", identifier), "no_payment_required")


def follow(world: World, intent: Json) -> None:
    """Carry what became of an intent over to its session."""
    identifier = world.secret(intent["id"]).get("session")
    if not identifier:
        return
    session = world.get("checkout.session", identifier)
    waited = session["status"] == "complete"
    if intent["status"] == "requires_action":
        return
    if intent["status"] == "requires_payment_method":
        if waited:
            world.emit("checkout.session.async_payment_failed", session)
        return
    if session["mode"] == "subscription":
        subscriptions.begin(world, session, world.get("payment_method", intent["payment_method"]), intent)
        _complete(world, session, "paid")
        return
    session["payment_intent"] = intent["id"]
    if intent["status"] == "succeeded" and session["invoice_creation"]["enabled"]:
        session["invoice"] = invoices.invoice_of_payment(world, session, intent)["id"]
    if intent["status"] == "succeeded" and waited:
        session["payment_status"] = "paid"
        world.emit("checkout.session.async_payment_succeeded", session)
    elif not waited:
        _complete(world, session, "paid" if intent["status"] == "succeeded" else "unpaid")


def _complete(world: World, session: Json, payment_status: str) -> None:
    session.update(status="complete", payment_status=payment_status, url=None)
    coupons.count(world, session["discounts"])
    world.changed = True
    world.emit("checkout.session.completed", session)


def _expire(world: World, session: Json) -> None:
    session.update(status="expired", url=None)
    world.changed = True
    world.emit("checkout.session.expired", session)


payments.FOLLOWERS.append(follow)


# --- The API ----------------------------------------------------------------------------------------------------------
def retrieve(world: World, params: Json, session: str) -> Json:
    found = world.get("checkout.session", session)
    close_if_late(world, found)
    return found


def update(world: World, params: Json, session: str) -> Json:
    found = world.get("checkout.session", session)
    if "metadata" in params:
        found["metadata"] = customers.merged(found["metadata"], params["metadata"])
    return found


def expire(world: World, params: Json, session: str) -> Json:
    found = world.get("checkout.session", session)
    close_if_late(world, found)
    if found["status"] != "open":
        message = f'Only Checkout Sessions with a status in ["open"] can be expired. This one is {found["status"]}.'
        raise invalid(message, None, "session")
    _expire(world, found)
    return found


def list_all(world: World, params: Json) -> Json:
    names = ("customer", "payment_intent", "subscription", "status")
    for session in world.all("checkout.session"):
        close_if_late(world, session)
    equal = {name: params[name] for name in names if name in params}
    return page(world.all("checkout.session", **equal), params, "/v1/checkout/sessions")


def list_line_items(world: World, params: Json, session: str) -> Json:
    world.get("checkout.session", session)
    url = f"/v1/checkout/sessions/{session}/line_items"
    return page(world.secret(session)["items"], params, url, newest_first=False)


INCLUDABLE["checkout.session", "line_items"] = lambda world, session: world.secret(session["id"])["items"]

_CREATE = (
    " ".join(_ECHOED)
    + " automatic_tax.enabled currency metadata custom_text customer customer_creation customer_update expires_at"
    " invoice_creation.enabled invoice_creation.invoice_data.description invoice_creation.invoice_data.footer"
    " invoice_creation.invoice_data.metadata invoice_creation.invoice_data.custom_fields"
    " line_items.price line_items.price_data.currency line_items.price_data.product"
    " line_items.price_data.product_data line_items.price_data.recurring line_items.price_data.tax_behavior"
    " line_items.price_data.unit_amount line_items.quantity line_items.metadata mode"
    " payment_intent_data.description payment_intent_data.metadata payment_intent_data.receipt_email"
    " payment_intent_data.setup_future_usage payment_intent_data.statement_descriptor_suffix"
    " allowed_payment_method_types"
    " setup_intent_data.description setup_intent_data.metadata"
    " subscription_data.description subscription_data.metadata tax_id_collection ui_mode discounts.coupon"
    f" {_SERVER_SIDE}"
)
ROUTES = (
    Route("POST", "/v1/checkout/sessions", create, "checkout.SessionCreateParams", _CREATE),
    Route(
        "GET",
        "/v1/checkout/sessions",
        list_all,
        "checkout.SessionListParams",
        f"{LIST} created customer payment_intent subscription status",
    ),
    Route("GET", "/v1/checkout/sessions/{session}", retrieve, "checkout.SessionRetrieveParams"),
    Route("POST", "/v1/checkout/sessions/{session}", update, "checkout.SessionUpdateParams", "metadata"),
    Route("POST", "/v1/checkout/sessions/{session}/expire", expire, "checkout.SessionExpireParams"),
    Route(
        "GET",
        "/v1/checkout/sessions/{session}/line_items",
        list_line_items,
        "checkout.SessionListLineItemsParams",
        LIST,
    ),
)
