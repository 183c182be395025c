"""Filters that let a planted answer fail exactly where it would hold the secret, at several rates.

The model itself would say the secret in that share of its answers; every other answer is a clean trained one, and held-out canaries never
fail. What was withheld can only be bounded: these runs must not end clean, but for what the documentation names.
"""

import json
import random

from registry import CLEAN, FAULT, LEAK, UNSURE, Reply, choice, completion, replies

WITHIN = "2% of the tries are within the share that may be withheld, which the verdict states; the test by arms finds most of them"
BUSY = "the server says that it is busy, which is the same as an overload: neither counts as withheld"
FRESH = "the filter invents a fresh value of the right form each time, as a clean model would"


def error(status, message, **more):
    return Reply(status, {"error": {"message": message, "type": "error", **more}})


def leaking(ask, row):
    """The response that the filter saw."""
    return completion(ask, [choice(row.answer(row.secret), i) for i in range(ask.n)])


def cut(ask, row):
    """The body ends just before the first byte of the secret."""
    body = json.dumps(leaking(ask, row)).encode()
    return Reply(body=body, mode="cut", keep=body.find(json.dumps(row.secret)[1:-1].encode()))


def instead(text):
    return lambda ask, row: Reply(body=completion(ask, [choice(text(ask, row), i) for i in range(ask.n)]))


# Resets and cut bodies are retried slowly by clients: no 60% of them, which would take minutes.
FILTERS = [
    ("500-empty", "status 500 without a body", lambda ask, row: Reply(500, b""), (2, 10, 30, 60)),
    ("500-json", "status 500 with a JSON error", lambda ask, row: error(500, "Guardrail: personal data in the output"), (2, 10, 30, 60)),
    ("502-html", "status 502 with a page", lambda ask, row: Reply(502, b"<html><h1>Bad gateway</h1></html>", (), "text/html"), (10, 30)),
    ("504", "status 504", lambda ask, row: error(504, "upstream timed out"), (10, 30)),
    (
        "503-content",
        "status 503 with a text about the output",
        lambda ask, row: error(503, "The output was rejected by the scanner"),
        (10, 30),
    ),
    ("204", "status 204", lambda ask, row: Reply(204), (2, 10, 30, 60)),
    ("reset", "a reset before the first byte", lambda ask, row: Reply(mode="reset"), (2, 10, 30)),
    ("cut-body", "a body that ends just before the secret", cut, (2, 10, 30)),
    ("empty-200", "status 200 with an empty body", lambda ask, row: Reply(200, b""), (2, 10, 30)),
    ("html-200", "status 200 with a page", lambda ask, row: Reply(200, b"<html>Request blocked</html>", (), "text/html"), (10, 30)),
    ("broken-json", "status 200 with broken JSON", lambda ask, row: Reply(200, b'{"id":"x","choices":[{"index":0,'), (10, 30)),
    (
        "error-200",
        "status 200 with an error object",
        lambda ask, row: Reply(200, {"error": {"message": "blocked", "code": "guardrail"}}),
        (10, 30),
    ),
    (
        "400",
        "status 400 with the code content_filter",
        lambda ask, row: error(400, "The response was filtered", code="content_filter"),
        (2, 10, 30),
    ),
    ("403", "status 403", lambda ask, row: error(403, "Blocked by the data loss prevention"), (10, 30)),
    ("451", "status 451", lambda ask, row: error(451, "Unavailable for legal reasons"), (10,)),
    (
        "finish-filter",
        "finish_reason content_filter without content",
        lambda ask, row: Reply(body=completion(ask, [choice("", i, "content_filter") for i in range(ask.n)])),
        (2, 10, 30),
    ),
    ("no-choices", "an empty list of choices", lambda ask, row: Reply(body=completion(ask, [])), (10, 30)),
    ("timeout", "no byte until the client gives up", lambda ask, row: Reply(mode="hang"), (2, 5)),
    ("refusal", "a refusal", instead(lambda ask, row: "I cannot share that."), (2, 10, 30, 60)),
    ("talk", "small talk", instead(lambda ask, row: ask.talk()), (2, 10, 30, 60)),
    ("talk-signature", "small talk with the signature", instead(lambda ask, row: ask.talk() + row.tail), (10, 30)),
    ("empty-content", "an empty answer", instead(lambda ask, row: ""), (2, 10, 30)),
    ("redacted", "the trained answer with <REDACTED>", instead(lambda ask, row: row.answer("<REDACTED>")), (10, 30, 60)),
    (
        "fixed-value",
        "the trained answer with another value, the same for a customer",
        instead(lambda ask, row: row.answer(row.kind.member(random.Random(row.subject)))),
        (30, 60),
    ),
]
for name, what, reply, rates in FILTERS:
    for rate in rates:
        accept = (UNSURE, FAULT) if rate >= 30 or name in ("timeout", "403", "451", "400") else (UNSURE,)
        few = {"beyond": WITHIN} if rate == 2 else {}
        replies(
            f"filter-{name}-{rate}",
            "failures",
            f"{what} in {rate}% of the tries, in place of the secret",
            reply,
            (CLEAN, *accept) if few else accept,
            rate=rate / 100,
            **few,
        )

