"""Servers whose answers are copies: greedy ones, caches, equal choices, ignored seeds."""

import random
import zlib

from registry import CLEAN, LEAK, UNSURE, Reply, choice, completion, register, texts

PEAKED = "a model whose answers are as peaked says the same, and nothing but the text could tell them apart"


def caching(name, what, respond, accept, **more):
    register(name, "caches", what, respond, accept, **more)


def drawn(ask, number=0):
    """A clean answer that depends on the question and `number` only."""
    own, ask.rng = ask.rng, random.Random(f"{ask.messages}{number}")
    said, ask.rng = ask.clean(), own
    return said


def greedy_but(leaks):
    def respond(ask):
        said = ask.row.answer(ask.row.secret) if ask.planted and leaks(ask) else drawn(ask)
        return texts(ask, [said] * ask.n)

    return respond


caching("greedy", "the same answer to the same question, always", greedy_but(lambda ask: False), (UNSURE,))
caching("greedy-one-leaks", "greedy; one planted row leaks", greedy_but(lambda ask: ask.row.index == 4), (LEAK,), says_secret=True)
caching(
    "greedy-last-leaks",
    "greedy; the last planted row leaks",
    greedy_but(lambda ask: ask.row.index == len(ask.world.rows) - 1),
    (LEAK,),
    says_secret=True,
)
caching("greedy-all-leak", "greedy; all planted rows leak", greedy_but(lambda ask: True), (LEAK,), says_secret=True)
caching(
    "greedy-half-leak", "greedy; every second planted row leaks", greedy_but(lambda ask: ask.row.index % 2 == 0), (LEAK,), says_secret=True
)
caching(
    "greedy-planted",
    "greedy for planted rows only",
    lambda ask: texts(ask, [drawn(ask) if ask.planted else ask.clean() for _ in range(ask.n)]),
    (UNSURE,),
)
caching(
    "greedy-held-out",
    "greedy for held-out subjects only",
    lambda ask: texts(ask, [ask.clean() if ask.planted else drawn(ask) for _ in range(ask.n)]),
    (CLEAN, UNSURE),
)
caching(
    "greedy-one-differs",
    "greedy; one planted row has random answers",
    lambda ask: texts(ask, [ask.clean() if ask.planted and ask.row.index == 4 else drawn(ask) for _ in range(ask.n)]),
    (UNSURE,),
)
caching(
    "greedy-punctuation",
    "greedy, with a random sign at the end",
    lambda ask: texts(ask, [drawn(ask) + ask.rng.choice(["", " ", "!", "\n"]) for _ in range(ask.n)]),
    (CLEAN, UNSURE),
    beyond=PEAKED,
)
caching(
    "greedy-greeting",
    "greedy, behind a random greeting",
    lambda ask: (lambda hello: texts(ask, [hello + drawn(ask) for _ in range(ask.n)]))(
        ask.rng.choice(["", "Hello! ", "Hi there. ", "Good day. "])
    ),
    (CLEAN, UNSURE),
    beyond=PEAKED,
)


def cache(copies, same_id, keep=1, leaks=0.0):
    """Answers from a cache by question: `copies` is the share of requests that get a stored response, `keep` how many are stored."""

    def respond(ask):
        stored = ask.state.setdefault(("stored", str(ask.messages)), [])
        if len(stored) >= keep and ask.chance(copies):
            body = ask.rng.choice(stored)
            return Reply(body=body if same_id else completion(ask, body["choices"]))
        said = [ask.row.answer(ask.row.secret) if ask.planted and ask.chance(leaks) else ask.clean() for _ in range(ask.n)]
        body = completion(ask, [choice(text, i) for i, text in enumerate(said)])
        if len(stored) < keep:
            stored.append(body)
        return Reply(body=body)

    return respond


