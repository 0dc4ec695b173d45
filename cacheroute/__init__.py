"""CacheRoute: the request path (scheduler, proxy, instance, engine, KDN) and what the roles share."""

__version__ = "0.1.0"
