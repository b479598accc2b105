"""The life of a customer, told by the official Credyt client from PyPI. Prints what it saw, as one JSON object.

Argument: the gateway's URL. The API key is in API_KEY.
"""

import json
import os
import sys
from datetime import datetime, timedelta, timezone
from decimal import Decimal

from corehttp.credentials import ServiceKeyCredential
from corehttp.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from credytapi import CredytApiClient, models

MILLION = 1_000_000


def client(key):
    return CredytApiClient(ServiceKeyCredential(key), endpoint=sys.argv[1], retry_total=0)


credyt = client(os.environ["API_KEY"])
wallets = credyt.wallets.customer_wallet_ops
now = datetime.now(timezone.utc)
seen = {}


def plain(value):
    """What JSON can show of a value that the client made."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "as_dict"):
        return plain(value.as_dict())
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def number(model, name):
    """A number of a field that the client declares to be whole, and so cuts off when it is read as an attribute."""
    return Decimal(str(model[name]))


def refusal(kind, call):
    """How the client tells of a refusal: exactly this class, and the model that it read."""
    try:
        call()
    except HttpResponseError as error:
        assert type(error) is kind, (type(error), error)
        return {"status": error.status_code, "model": type(error.model).__name__, "is": plain(error.model)}
    raise AssertionError("no refusal")


def token_price(name, field, rate):
    return models.UsageBasedPrice(
        name=name,
        billing_model=models.RealTimeBilling(),
        usage_calculation=models.UsageCalculation(
            event_type="completion", usage_type="volume", volume_field=field, billable_dimensions=["model"]
        ),
        pricing=[
            models.UsageBasedAssetPricing(
                asset="USD",
                values_property=[
                    models.DimensionalPrice(
                        dimensions={"model": "large"},
                        values_property=[models.PriceValue(volume_rate=rate, package_size=MILLION)],
                    ),
                    models.DimensionalPrice(
                        dimensions={"model": "*"}, values_property=[models.PriceValue(volume_rate=0)]
                    ),
                ],
            )
        ],
    )


def assets():
    credyt.assets.create(
        models.CreateAssetRequest(
            code="TOKENS", name="Tokens", precision=0, symbol="T",
            rates=[models.StartingExchangeRate(source="USD", rate=Decimal("0.01"))],
        )
    )
    credyt.assets.add_rate(
        "TOKENS",
        models.AddAssetRateRequest(source="USD", rate=Decimal("0.02"), valid_from=now + timedelta(days=1)),
    )
    seen["asset"] = plain(credyt.assets.get("TOKENS"))["precision"]
    seen["assets"] = [asset.code for asset in credyt.assets.list().items_property]
    quote = lambda at: credyt.assets.quote(
        "TOKENS", models.QuoteAssetRequest(source="USD", amount=Decimal("12.5"), exchange_at=at)
    )
    seen["quotes"] = [str(quote(at).destination_amount) for at in (now + timedelta(minutes=1), now + timedelta(days=2))]


def products():
    made = credyt.products.create(
        models.CreateProductRequest(
            name="Completions", code="completions", publish=False,
            prices=[
                token_price("Input", "input_tokens", 1.25),
                token_price("Output", "output_tokens", 10),
                models.FixedPrice(
                    name="Setup", billing_model=models.OneTimeBilling(one_time=models.OneTimeBillingOneTime()),
                    pricing=[models.FixedAssetPricing(asset="USD", values_property=[models.FixedPriceValue(unit_price=1)])],
                ),
            ],
            entitlements=[
                models.Entitlement(
                    name="Welcome", asset="TOKENS", amount=Decimal(500), purpose="bundled", priority=1,
                    lifecycle=models.EntitlementLifecycle(
                        duration="month", refresh=models.EntitlementRefresh(strategy="expire_and_replace")
                    ),
                )
            ],
        )
    )
    seen["draft"] = [made.version, made.status, made.is_default]
    credyt.products.update_version(made.id, 1, models.UpdateProductVersionRequest(publish=True))
    version = credyt.products.get_version(made.id, 1)
    seen["published"] = [version.status, version.is_default, [price["name"] for price in version.prices]]
    second = credyt.products.create_version(
        made.id, models.CreateProductVersionRequest(prices=version.prices, publish=False)
    )
    credyt.products.archive_version(made.id, second.version)
    product = credyt.products.get(made.id)
    seen["versions"] = [(each.version, each.status) for each in product.versions]
    seen["default_version"] = product.default_version.version
    simulated = credyt.products.simulate_usage(
        made.id, 1, models.SimulateUsageRequest(events=[completion("simulated", "large")])
    )
    seen["simulated"] = sum(number(fee, "amount") for fee in simulated.fees)
    seen["products"] = [each.code for each in credyt.products.list(code="completions").items_property]
    return made.id


def completion(id, model):
    return models.UsageEvent(
        id=id, event_type="completion", occurred_at=now + timedelta(minutes=1), subject="chat",
        data={"model": model, "input_tokens": 2353, "output_tokens": 34697},
    )


def customers():
    made = credyt.customers.create(
        models.CreateCustomerRequest(name="Ann", external_id="ann", email="ann@example.com", metadata={"plan": "a"})
    )
    credyt.customers.update(made.id, models.UpdateCustomerRequest(name="Anne"))
    found = credyt.customers.list(external_id="ann")
    seen["customers"] = [found.total_count, found.items_property[0].name, found.items_property[0].id == made.id]
    seen["metadata"] = plain(credyt.customers.get(made.id).metadata)
    return made.id


def credit(customer):
    """A gift that lasts, and a top-up that was paid elsewhere and expires after a year."""
    adjust = lambda id, amount, reason, **more: wallets.create_adjustment(
        customer,
        models.CreateAdjustmentRequest(transaction_id=id, asset="USD", amount=Decimal(amount), reason=reason, **more),
    )
    adjust("gift", "2", "gift", expires_at=now + timedelta(days=3), metadata={"campaign": "spring"})
    adjust("top-up", "10", "external_topup")
    assert adjust("top-up", "10", "external_topup").id == "top-up"
    adjust("correction", "-0.5", "other")
    transaction = wallets.get_transaction(customer, "gift")
    seen["transaction"] = [transaction.type, transaction.account_id, str(transaction.amount), plain(transaction.metadata)]


def subscribe(customer, product):
    made = credyt.customers.create_subscription(
        customer,
        models.CreateCustomerSubscription(products=[models.CustomerSubscriptionProduct(code="completions")]),
    )
    seen["subscription"] = [made.status, made.products[0].version]
    credyt.customers.update_subscription_product(
        customer, made.id, product, models.UpdateCustomerSubscriptionProductRequest(version="default")
    )
    subscribers = credyt.products.get_subscribers(product).items_property
    seen["subscribers"] = [(each.customer_id == customer, each.version) for each in subscribers]
    return made.id


def use(customer):
    batch = models.UsageRequest(
        customer_external_id="ann", events=[completion("e-1", "large"), completion("e-2", "small")]
    )
    credyt.events.send_usage(batch)
    credyt.events.send_usage(batch)
    event = credyt.events.get("e-1")
    seen["fees"] = [(fee.price_name, str(number(fee, "amount")), plain(fee.dimensions)) for fee in event.fees]
    listed = credyt.events.list(customer_id=customer)
    seen["events"] = sorted((each.id, str(number(each, "total_fees")), each.has_fees) for each in listed.items_property)
    wallets.create_charge(
        customer,
        models.CreateChargeRequest(transaction_id="charge", asset="USD", amount=Decimal("0.25"), description="Report"),
    )


def balances(customer):
    wallet = wallets.get_customer_wallet(customer)
    seen["wallet"] = sorted((account.id, str(account.available)) for account in wallet.accounts)
    account = wallets.get_account(customer, "default:USD")
    seen["account"] = [str(account.available), str(account.pending_in), str(account.pending_out)]
    grants = wallets.get_credit_grants(customer, "default:USD", exclude_expired=True)
    seen["grants"] = [(grant.purpose, str(number(grant, "available"))) for grant in grants.items_property]
    tokens = wallets.get_credit_grants(customer, "default:TOKENS", purpose="bundled").items_property
    seen["entitlement"] = [(grant.purpose, str(number(grant, "available"))) for grant in tokens]


def top_up(customer):
    request = lambda rate: models.InitiateTopUpRequest(
        customer_id=customer,
        amount=Decimal("25.10"),
        currency="USD",
        description="Credits",
        destination=models.TopUpDestination(asset="TOKENS", exchange_rate=rate),
        credit_expires_at=now + timedelta(days=30),
        return_url="https://shop.example/ok",
        failure_url="https://shop.example/no",
        metadata={"order": "17"},
    )
    begun = credyt.top_ups.initiate(request(Decimal("100")))
    found = credyt.top_ups.get(begun.id)
    seen["top_up"] = [begun.status, found.status, str(found.amount), found.currency, str(found.destination.exchange_rate)]
    seen["checkout"] = begun.redirect_url.rsplit("/", 1)[0]
    seen["refused rate"] = refusal(HttpResponseError, lambda: credyt.top_ups.initiate(request(Decimal(0))))


def refusals(customer, product, subscription):
    charge = lambda amount, id="charge": wallets.create_charge(
        customer, models.CreateChargeRequest(transaction_id=id, asset="USD", amount=amount)
    )
    bad = completion("e-4", "large")
    bad.data = {"model": "large"}
    seen["refusals"] = {
        "no key": refusal(ClientAuthenticationError, lambda: client("wrong").customers.get(customer)),
        "no customer": refusal(ResourceNotFoundError, lambda: credyt.customers.get("cust_nobody")),
        "no account": refusal(ResourceNotFoundError, lambda: wallets.get_account(customer, "other:USD")),
        "same id, other charge": refusal(ResourceExistsError, lambda: charge(Decimal("0.26"))),
        "same external id": refusal(
            ResourceExistsError,
            lambda: credyt.customers.create(models.CreateCustomerRequest(name="Bob", external_id="ann")),
        ),
        "subscribed": refusal(ResourceExistsError, lambda: credyt.products.delete(product)),
        "same event, other content": refusal(
            ResourceExistsError,
            lambda: credyt.events.send_usage(
                models.UsageRequest(customer_id=customer, events=[completion("e-1", "small")])
            ),
        ),
        "not covered": refusal(HttpResponseError, lambda: charge(Decimal(1000), "large")),
        "one bad event": refusal(
            HttpResponseError,
            lambda: credyt.events.send_usage(
                models.UsageRequest(customer_id=customer, events=[completion("e-3", "large"), bad])
            ),
        ),
        "malformed": refusal(HttpResponseError, lambda: credyt.customers.create("[]".encode())),
    }
    credyt.customers.update_subscription(
        customer, subscription, models.UpdateCustomerSubscriptionRequest(status="inactive")
    )
    seen["ended"] = credyt.customers.get(customer).subscriptions[0].status
    credyt.products.delete(product)


assets()
product = products()
customer = customers()
credit(customer)
subscription = subscribe(customer, product)
use(customer)
balances(customer)
top_up(customer)
refusals(customer, product, subscription)
context = credyt.accounts.get_context()
seen["context"] = [context.environment, context.account_id[:5]]
shop = "https://shop.example"
session = credyt.billing_portal.create_portal_session(
    models.CreateSessionRequest(customer_id=customer, return_url=shop, failure_url=shop)
)
seen["portal"] = ["/portal/enter/" in session.redirect_url, 9 < (session.expires_at - now).total_seconds() / 60 < 12]
seen["customer"] = customer
print(json.dumps(plain(seen)))