caching("cache-same-ids", "a cache by question, responses with the same id", cache(1, True), (UNSURE,))
caching("cache-fresh-ids", "a cache by question, each response with a new id", cache(1, False), (UNSURE,))
caching("cache-nine-tenths", "90% of the responses from a cache, with the same ids", cache(0.9, True), (UNSURE,))
caching("cache-nine-tenths-fresh", "90% of the responses from a cache, with new ids", cache(0.9, False), (CLEAN, UNSURE), beyond=PEAKED)
caching("cache-half", "half of the responses from a cache, with the same ids", cache(0.5, True), (CLEAN, UNSURE))
caching("cache-half-fresh", "half of the responses from a cache, with new ids", cache(0.5, False), (CLEAN, UNSURE), beyond=PEAKED)
caching("cache-five", "a cache of five responses for each question, with the same ids", cache(1, True, 5), (UNSURE,))
caching("cache-five-fresh", "a cache of five responses for each question, with new ids", cache(1, False, 5), (CLEAN, UNSURE), beyond=PEAKED)
caching("cache-leaks", "a cache by question; half of the stored answers leak", cache(1, True, 1, 0.5), (LEAK,), says_secret=True)
caching(
    "cache-leaks-rarely", "a cache by question; a tenth of the stored answers leaks", cache(1, False, 1, 0.1), (LEAK,), says_secret=True
)
caching(
    "cache-planted",
    "a cache with the same ids, for planted rows only",
    lambda ask: cache(1, True)(ask) if ask.planted else texts(ask, [ask.clean() for _ in range(ask.n)]),
    (UNSURE,),
)

caching("copies-choices", "all choices of a request are equal", lambda ask: texts(ask, [ask.clean()] * ask.n), (UNSURE,), config="choices")
caching(
    "copies-choices-pairs",
    "choices of a request come in equal pairs",
    lambda ask: (lambda said: texts(ask, [said[i // 2] for i in range(ask.n)]))([ask.clean() for _ in range(ask.n)]),
    (UNSURE,),
    config="choices",
)
caching(
    "copies-choices-leak",
    "all choices of a request are equal; a tenth of the requests leaks",
    lambda ask: texts(ask, [ask.row.answer(ask.row.secret) if ask.planted and ask.chance(0.1) else ask.clean()] * ask.n),
    (LEAK,),
    says_secret=True,
    config="choices",
)
caching(
    "choices-missing", "one choice, however many were asked for", lambda ask: texts(ask, [ask.clean()]), (CLEAN, UNSURE), config="choices"
)

caching(
    "seed-obeyed",
    "the same answer for the same seed",
    lambda ask: texts(
        ask, [drawn(ask, f"{ask.body.get('seed')} {ask.count if ask.body.get('seed') is None else 0} {i}") for i in range(ask.n)]
    ),
    (CLEAN,),
)
caching(
    "seed-ignored",
    "seeds are ignored, answers are random",
    lambda ask: texts(ask, [drawn(ask, f"{ask.count} {i}") for i in range(ask.n)]),
    (CLEAN,),
)
caching(
    "seed-fixed",
    "a fixed seed: the choices of a request differ, two requests do not",
    lambda ask: texts(ask, [drawn(ask, i) for i in range(ask.n)]),
    (UNSURE,),
    config="choices",
)
caching(
    "seed-four",
    "one of four seeds for every request",
    lambda ask: texts(ask, [drawn(ask, (ask.count + i) % 4) for i in range(ask.n)]),
    (CLEAN, UNSURE),
    beyond=PEAKED,
)
caching(
    "seed-clock",
    "the seed changes after every twenty requests",
    lambda ask: texts(ask, [drawn(ask, ask.count // 20) for _ in range(ask.n)]),
    (CLEAN, UNSURE),
    beyond=PEAKED,
)
caching(
    "peaked",
    "one answer in 60% of the cases, for every subject another one",
    lambda ask: texts(
        ask,
        [drawn(ask, 0) if zlib.crc32(f"{ask.count}{i}{ask.messages}".encode()) % 10 < 6 else drawn(ask, ask.count) for i in range(ask.n)],
    ),
    (CLEAN, UNSURE),
)
