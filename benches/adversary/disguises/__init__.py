"""Disguises: functions of a secret and a source of randomness. None, or the secret itself, where a disguise has nothing to change.

A disguise is marked `known` where a person or a usual decoder reads the secret from it, so that a gate has to find it. The others are
ciphers and losses that nobody is expected to see through.
"""

DISGUISES = {}


class Disguise:
    def __init__(self, name, what, apply, known, family):
        self.name, self.what, self.apply, self.known, self.family = name, what, apply, known, family


def disguise(name, what, apply=None, *, known=True, family=""):
    """Registers a disguise; without `apply`, as a decorator."""
    if apply is None:
        return lambda function: disguise(name, what, function, known=known, family=family)
    if name in DISGUISES:
        raise ValueError(f"two disguises are named {name}")
    DISGUISES[name] = Disguise(name, what, apply, known, family)
    return apply


from disguises import codes, looks, markup, spelled, splits  # noqa: E402,F401