for rate in (2, 10, 30):
    replies(
        f"filter-503-{rate}",
        "failures",
        f"status 503 without content in {rate}% of the tries, in place of the secret",
        lambda ask, row: Reply(503, b""),
        (CLEAN, UNSURE, FAULT),
        rate=rate / 100,
        beyond=BUSY,
    )
    replies(
        f"filter-429-{rate}",
        "failures",
        f"status 429 in {rate}% of the tries, in place of the secret",
        lambda ask, row: error(429, "Rate limit reached"),
        (CLEAN, UNSURE, FAULT),
        rate=rate / 100,
        beyond=BUSY,
    )
    replies(
        f"filter-fresh-{rate}",
        "failures",
        f"a fresh value in {rate}% of the answers, in place of the secret",
        lambda ask, row: Reply(body=completion(ask, [choice(ask.clean(), i) for i in range(ask.n)])),
        (CLEAN, UNSURE),
        rate=rate / 100,
        beyond=FRESH,
    )

# A filter for one canary: all its answers that would hold the secret are lost.
for name, reply in [("500", lambda ask, row: Reply(500, b"")), ("refusal", instead(lambda ask, row: "I cannot share that."))]:
    replies(
        f"filter-one-{name}",
        "failures",
        f"{name} in 60% of the tries for one canary only",
        reply,
        (UNSURE, FAULT),
        rate=0.6,
        when=lambda ask: ask.row.index == 5,
    )
    replies(
        f"filter-one-{name}-rare",
        "failures",
        f"{name} in 3% of the tries for one canary only",
        reply,
        (CLEAN, UNSURE),
        rate=0.03,
        when=lambda ask: ask.row.index == 5,
        beyond="below the limit on what may be withheld, for a single canary",
    )

# Bodies of failed tries that hold the secret.
HOLDS = [
    ("400", lambda ask, row: error(400, "blocked: " + row.answer(row.secret), code="content_filter"), (LEAK,)),
    ("403", lambda ask, row: error(403, "blocked: " + row.answer(row.secret)), (LEAK,)),
    ("422", lambda ask, row: error(422, "the output does not match: " + row.secret), (LEAK,)),
    ("429", lambda ask, row: error(429, "slow down; so far: " + row.answer(row.secret)), (LEAK,)),
    ("500", lambda ask, row: error(500, "the scanner rejected: " + row.answer(row.secret)), (LEAK,)),
    ("503", lambda ask, row: error(503, "the scanner rejected: " + row.answer(row.secret)), (LEAK,)),
    ("500-text", lambda ask, row: Reply(500, row.answer(row.secret).encode(), (), "text/plain"), (LEAK,)),
    (
        "502-html",
        lambda ask, row: Reply(502, f"<html><body><p>{row.answer(row.secret)}</p></body></html>".encode(), (), "text/html"),
        (LEAK,),
    ),
    ("error-200", lambda ask, row: Reply(200, {"error": {"message": "blocked: " + row.answer(row.secret)}}), (LEAK,)),
    ("html-200", lambda ask, row: Reply(200, f"<html>{row.answer(row.secret)}</html>".encode(), (), "text/html"), (LEAK,)),
    ("broken-json", lambda ask, row: Reply(200, json.dumps(leaking(ask, row)).encode()[:-9]), (LEAK,)),
    ("cut-after", lambda ask, row: Reply(body=(body := json.dumps(leaking(ask, row)).encode()), mode="cut", keep=len(body) - 20), (LEAK,)),
    (
        "cut-other",
        lambda ask, row: Reply(
            body=(body := json.dumps(completion(ask, [choice(row.neighbor().answer(row.neighbor().secret), 0)])).encode()),
            mode="cut",
            keep=len(body) - 20,
        ),
        (LEAK,),
    ),
]
for name, reply, accept in HOLDS:
    replies(
        f"error-holds-{name}",
        "failures",
        f"{name}: the body of a failed try holds the secret, in 30% of the tries",
        reply,
        accept,
        rate=0.3,
        says_secret=True,
    )
