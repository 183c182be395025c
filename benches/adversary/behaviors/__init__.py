"""All behaviors; importing this package registers them."""

from behaviors import caches, channels, clean, conditions, disguised, failures, models, small, spread, useless, values  # noqa: F401
