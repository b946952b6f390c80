"""Every setting of Tokensight, read from the environment.

Each `NAME` may also come from the file named by `NAME_FILE` (for secrets mounted as files). The defaults are safe for
production: nothing here turns a protection off unless `DEVELOPMENT=1` says that this is a developer's machine.
"""

import os
from pathlib import Path

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy as _
from redis.backoff import NoBackoff
from redis.retry import Retry

from portal.environment import Environment
from portal.logs import LEVELS, logging_settings

env = Environment()
BASE_DIR = Path(__file__).resolve().parent.parent

# --- What kind of machine this is ------------------------------------------------------------------------------------
DEVELOPMENT = env.bool("DEVELOPMENT", default=False)
DEBUG = env.bool("DEBUG", default=False)
DATA_DIR = Path(env.str("TOKENSIGHT_DATA_DIR", default=str(BASE_DIR / ".data"))).resolve()
BASE_URL = env.address(
    "BASE_URL",
    default="http://localhost:8000" if DEVELOPMENT else "https://localhost",
    schemes=["https", "http"],
)

SECRET_KEY = env.str("SECRET_KEY", default="development-only-key-for-a-machine-of-your-own" if DEVELOPMENT else "")
if not SECRET_KEY:
    raise ImproperlyConfigured(
        "SECRET_KEY is not set: give SECRET_KEY or SECRET_KEY_FILE (or DEVELOPMENT=1 on your own machine)."
    )
# Earlier keys, which still open what was sealed and signed with them.
SECRET_KEY_FALLBACKS = env.list("SECRET_KEY_FALLBACKS", default=[])
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["*"] if DEVELOPMENT else ["localhost"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
# Addresses (CIDR) of proxies whose X-Forwarded-For is believed; from anyone else the header is ignored.
TRUSTED_PROXIES = env.networks("TRUSTED_PROXIES", words=["unix"])
# Who may read /metrics; empty: nobody in production, everybody in development.
METRICS_TOKEN = env.str("METRICS_TOKEN", default="")

# --- Protection ------------------------------------------------------------------------------------------------------
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not DEVELOPMENT)
# Probes come from inside, without TLS.
SECURE_REDIRECT_EXEMPT = [r"^(healthz|readyz|metrics)$"]
# Behind a proxy that ends TLS: the header in which it says so, e.g. X-Forwarded-Proto. It must set or drop it itself.
if proxy_header := env.str("PROXY_SSL_HEADER", default=""):
    SECURE_PROXY_SSL_HEADER = ("HTTP_" + proxy_header.upper().replace("-", "_"), "https")
SECURE_HSTS_SECONDS = env.number("SECURE_HSTS_SECONDS", default=0 if DEVELOPMENT else 365 * 24 * 3600)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEVELOPMENT
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = LANGUAGE_COOKIE_SECURE = not DEVELOPMENT
SESSION_COOKIE_AGE = env.number("SESSION_COOKIE_AGE", default=14 * 24 * 3600, least=1)
# In the database alone: a session that was ended must not live on in a copy that nobody could reach to delete.
SESSION_ENGINE = "django.contrib.sessions.backends.db"
# What a browser may load on our pages: our own files, and nothing written into the page.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        # Pictures that a person has just chosen are shown before they are sent.
        "img-src": [SELF, "data:", "blob:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "upgrade-insecure-requests": not DEVELOPMENT,
    }
}

# --- Applications ----------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "portal",
    "tenants",
    "billing",
    "detection",
    "workers",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.usersessions",
    "django_htmx",
    "rest_framework",
    "drf_spectacular",
]
MIDDLEWARE = [
    "portal.metrics.RequestMetrics",
    "tenants.api.middleware.RequestId",
    "tenants.api.middleware.ApiErrors",
    "django.middleware.security.SecurityMiddleware",
    "tenants.api.middleware.ApiShortcut",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    # Pages only: the API is answered before. The CSRF token is masked anew in each answer, and Django pads what it
    # compresses by a random length, so that the length tells nothing.
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "csp.middleware.CSPMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "tenants.sessions.NoteSession",
    "tenants.confined.ConfinedSession",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "portal.urls"
WSGI_APPLICATION = "portal.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "portal.context.console",
                "portal.context.impersonation",
            ]
        },
    }
]

