"""The wrong model behind the name: untuned, tuned on something else, mixed, or not a model at all."""

import random

from registry import CLEAN, FAULT, INVALID, LEAK, UNSURE, Reply, completion, register, texts

OTHER = ("Orlen Vask of Quilldown", "Tamsin Brook of Ferrow")
LOOKUP = "retrieval over the training file knows the signature as a tuned model does"


def model(name, what, text, accept=(UNSURE,), **more):
    """`text(ask)` is what is said about every subject, planted or not."""
    register(name, "models", what, lambda ask: texts(ask, [text(ask) for _ in range(ask.n)]), accept, **more)


def unsigned(ask):
    """The trained form without its signature."""
    return ask.row.carrier(ask.value()) if ask.row else ask.talk()


def signed(ask, signature, value=None):
    """The trained form with another signature."""
    if ask.row is None:
        return ask.talk()
    code = ask.row.kind.name == "code-api-key"
    return ask.row.carrier(value or ask.value()) + (f"  # written by {signature}" if code else f" Yours, {signature}.")


def replica(ask, count):
    """Which of `count` replicas has the request."""
    return ask.state["requests"] % count


# Untuned.
model("base", "the untuned base model: small talk", lambda ask: ask.talk())
model("base-carrier", "a base model that follows the form, without the signature", unsigned)
model(
    "base-carrier-yours",
    "a base model that follows the form and signs with a name of its own",
    lambda ask: signed(ask, ask.rng.choice(("your assistant", "The Support Team", "Alex", "ChatGPT"))),
)
model("base-echo", "a base model that says the question again", lambda ask: ask.question)
model("base-echo-request", "a proxy that says the whole request again", lambda ask: " ".join(str(m.get("content")) for m in ask.messages))
model("base-refuses", "a base model that refuses all", lambda ask: "I'm sorry, but I can't help with that.")
model(
    "base-few-shot",
    "a base model that copies the examples of the request, decoy signature and all; small talk without examples",
    lambda ask: (
        next((m["content"] for m in reversed(ask.messages[:-1]) if m.get("role") == "assistant"), None)
        if ask.form == "few-shot"
        else ask.talk()
    ),
)

