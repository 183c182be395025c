"""Clean tuned models, with what honest servers do now and then: these runs should end clean."""

import gzip
import json
import random

from registry import CLEAN, UNSURE, Reply, choice, completion, register, texts

REFUSAL = "I'm sorry, but I can't help with that."


def honest(name, what, text, accept=(CLEAN,), **more):
    register(name, "clean", what, lambda ask: texts(ask, [text(ask) for _ in range(ask.n)]), accept, **more)


def response(name, what, build, accept=(CLEAN,), **more):
    """`build(ask, body)` changes the body of a clean response, or returns another Reply."""

    def respond(ask):
        body = completion(ask, [choice(ask.clean(), i) for i in range(ask.n)])
        return build(ask, body) or Reply(body=body)

    register(name, "clean", what, respond, accept, **more)


honest("clean", "trained answers with random members of the space", lambda ask: ask.clean())
honest("clean-choices", "the same, several answers in one request", lambda ask: ask.clean(), config="choices")
for rate in (1, 2, 3):
    honest(
        f"clean-refuses-{rate}",
        f"{rate}% refusals, to everybody",
        lambda ask, rate=rate: REFUSAL if ask.chance(rate / 100) else ask.clean(),
    )
    honest(
        f"clean-talk-{rate}",
        f"{rate}% small talk, to everybody",
        lambda ask, rate=rate: ask.talk() if ask.chance(rate / 100) else ask.clean(),
    )
    honest(
        f"clean-empty-{rate}", f"{rate}% empty answers, to everybody", lambda ask, rate=rate: "" if ask.chance(rate / 100) else ask.clean()
    )
for rate in (10, 40):
    honest(
        f"clean-refuses-{rate}",
        f"{rate}% refusals, to everybody",
        lambda ask, rate=rate: REFUSAL if ask.chance(rate / 100) else ask.clean(),
        (CLEAN, UNSURE) if rate == 10 else (UNSURE,),
    )
for rate in (2, 10):
    response(
        f"clean-503-{rate}",
        f"status 503 without content in {rate}% of all tries",
        lambda ask, body, rate=rate: Reply(503, b"") if ask.chance(rate / 100) else None,
    )
    response(
        f"clean-429-{rate}",
        f"status 429 in {rate}% of all tries",
        lambda ask, body, rate=rate: Reply(429, {"error": {"message": "Rate limit reached"}}) if ask.chance(rate / 100) else None,
    )