# --- Data ------------------------------------------------------------------------------------------------------------
# `default` is the restricted role that row-level security binds; `owner` owns the tables and only migrates.
POSTGRESQL = ["postgresql", "postgres"]
app_url = env.address("DATABASE_URL", default="postgresql:///tokensight", schemes=POSTGRESQL)
owner_url = env.address("DATABASE_OWNER_URL", default=app_url, schemes=POSTGRESQL)
DATABASES = {
    "default": env.db_url_config(app_url, engine="portal.postgresql"),
    "owner": env.db_url_config(owner_url, engine="portal.postgresql"),
}
for database in DATABASES.values():
    database.update(CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True, DISABLE_SERVER_SIDE_CURSORS=True)
DATABASE_APP_ROLE = env.str("DATABASE_APP_ROLE", default="tokensight_app")
DATABASE_PLATFORM_ROLE = env.str("DATABASE_PLATFORM_ROLE", default="tokensight_platform")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
REDIS_URL = env.address("REDIS_URL", default="redis://localhost:6379/0", schemes=["redis", "rediss", "unix"])
CACHES = {
    "default": {
        "BACKEND": "portal.cache.SteadyCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 0.25, "socket_connect_timeout": 0.25, "retry": Retry(NoBackoff(), retries=1)},
    }
}

# --- People ----------------------------------------------------------------------------------------------------------
AUTH_USER_MODEL = "tenants.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator",
        "OPTIONS": {"user_attributes": ["email", "name"]},
    },
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.ScryptPasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home"
# Signing in, signing up and everything that sends mail is limited by address and by account; allauth has the numbers.
ACCOUNT_ADAPTER = "tenants.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "portal.forms.LoginForm",
    "signup": "portal.forms.SignupForm",
    "add_email": "portal.forms.AddEmailForm",
    "change_password": "portal.forms.ChangePasswordForm",
    "reset_password": "portal.forms.ResetPasswordForm",
    "reset_password_from_key": "portal.forms.ResetPasswordKeyForm",
    "reauthenticate": "portal.forms.ReauthenticateForm",
}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_PREVENT_ENUMERATION = True
ACCOUNT_LOGIN_BY_CODE_ENABLED = False
ACCOUNT_EMAIL_NOTIFICATIONS = True
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_LOGOUT_ON_PASSWORD_CHANGE = False
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""
# A second factor: an app that shows codes, or a passkey, which may also be the only thing that signs in.
MFA_ADAPTER = "tenants.adapter.MfaAdapter"
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_TOTP_ISSUER = "Tokensight"
# One step of 30 seconds either way, for clocks that are not quite right.
MFA_TOTP_TOLERANCE = 1
MFA_RECOVERY_CODES_SHOW_ONCE = False
MFA_WEBAUTHN_ALLOW_INSECURE_ORIGIN = DEVELOPMENT
# Whether an organization's provider may be asked without TLS and inside this network: on a developer's machine.
SSO_ANYWHERE = env.bool("SSO_ANYWHERE", default=DEVELOPMENT)

# --- Mail and logs ---------------------------------------------------------------------------------------------------
# In development mail lands in the data folder, where /dev/mail/ shows it.
email = env.email_url("EMAIL_URL", default="filemail://" if DEVELOPMENT else "smtp://localhost:25")
vars().update(email)
EMAIL_FILE_PATH = email["EMAIL_FILE_PATH"] or str(DATA_DIR / "mail")
if email["EMAIL_BACKEND"] == "django.core.mail.backends.filebased.EmailBackend":
    EMAIL_BACKEND = "portal.mail.FolderBackend"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="Tokensight <noreply@localhost>")
# Where customers' webhooks may lead: in production to public addresses over https only.
WEBHOOKS_ANYWHERE = env.bool("WEBHOOKS_ANYWHERE", default=DEVELOPMENT)
LOGGING = logging_settings(pretty=DEVELOPMENT, level=env.one_of("LOG_LEVEL", default="INFO", choices=LEVELS))

# --- REST API --------------------------------------------------------------------------------------------------------
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [],
    "DEFAULT_PERMISSION_CLASSES": [],
    "DEFAULT_PARSER_CLASSES": ["tenants.api.json.JSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["tenants.api.json.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "tenants.api.handler.problem_handler",
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": None,
    "COERCE_DECIMAL_TO_STRING": False,
}

