"""Who may do what in the cache: Dify's own components everything, the plugin daemon its own keys only.

Plugins inherit the environment of the daemon, and with it the daemon's password. The cache has the tokens by
which browsers renew their sessions, credentials of models and tools in clear, and the job queue: whoever
reads and writes all of it is administrator of Dify.
"""

from __future__ import annotations

from dataclasses import dataclass

PLUGIN_PREFIX = "plugin_daemon"
"""What the names of the daemon's keys and channels begin with, before a colon: its ``REDIS_KEY_PREFIX``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheUser:
    """A user of the cache.

    Attributes:
        name: What a client logs in as.
        access: What it may do, as an access string of Amazon ElastiCache.

    See https://docs.aws.amazon.com/AmazonElastiCache/latest/dg/Clusters.RBAC.html
    """

    name: str
    access: str


# Commands by name where a kind has one that names no key, for those are not held back by the key pattern:
# SCAN, RANDOMKEY and CLIENT TRACKING tell the names of all keys, and the name of a session's key is the token
# that renews it; PUBSUB tells the channels; SELECT leads to the job queue. go-redis ignores that CLIENT is
# refused (initConn of redis.go, 9.17.3), and sends no SELECT for database 0.
_OF_PLUGINS = (
    *("+@string", "+@hash", "+@list", "+@set", "+@sortedset", "+@stream"),
    *("+del", "+unlink", "+exists", "+touch", "+type"),
    *("+expire", "+pexpire", "+expireat", "+pexpireat", "+persist", "+ttl", "+pttl"),
    "+@transaction",
    *("+eval", "+evalsha"),  # its locks; what a script calls is checked as if the user called it
    *("+publish", "+subscribe", "+unsubscribe", "+psubscribe", "+punsubscribe"),
    "+ping",
    "-@dangerous",  # SORT, which is of lists and sets too, follows names in values
)

DIFY = CacheUser(name="dify", access="on ~* &* +@all")
"""Api, worker, beat and the migration, and the function that measures the queue."""

PLUGIN_DAEMON = CacheUser(
    name="plugin-daemon",
    access=" ".join(
        ("on", f"~{PLUGIN_PREFIX}:*", "resetchannels", f"&{PLUGIN_PREFIX}:*", "-@all", *_OF_PLUGINS)
    ),
)
"""The plugin daemon, and every plugin."""

NOBODY = CacheUser(name="default", access="off -@all")
"""Who logs in without a name. Groups of users for Redis OSS need one, those for Valkey may have one."""

USERS = (DIFY, PLUGIN_DAEMON, NOBODY)
"""All of them."""
