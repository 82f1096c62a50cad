"""The simple shape: Django connects to the servers themselves, and asks Backstay which one is the primary."""

import os

from shop.settings import *  # noqa: F401,F403
from shop.settings import listener


def server(address):
    host, port = address.rsplit(":", 1)
    return {**listener(port), "HOST": host}


SERVERS = os.environ.get("SHOP_SERVERS", "10.0.0.2:5432,10.0.0.3:5432,10.0.0.4:5432").split(",")

DATABASES = {"default": server(SERVERS[0])}
for n, address in enumerate(SERVERS[1:], 1):
    DATABASES[f"failover{n}"] = {**server(address), "TEST": {"MIRROR": "default"}}

MIDDLEWARE = ["steady.again.RunAgainMiddleware"]
DATABASE_ROUTERS = ["steady.ask.PrimaryRouter"]

# Any host that runs the cluster's file answers (listen: health); the first that knows counts.
BACKSTAY_HEALTH = os.environ.get("SHOP_HEALTH", "http://10.0.0.2:6434,http://10.0.0.3:6434").split(",")
# Names of the members in backstay.yaml, in the order of the servers above.
BACKSTAY_MEMBERS = dict(zip(os.environ.get("SHOP_MEMBERS", "db1,db2,db3").split(","), DATABASES))