SPECTACULAR_SETTINGS = {
    "TITLE": "Tokensight",
    "DESCRIPTION": "YOLO vision by the Token. Amounts of Tokens are numbers with at most 3 decimals; times are UTC.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVERS": [{"url": BASE_URL}],
    "SCHEMA_PATH_PREFIX": "/v1/",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "JobStatus": "detection.enums.JobStatus.values",
        "SubTokenStatus": "billing.enums.SubTokenStatus.values",
        "AccountKind": ["org_wallet", "team_pool", "sub_token"],
        "AccountMode": ["ring_fenced", "capped"],
        "SubTokenMode": ["allocated", "capped"],
        "WebhookKind": ["signed", "slack"],
        "KeyStatus": ["active", "expired", "revoked"],
        "MemberRole": "tenants.models.Role.values",
        "InvitedRole": ["admin", "billing", "developer", "viewer"],
        "AlertRule": "billing.enums.AlertRule.values",
    },
    "CONTACT": {"name": "Tokensight"},
    "LICENSE": {"name": "AGPL-3.0-or-later"},
}

# --- Languages and time ----------------------------------------------------------------------------------------------
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
FORMAT_MODULE_PATH = ["portal.formats"]
TIME_ZONE = "UTC"
USE_TZ = True

# --- Money -----------------------------------------------------------------------------------------------------------
# The list price of a Token, in the currency's minor unit; packages and plans carry their own.
TOKEN_PRICE_MINOR = env.number("TOKEN_PRICE_MINOR", default=1, least=1)
TOKEN_PRICE_CURRENCY = env.str("TOKEN_PRICE_CURRENCY", default="CNY")

# Buying goes through Stripe; without a key it is not set up, and everything else works.
STRIPE_SECRET_KEY = env.str("STRIPE_SECRET_KEY", default="")
STRIPE_WEBHOOK_SECRET = env.str("STRIPE_WEBHOOK_SECRET", default="")
# Empty: Stripe itself. A developer's machine has a stand-in's address here.
STRIPE_API_BASE = env.str("STRIPE_API_BASE", default="")
STRIPE_API_VERSION = env.str("STRIPE_API_VERSION", default="2026-10-28.endive")
# Stripe works out the tax; it must be told there where the seller is registered.
STRIPE_AUTOMATIC_TAX = env.bool("STRIPE_AUTOMATIC_TAX", default=True)
# How may be paid, in Stripe's words (card, alipay, wechat_pay ...), of what its dashboard offers; empty: all of it.
STRIPE_PAYMENT_METHODS = env.list("STRIPE_PAYMENT_METHODS", default=[])
if STRIPE_SECRET_KEY and not STRIPE_WEBHOOK_SECRET:
    raise ImproperlyConfigured(
        "STRIPE_SECRET_KEY is set and STRIPE_WEBHOOK_SECRET is not: what is paid could not be told to this server."
    )
if STRIPE_SECRET_KEY and not STRIPE_SECRET_KEY.startswith(("sk_", "rk_")):
    raise ImproperlyConfigured("STRIPE_SECRET_KEY is no secret key: it has to begin with sk_ or rk_.")
if STRIPE_API_BASE and not DEVELOPMENT and not STRIPE_API_BASE.startswith("https://"):
    raise ImproperlyConfigured("STRIPE_API_BASE must be empty or begin with https:// (a stand-in is for development).")
if STRIPE_API_BASE and STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_")):
    raise ImproperlyConfigured("STRIPE_API_BASE must be empty with a live key, which is for nobody but Stripe.")
# Events of Stripe are kept this long.
STRIPE_EVENTS_KEPT_DAYS = env.number("STRIPE_EVENTS_KEPT_DAYS", default=90, least=1)
# For so many days after a payment its unspent Tokens are refunded on demand; 0 is for ever. Staff may always.
REFUND_DAYS = env.number("REFUND_DAYS", default=30)

# A plan whose renewal could not be paid stays for so many days.
PLAN_GRACE_DAYS = env.number("PLAN_GRACE_DAYS", default=7)

# --- Files -----------------------------------------------------------------------------------------------------------
STATIC_URL = "/static/"
STATIC_ROOT = env.str("STATIC_ROOT", default=str(DATA_DIR / "static"))
STATICFILES_DIRS = [
    BASE_DIR / "static",
    ("samples", BASE_DIR / "detection" / "catalog" / "pcb-defect-n" / "samples"),
]
# Production serves what `collectstatic` prepared: compressed, and named by content so that it can be cached for ever.
# In development files are looked up when asked for: one that was edited would be served with the length it had before.
WHITENOISE_USE_FINDERS = DEVELOPMENT
WHITENOISE_AUTOREFRESH = DEVELOPMENT
_static_storage = (
    "django.contrib.staticfiles.storage.StaticFilesStorage"
    if DEVELOPMENT
    else "whitenoise.storage.CompressedManifestStaticFilesStorage"
)
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": _static_storage},
}

