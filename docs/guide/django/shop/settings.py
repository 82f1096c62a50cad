"""One address for writes, one for reads: Backstay's listeners."""

import os

SECRET_KEY = os.environ.get("SHOP_SECRET", "only for the example")
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
INSTALLED_APPS = ["orders"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

MIDDLEWARE = [
    "steady.pin.PinMiddleware",
    "steady.again.RunAgainMiddleware",
]


def listener(port):
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ.get("SHOP_HOST", "127.0.0.1"),
        "PORT": port,
        "NAME": os.environ.get("SHOP_DATABASE", "postgres"),
        "USER": os.environ.get("SHOP_USER", "app"),
        "PASSWORD": os.environ.get("SHOP_PASSWORD", ""),
        # Kept connections are what Backstay moves when the primary changes; a new one for each request also costs a login.
        "CONN_MAX_AGE": 600,
        # Django asks a kept connection whether it lives before a request uses it (4.1 and later; steady.again does it before).
        "CONN_HEALTH_CHECKS": True,
        "OPTIONS": {
            # Longer than Backstay holds who connects while there is no primary (wait: 20s).
            "connect_timeout": 25,
            # A host that vanished without a word is noticed within about ten seconds, not after two hours.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": 10000,
            # A statement that hangs must not hold a worker for ever.
            "options": "-c statement_timeout=30s -c lock_timeout=10s",
        },
    }


DATABASES = {
    "default": listener(os.environ.get("SHOP_RW", "6432")),
    "replica": {**listener(os.environ.get("SHOP_RO", "6433")), "TEST": {"MIRROR": "default"}},
}
DATABASE_ROUTERS = ["steady.pin.ReadRouter"]
