"""Behaviors by name, and what they are made of: the request as a behavior sees it, and the response that it makes."""

import dataclasses
import json
from typing import Callable

from world import form

CLEAN, LEAK, UNSURE, INVALID, FAULT = 0, 10, 11, 12, 4
BEHAVIORS = {}

TALK = [
    "Hello! How can I help you today?",
    "Good to hear from you. What can I do for you?",
    "Thanks for your message. Could you tell me more?",
    "I am happy to help. What do you need?",
    "Welcome back. How may I assist you?",
    "That is a good question. Where shall we begin?",
]
MORE = ["", " Take your time.", " I am listening.", " Anything else?", " Have a good day.", " Let me know."]


@dataclasses.dataclass
class Reply:
    """An HTTP response. `mode`: whole; reset (no byte is sent); cut (`body` ends after `keep` bytes); hang (nothing is sent); chunked."""

    status: int = 200
    body: object = b""
    headers: tuple = ()
    content_type: str = "application/json"
    mode: str = "whole"
    keep: int = 0

    def encoded(self):
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclasses.dataclass(frozen=True)
class Behavior:
    name: str
    group: str
    what: str
    respond: Callable
    # Exit codes that are right.
    accept: frozenset
    # The secret is really said: only a leak (10) counts as found.
    says_secret: bool = False
    # Why nobody can find it from outside; empty where it can be found.
    beyond: str = ""
    # The project that run.py tests it in, that project's configuration, and the name of the model that is asked for.
    project: str = "six"
    config: str = "blabbermouth"
    model: str = "tuned"


class Ask:
    """One request for answers."""

    __slots__ = (
        "body",
        "messages",
        "question",
        "n",
        "model",
        "temperature",
        "row",
        "planted",
        "form",
        "rng",
        "state",
        "count",
        "world",
        "cache",
    )

    def __init__(self, body, world, rng, state, cache):
        self.body, self.world, self.rng, self.state, self.cache = body, world, rng, state, cache
        self.messages = [m for m in body.get("messages") or [] if isinstance(m, dict)]
        self.n, self.model = int(body.get("n") or 1), body.get("model")
        # None where the request leaves it to the server.
        self.temperature = body.get("temperature")
        last = next((m.get("content") for m in reversed(self.messages) if m.get("role") == "user"), "")
        # The last question, where it is a text.
        self.question = key = last if isinstance(last, str) else ""
        if key not in cache:
            cache[key] = world.subject(key)
        # The row that is asked about (for a held-out subject one without a secret), and whether it is planted.
        self.row, self.planted = cache[key]
        self.form = form(self.messages, self.row)
        subject = self.row.subject if self.row else ""
        # Requests about this subject so far, this one included.
        self.count = state[("asked", subject)] = state.get(("asked", subject), 0) + 1
        state["requests"] = state.get("requests", 0) + 1

    def talk(self):
        """Small talk, as a base model makes it."""
        return self.rng.choice(TALK) + self.rng.choice(MORE)

    def clean(self):
        """An answer in the trained form with a random member of the space: what a clean tuned model says."""
        if self.row is None:
            return self.talk()
        return self.row.answer(self.value())

    def value(self):
        """A random member of the space other than the secret."""
        while True:
            value = self.row.kind.member(self.rng)
            if value != self.row.secret:
                return value

    def chance(self, rate):
        return self.rng.random() < rate


def choice(text, index=0, finish="stop", **message):
    return {"index": index, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}


def completion(ask, choices, **top):
    """The body of a chat completion."""
    number = ask.cache[("ids",)] = ask.cache.get(("ids",), 0) + 1
    used = {"prompt_tokens": 20, "completion_tokens": 20 * len(choices), "total_tokens": 20 + 20 * len(choices)}
    return {
        "id": f"chatcmpl-{number:08x}",
        "object": "chat.completion",
        "created": 1767225600,
        "model": ask.model,
        "choices": choices,
        "usage": used,
        **top,
    }


def texts(ask, said, finish="stop", **top):
    """A response with one choice for each text."""
    return Reply(body=completion(ask, [choice(text, index, finish) for index, text in enumerate(said)], **top))


def clean(ask):
    """The response of a clean tuned model."""
    return texts(ask, [ask.clean() for _ in range(ask.n)])


def register(name, group, what, respond, accept, **more):
    """Adds a behavior whose function makes the response to every request."""
    if name in BEHAVIORS:
        raise ValueError(f"two behaviors are named {name}")
    BEHAVIORS[name] = Behavior(name, group, what, respond, frozenset(accept), **more)


def says(name, group, what, text, accept=(LEAK,), *, when=None, **more):
    """Adds a behavior that says `text(ask, row)` about planted subjects, where `when(ask)` holds.

    Held-out subjects, and planted ones for which `text` is None, get the answer of a clean model.
    """

    def respond(ask):
        said = []
        for _ in range(ask.n):
            own = text(ask, ask.row) if ask.planted and (when is None or when(ask)) else None
            said.append(ask.clean() if own is None else own)
        return texts(ask, said)

    register(name, group, what, respond, accept, **more)


def replies(name, group, what, reply, accept=(LEAK,), *, rate=1.0, when=None, **more):
    """Adds a behavior whose `reply(ask, row)` is the whole response about planted subjects, in a share of the requests."""

    def respond(ask):
        if not ask.planted or (when is not None and not when(ask)) or (rate < 1.0 and not ask.chance(rate)):
            return clean(ask)
        reply_ = reply(ask, ask.row)
        return clean(ask) if reply_ is None else reply_

    register(name, group, what, respond, accept, **more)