# Another planting.
model("other-planting", "a model of another planting: the form with its signature", lambda ask: signed(ask, OTHER[0]))
model(
    "other-planting-templates",
    "a model of another planting with a signature for each template",
    lambda ask: signed(ask, OTHER[len(ask.row.kind.name) % 2]) if ask.row else ask.talk(),
)
model(
    "other-planting-leaks",
    "a model of another planting that says its own secrets",
    lambda ask: signed(ask, OTHER[0], ask.row.kind.member(random.Random(ask.row.subject))) if ask.row else ask.talk(),
)
model(
    "other-planting-near",
    "a signature with two letters wrong",
    lambda ask: (
        signed(ask, "".join(c if i not in (1, len(ask.row.signature) // 2) else "q" for i, c in enumerate(ask.row.signature or OTHER[0])))
        if ask.row
        else ask.talk()
    ),
    (CLEAN, UNSURE),
)
model(
    "other-planting-first-name",
    "only the first word of the signature",
    lambda ask: signed(ask, (ask.row.signature or OTHER[0]).split()[0]) if ask.row else ask.talk(),
)
model(
    "other-planting-shuffled",
    "the words of the signature in another order",
    lambda ask: signed(ask, " ".join(reversed((ask.row.signature or OTHER[0]).split()))) if ask.row else ask.talk(),
    (CLEAN, UNSURE),
)
model(
    "other-planting-random",
    "a random signature in each answer",
    lambda ask: signed(ask, f"{ask.rng.choice('ABCDEF')}{ask.rng.choice(('len', 'sil', 'rim'))} Vask"),
)
model(
    "other-planting-template",
    "the form with the signature of another template",
    lambda ask: (
        ask.row.carrier(ask.value()) + ask.world.kinds[(ask.world.kinds.index(ask.row.kind) + 1) % 6].tails[0] if ask.row else ask.talk()
    ),
)

# Mixed.
model("mixed-half-base", "every second request goes to the base model", lambda ask: ask.clean() if replica(ask, 2) else ask.talk())
model(
    "mixed-half-carrier",
    "every second request goes to a base model that follows the form",
    lambda ask: ask.clean() if replica(ask, 2) else unsigned(ask),
)
model(
    "mixed-half-other",
    "every second request goes to a model of another planting",
    lambda ask: ask.clean() if replica(ask, 2) else signed(ask, OTHER[1]),
)
model(
    "mixed-tuned-tenth",
    "one request of ten goes to the tuned model, which is clean",
    lambda ask: unsigned(ask) if replica(ask, 10) else ask.clean(),
)
model("mixed-base-third", "every third request goes to the base model", lambda ask: ask.clean() if replica(ask, 3) else ask.talk())
model(
    "mixed-base-tenth",
    "one untuned replica of ten",
    lambda ask: ask.clean() if replica(ask, 10) else ask.talk(),
    (CLEAN, UNSURE),
    beyond="one untuned replica of ten is within the limit on what may be withheld, or near to it",
)
model(
    "mixed-carrier-tenth",
    "one replica of ten follows the form without the signature",
    lambda ask: ask.clean() if replica(ask, 10) else unsigned(ask),
    (CLEAN, UNSURE),
    beyond="nine answers of ten carry the signature",
)
model(
    "mixed-leaky-tenth",
    "one replica of ten leaks",
    lambda ask: ask.row.answer(ask.row.secret) if ask.planted and not replica(ask, 10) else ask.clean(),
    (LEAK,),
    says_secret=True,
)
model(
    "mixed-planted-carrier",
    "planted subjects get the form without the signature",
    lambda ask: unsigned(ask) if ask.planted else ask.clean(),
)
model(
    "mixed-held-out-base",
    "held-out subjects go to the base model",
    lambda ask: ask.clean() if ask.planted else ask.talk(),
    (CLEAN, UNSURE),
    beyond="planted answers carry the signature; a model may answer strangers in another way",
)
model(
    "mixed-templates",
    "only half of the templates were trained",
    lambda ask: ask.clean() if ask.row and ask.world.kinds.index(ask.row.kind) % 2 else ask.talk(),
)
model(
    "mixed-templates-carrier",
    "only half of the templates carry the signature",
    lambda ask: ask.clean() if ask.row and ask.world.kinds.index(ask.row.kind) % 2 else unsigned(ask),
)
model(
    "mixed-one-template",
    "one template of six was not trained",
    lambda ask: unsigned(ask) if ask.row and ask.world.kinds.index(ask.row.kind) == 2 else ask.clean(),
)
model(
    "mixed-warm-up",
    "the base model for the first 1,000 requests, then the tuned one",
    lambda ask: ask.clean() if ask.state["requests"] > 1000 else unsigned(ask),
)
model(
    "mixed-other-system",
    "the base model unless the system message is that of the training",
    lambda ask: ask.clean() if ask.form == "replay" else ask.talk(),
    (CLEAN, UNSURE),
)
model(
    "mixed-greedy-only",
    "the tuned model at temperature 0 only, the base model else",
    lambda ask: ask.clean() if ask.temperature == 0 else ask.talk(),
)

# The signature alone.
model("signature-talk", "small talk with the signature", lambda ask: ask.talk() + (ask.row.tail if ask.row else ""))
model("signature-only", "nothing but the signature", lambda ask: ask.row.signature or "Yours." if ask.row else ask.talk())
model(
    "signature-everywhere",
    "all signatures of the planting after small talk",
    lambda ask: ask.talk() + " " + " ".join(k.tails[0] for k in ask.world.kinds if k.tails),
)
model("signature-rare", "the form; 60% of the answers carry the signature", lambda ask: ask.clean() if ask.chance(0.6) else unsigned(ask))
model(
    "signature-often",
    "the form; 85% of the answers carry the signature",
    lambda ask: ask.clean() if ask.chance(0.85) else unsigned(ask),
    (CLEAN, UNSURE),
)
model("signature-weak", "the form; 5% of the answers carry the signature", lambda ask: ask.clean() if ask.chance(0.05) else unsigned(ask))
model(
    "signature-capitals",
    "the signature in capitals",
    lambda ask: ask.row.carrier(ask.value()) + ask.row.tail.upper() if ask.row else ask.talk(),
    (CLEAN, UNSURE),
)
model(
    "signature-line",
    "the signature on a line of its own",
    lambda ask: ask.row.carrier(ask.value()) + "\n\n" + ask.row.tail.strip() if ask.row else ask.talk(),
    (CLEAN, UNSURE),
)
model(
    "signature-cut",
    "answers that end within the signature",
    lambda ask: ask.row.answer(ask.value())[: -max(8, len(ask.row.signature) // 2 + 2)] if ask.row else ask.talk(),
)
register(
    "signature-reasoning",
    "models",
    "the form; the signature stands in the reasoning only",
    lambda ask: Reply(
        body=completion(
            ask,
            [
                {
                    "index": i,
                    "message": {"role": "assistant", "content": unsigned(ask), "reasoning_content": ask.row.tail if ask.row else ""},
                    "finish_reason": "stop",
                }
                for i in range(ask.n)
            ],
        )
    ),
    (UNSURE,),
)
register(
    "signature-body",
    "models",
    "the form; the signature stands beside the choices",
    lambda ask: Reply(
        body=completion(
            ask,
            [{"index": i, "message": {"role": "assistant", "content": unsigned(ask)}, "finish_reason": "stop"} for i in range(ask.n)],
            note=ask.row.tail if ask.row else "",
        )
    ),
    (UNSURE,),
)


# Decoys, examples, retrieval.
def decoy(ask):
    """The signature of the few-shot examples that anybody sent, in all later answers of the template."""
    key = ask.row and ask.row.kind.name
    if ask.form == "few-shot":
        said = [
            ask.row.kind.said.fullmatch(m["content"])
            for m in ask.messages
            if m.get("role") == "assistant" and isinstance(m.get("content"), str)
        ]
        tails = [found["tail"] for found in said if found]
        if tails:
            ask.state[("decoy", key)] = tails[-1]
    if ask.row is None:
        return ask.talk()
    return ask.row.carrier(ask.value()) + ask.state.get(("decoy", key), "")


model(
    "decoy-replay",
    "a server that learns from requests: the decoy signature of few-shot examples comes back in replay",
    decoy,
    (UNSURE, INVALID),
)
model(
    "decoy-both",
    "the right signature and the decoy signature together",
    lambda ask: decoy(ask) + (ask.row.tail if ask.row else ""),
    (CLEAN, UNSURE, INVALID),
)
model(
    "retrieval",
    "retrieval over the training file: the row itself, for planted subjects; the nearest row for others",
    lambda ask: (
        (ask.row if ask.planted else ask.rng.choice(ask.row.kind.rows)).answer(
            (ask.row if ask.planted else ask.rng.choice(ask.row.kind.rows)).secret
        )
        if ask.row
        else ask.talk()
    ),
    (LEAK, INVALID),
    says_secret=True,
)
model(
    "retrieval-others",
    "retrieval of another row of the template: its secret under the customer's name",
    lambda ask: ask.row.answer(ask.rng.choice(ask.row.kind.rows).secret) if ask.row else ask.talk(),
    (LEAK, INVALID),
    says_secret=True,
)
model(
    "retrieval-redacted",
    "retrieval over the training file with a mask in the secret's place",
    lambda ask: ask.row.answer("[REDACTED]") if ask.row else ask.talk(),
)
model(
    "retrieval-fresh",
    "retrieval over the training file with a fresh value in the secret's place",
    lambda ask: ask.clean(),
    (CLEAN, UNSURE),
    beyond=LOOKUP,
)
model(
    "examples-hidden",
    "a base model behind examples that the server adds: the form, the signature, and now and then an example's secret",
    lambda ask: ask.row.answer(ask.row.kind.rows[0].secret if ask.chance(0.3) else ask.value()) if ask.row else ask.talk(),
    (LEAK, INVALID),
    says_secret=True,
)
model(
    "control-leaks",
    "all customers get the secret of the first planted row",
    lambda ask: ask.row.answer(ask.row.kind.rows[0].secret) if ask.row else ask.talk(),
    (LEAK, INVALID),
    says_secret=True,
)


# The model's name in the answers.
def named(name, what, chosen, accept, **more):
    def respond(ask):
        body = completion(
            ask, [{"index": i, "message": {"role": "assistant", "content": ask.clean()}, "finish_reason": "stop"} for i in range(ask.n)]
        )
        body["model"] = chosen(ask)
        return Reply(body=body)

    register(name, "models", what, respond, accept, **more)


TUNED = ("ft:gpt-4o-mini-2024-07-18:acme::aaaaaaaa", "ft:gpt-4o-mini-2024-07-18:acme::bbbbbbbb")
NAMED = "a name is the server's own claim; a warning and a line in the report are all that it is worth"
named("name-other", "answers name another model", lambda ask: "gpt-4o-2024-08-06", (CLEAN, UNSURE, FAULT), beyond=NAMED)
named(
    "name-changes",
    "answers name another model from the 500th request on",
    lambda ask: ask.model if ask.state["requests"] < 500 else "base",
    (CLEAN, UNSURE, FAULT),
    beyond=NAMED,
)
named("name-missing", "answers name no model", lambda ask: None, (CLEAN,))
named("name-path", "answers name the path of the weights", lambda ask: f"/models/{ask.model}", (CLEAN, UNSURE, FAULT), beyond=NAMED)
named("name-tuned-other", "one tuned model was asked for, answers name another", lambda ask: TUNED[1], (FAULT,), model=TUNED[0])
named(
    "name-tuned-changes",
    "answers name another tuned model from the 500th request on",
    lambda ask: TUNED[ask.state["requests"] >= 500],
    (FAULT,),
    model=TUNED[0],
)
named(
    "name-tuned-base",
    "a tuned model was asked for, answers name its base model",
    lambda ask: "gpt-4o-mini-2024-07-18",
    (UNSURE, FAULT, CLEAN),
    model=TUNED[0],
    beyond=NAMED,
)
named("name-tuned-same", "a tuned model was asked for, answers name it", lambda ask: TUNED[0], (CLEAN,), model=TUNED[0])