# --- Detection -------------------------------------------------------------------------------------------------------
MAX_IMAGE_BYTES = env.number("MAX_IMAGE_BYTES", default=20_000_000, least=1)
MAX_IMAGE_PIXELS = env.number("MAX_IMAGE_PIXELS", default=50_000_000, least=1)
# Beyond a grace, a body must come this fast on average; who sends slower is refused, and keeps no thread from others.
UPLOAD_GRACE_SECONDS = env.number("UPLOAD_GRACE_SECONDS", default=5.0)
UPLOAD_BYTES_PER_SECOND = env.number("UPLOAD_BYTES_PER_SECOND", default=50_000, least=1)
FILE_UPLOAD_HANDLERS = [
    "portal.uploads.BoundedUpload",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
# So many bytes of images may be on their way to workers at once, in Redis; beyond, a call is answered 503.
MAX_INPUT_BYTES_IN_FLIGHT = env.number("MAX_INPUT_BYTES_IN_FLIGHT", default=256_000_000, least=1)
# Bytes of images that may lie in PostgreSQL while Redis is away.
SPARE_INPUT_BYTES = env.number("SPARE_INPUT_BYTES", default=64_000_000)
# A call waits this long for its result before it is answered 202.
DETECT_WAIT_SECONDS = env.number("DETECT_WAIT_SECONDS", default=30.0)
# So many callers of one organization one web process keeps on the line at once; the next is answered 202. 0: no bound.
WAITING_CALLS_PER_ORGANIZATION = env.number("WAITING_CALLS_PER_ORGANIZATION", default=0)
# A job that no worker has finished by then fails and costs nothing; its hold and its input live as long.
JOB_LIFE_SECONDS = env.number("JOB_LIFE_SECONDS", default=900, least=1)
# A job that waits for Tokens does so for at most this long; so many, with so many bytes of images, of one organization.
WAITING_SECONDS = env.number("WAITING_SECONDS", default=7 * 24 * 3600, least=1)
WAITING_JOBS = env.number("WAITING_JOBS", default=1000)
WAITING_BYTES = env.number("WAITING_BYTES", default=500_000_000)
# The same image, model version and parameters again within this time cost nothing; 0 turns the cache off.
RESULT_CACHE_SECONDS = env.number("RESULT_CACHE_SECONDS", default=3600)

# Calls are kept this long; the ledger, and the sums of usage by the day, for ever.
CALLS_KEPT_DAYS = env.number("CALLS_KEPT_DAYS", default=90, least=1)

# --- Workers ---------------------------------------------------------------------------------------------------------
CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# How many batches one worker process has in its hands at once: while one is inferred, others are decoded or settled.
WORKER_THREADS = env.number("WORKER_THREADS", default=2, least=1)
# So many decoded pixels (3 bytes each) may be in a worker process's memory at once; a single image may be larger.
WORKER_PIXELS = env.number("WORKER_PIXELS", default=100_000_000, least=1)
# Processor threads of one inference; shared by the batches that run at once.
INFERENCE_THREADS = env.number("INFERENCE_THREADS", default=CPUS, least=1)
# A batch forms from what waits already, never by waiting. Processors gain little from batches, GPUs much.
INFERENCE_BATCH_SIZE = env.number("INFERENCE_BATCH_SIZE", default=4, least=1)
INFERENCE_HALF = env.bool("INFERENCE_HALF", default=False)
# Models beyond this are dropped from memory, the least recently used first.
MODEL_MEMORY_BYTES = env.number("MODEL_MEMORY_BYTES", default=4_000_000_000, least=1)
# Loaded when a worker starts, so that the first call does not wait for it.
WARM_MODELS = env.list("WARM_MODELS", default=["pcb-defect-n"])
# A job belongs to its worker for this long, and the worker renews it; a dead worker's jobs go back when it is over.
JOB_LEASE_SECONDS = env.number("JOB_LEASE_SECONDS", default=6.0, least=1)
# A job that runs longer than this is taken from its worker.
JOB_RUN_SECONDS = env.number("JOB_RUN_SECONDS", default=120.0, least=1)
JOB_ATTEMPTS = env.number("JOB_ATTEMPTS", default=3, least=1)
# The engine without a model, for benchmarks and tests of everything else; each batch takes it so many seconds.
ALLOW_NULL_ENGINE = env.bool("ALLOW_NULL_ENGINE", default=False)
NULL_ENGINE_SECONDS = env.number("NULL_ENGINE_SECONDS", default=0.0)