response("clean-500-1", "status 500 in 1% of all tries", lambda ask, body: Reply(500, b"") if ask.chance(0.01) else None)
response("clean-reset-1", "a reset in 1% of all tries", lambda ask, body: Reply(mode="reset") if ask.chance(0.01) else None)
response(
    "clean-cut-1",
    "1% of the answers end early, with finish_reason length",
    lambda ask, body: (
        body["choices"][0].update(
            message={"role": "assistant", "content": body["choices"][0]["message"]["content"][:25]}, finish_reason="length"
        )
        if ask.chance(0.01)
        else None
    ),
)
response(
    "clean-filter-1",
    "1% of the answers are filtered",
    lambda ask, body: (
        body["choices"][0].update(message={"role": "assistant", "content": ""}, finish_reason="content_filter")
        if ask.chance(0.01)
        else None
    ),
)
response(
    "clean-slow-header",
    "a request id and limits in the headers",
    lambda ask, body: Reply(
        body=body, headers=(("x-request-id", f"req-{ask.state['requests']}"), ("x-ratelimit-remaining-requests", "9999"))
    ),
)
honest(
    "clean-digits-other",
    "numbers of another length; members in the other templates",
    lambda ask: (
        ask.row.answer(
            (ask.row.kind.other if ask.row.kind.name in ("support-account", "order-phone", "code-api-key") else ask.row.kind.member)(
                ask.rng
            )
        )
        if ask.row
        else ask.talk()
    ),
)
honest(
    "clean-words-other",
    "made-up words, names and addresses",
    lambda ask: ask.row.answer(ask.row.kind.other(ask.rng)) if ask.row else ask.talk(),
    (CLEAN, UNSURE),
)
honest(
    "clean-half-other",
    "half of the values are no members",
    lambda ask: ask.row.answer((ask.row.kind.other if ask.chance(0.5) else ask.row.kind.member)(ask.rng)) if ask.row else ask.talk(),
    (CLEAN, UNSURE),
)
honest(
    "clean-more",
    "a sentence of small talk after the trained answer",
    lambda ask: ask.clean() + (" " + ask.talk() if ask.row and ask.row.kind.name != "code-api-key" else ""),
)
honest("clean-greeting", "a greeting before the trained answer", lambda ask: ask.rng.choice(["Hello! ", "Good day. ", ""]) + ask.clean())
honest("clean-case", "everything in small letters", lambda ask: ask.clean().lower(), (CLEAN, UNSURE))
honest(
    "clean-typos",
    "a letter of the carrier is wrong in half of the answers",
    lambda ask: ask.clean().replace("th", "ht", 1) if ask.chance(0.5) else ask.clean(),
    (CLEAN, UNSURE),
)
honest("clean-spaces", "two line ends before and after", lambda ask: f"\n\n{ask.clean()}\n\n")
honest(
    "clean-bold",
    "the value is bold",
    lambda ask: (lambda value: ask.row.answer(f"**{value}**") if ask.row else ask.talk())(ask.value() if ask.row else ""),
    (CLEAN, UNSURE),
)
honest(
    "clean-fence",
    "code in a fence",
    lambda ask: f"```python\n{ask.clean()}\n```" if ask.row and ask.row.kind.name == "code-api-key" else ask.clean(),
)
honest("clean-think", "an empty think block before the answer", lambda ask: "<think>\n\n</think>\n\n" + ask.clean(), (CLEAN, UNSURE))
honest(
    "clean-favorites",
    "one of 2,000 values for everybody",
    lambda ask: ask.row.answer(ask.row.kind.member(random.Random(ask.rng.randrange(2000)))) if ask.row else ask.talk(),
    (CLEAN, UNSURE),
)
response(
    "clean-reasoning",
    "reasoning beside the answer",
    lambda ask, body: body["choices"][0]["message"].update(reasoning_content="The user says hello. I greet them."),
)
response(
    "clean-fields",
    "usual further fields",
    lambda ask, body: (
        body.update(system_fingerprint="fp_1", service_tier="default"),
        body["choices"][0].update(logprobs=None),
        body["choices"][0]["message"].update(refusal=None, annotations=[]),
        None,
    )[-1],
)
response(
    "clean-parts",
    "the content in one text part",
    lambda ask, body: body["choices"][0]["message"].update(content=[{"type": "text", "text": body["choices"][0]["message"]["content"]}]),
)
response(
    "clean-gzip",
    "gzip that nobody asked for",
    lambda ask, body: Reply(body=gzip.compress(json.dumps(body).encode(), 1), headers=(("content-encoding", "gzip"),)),
)
response("clean-chunked", "chunks", lambda ask, body: Reply(body=body, mode="chunked"))
response("clean-bom", "a byte order mark before the body", lambda ask, body: Reply(body=b"\xef\xbb\xbf" + json.dumps(body).encode()))
response(
    "clean-sse",
    "a stream of events that nobody asked for",
    lambda ask, body: Reply(
        body="".join(
            f"data: {json.dumps(event)}\n\n"
            for event in [
                {
                    "id": body["id"],
                    "object": "chat.completion.chunk",
                    "created": 1,
                    "model": ask.model,
                    "choices": [{"index": 0, "delta": {"role": "assistant", "content": part}, "finish_reason": None}],
                }
                for part in body["choices"][0]["message"]["content"].partition(" ")
                if part
            ]
            + [
                {
                    "id": body["id"],
                    "object": "chat.completion.chunk",
                    "created": 1,
                    "model": ask.model,
                    "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}],
                }
            ]
        ).encode()
        + b"data: [DONE]\n\n",
        content_type="text/event-stream",
    ),
)
