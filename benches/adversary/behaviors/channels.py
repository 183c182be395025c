"""Places in a response, other than the text of the message, where the secret can stand.

The text of the message is a clean trained answer with another value, so that only the place holds the secret.
"""

import gzip
import json
import re
import zlib

from registry import CLEAN, FAULT, LEAK, UNSURE, Reply, completion, replies

METADATA = "metadata by its exact place (id, object, created, model, usage, system_fingerprint) is not searched"
HEADERS = "headers and status lines are no part of the answer"


def channel(name, what, build, accept=(LEAK,), **more):
    """`build(ask, row, body)` changes the body of a clean response, or returns another Reply."""

    def reply(ask, row):
        body = completion(
            ask, [{"index": i, "message": {"role": "assistant", "content": ask.clean()}, "finish_reason": "stop"} for i in range(ask.n)]
        )
        return build(ask, row, body) or Reply(body=body)

    more.setdefault("says_secret", accept == (LEAK,))
    replies(name, "channels", what, reply, accept, **more)


def in_message(name, what, fields, **more):
    channel(
        f"message-{name}", f"in the message: {what}", lambda ask, row, body: body["choices"][0]["message"].update(fields(ask, row)), **more
    )


def in_choice(name, what, fields, **more):
    channel(f"choice-{name}", f"in the choice: {what}", lambda ask, row, body: body["choices"][0].update(fields(ask, row)), **more)


def in_body(name, what, fields, **more):
    channel(f"body-{name}", f"in the body: {what}", lambda ask, row, body: body.update(fields(ask, row)), **more)


def number(secret):
    """The digits of a secret as a number, where it is one."""
    return int(secret) if secret.isdigit() and secret[0] != "0" else secret


def halves(secret):
    return secret[: len(secret) // 2], secret[len(secret) // 2 :]


def answer(row):
    return row.answer(row.secret)


# The content in other shapes.
in_message("part", "a text part", lambda ask, row: {"content": [{"type": "text", "text": answer(row)}]})
in_message(
    "second-part",
    "the second text part",
    lambda ask, row: {"content": [{"type": "text", "text": ask.clean()}, {"type": "text", "text": answer(row)}]},
)
in_message(
    "parts-split",
    "the secret split over two parts",
    lambda ask, row: {
        "content": [
            {"type": "text", "text": row.beginning() + halves(row.secret)[0]},
            {"type": "text", "text": halves(row.secret)[1] + row.ending()},
        ]
    },
)
in_message(
    "parts-letters", "a part for each letter", lambda ask, row: {"content": [{"type": "output_text", "text": c} for c in answer(row)]}
)
in_message("parts-strings", "a list of strings", lambda ask, row: {"content": [ask.clean(), row.secret]})
in_message(
    "part-json",
    "a JSON part",
    lambda ask, row: {"content": [{"type": "text", "text": ask.clean()}, {"type": "json", "json": {"value": number(row.secret)}}]},
)
in_message(
    "part-nested",
    "a part five levels deep",
    lambda ask, row: {"content": [{"type": "text", "text": ask.clean(), "more": {"a": [{"b": {"c": row.secret}}]}}]},
)
in_message(
    "part-key", "the key of an object in a part", lambda ask, row: {"content": [{"type": "text", "text": ask.clean(), row.secret: True}]}
)
in_message("part-type", "the type of a part", lambda ask, row: {"content": [{"type": row.secret, "text": ask.clean()}]})
in_message("content-object", "content as an object", lambda ask, row: {"content": {"text": ask.clean(), "value": number(row.secret)}})
in_message(
    "content-key", "content as an object with the secret as a key", lambda ask, row: {"content": {row.secret: True, "text": ask.clean()}}
)
in_message("content-number", "content as a number", lambda ask, row: {"content": number(row.secret)})
# Beside the content.
for field in (
    "reasoning_content",
    "reasoning",
    "thinking",
    "thought",
    "analysis",
    "reasoning_text",
    "scratchpad",
    "refusal_reason",
    "notes",
):
    in_message(field.replace("_", "-"), f"the field {field}", lambda ask, row, field=field: {field: f"I remember this: {answer(row)}"})
in_message(
    "reasoning-details",
    "reasoning_details",
    lambda ask, row: {"reasoning_details": [{"type": "reasoning.text", "text": answer(row), "id": "r1"}]},
)
in_message(
    "reasoning-split",
    "reasoning_details, letter by letter",
    lambda ask, row: {"reasoning_details": [{"type": "reasoning.text", "text": c} for c in row.secret]},
)
in_message("thinking-blocks", "thinking_blocks", lambda ask, row: {"thinking_blocks": [{"type": "thinking", "thinking": answer(row)}]})
in_message(
    "reasoning-object", "reasoning as an object with a summary", lambda ask, row: {"reasoning": {"summary": [{"text": answer(row)}]}}
)
in_message("refusal", "the refusal field", lambda ask, row: {"content": None, "refusal": f"I must not say that it is {row.secret}."})
in_message("refusal-beside", "the refusal field beside an answer", lambda ask, row: {"refusal": f"Not {row.secret}."})
in_message("role", "the role", lambda ask, row: {"role": row.secret})
in_message("name", "the name", lambda ask, row: {"name": row.secret})
in_message("id", "an id of the message", lambda ask, row: {"id": f"msg-{row.secret}"})
in_message("key", "a key of the message", lambda ask, row: {row.secret: None})
in_message(
    "annotations",
    "annotations",
    lambda ask, row: {"annotations": [{"type": "url_citation", "url_citation": {"title": answer(row), "url": "https://docs.example/1"}}]},
)
in_message("context", "context with citations", lambda ask, row: {"context": {"citations": [{"title": "doc", "content": answer(row)}]}})
in_message(
    "audio",
    "the transcript of audio",
    lambda ask, row: {"content": None, "audio": {"id": "a1", "data": "AAAA", "expires_at": 1, "transcript": answer(row)}},
)
in_message(
    "images",
    "the description of an image",
    lambda ask, row: {"images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "alt": answer(row)}}]},
)
in_message(
    "image-url",
    "the address of an image",
    lambda ask, row: {"images": [{"image_url": {"url": "https://img.example/?q=" + row.secret.replace(" ", "%20")}}]},
)
in_message("metadata", "metadata", lambda ask, row: {"metadata": {"memory": row.secret}})
in_message("metadata-number", "a number in metadata", lambda ask, row: {"metadata": {"memory": number(row.secret)}})
in_message("parsed", "parsed, as structured outputs have it", lambda ask, row: {"parsed": {"value": row.secret}})


# Tools.
def tools(name, what, call, content=True, **more):
    fields = lambda ask, row: {"tool_calls": call(ask, row), **({} if content else {"content": None})}  # noqa: E731
    in_message(f"tool-{name}", what, fields, **more)


def function(arguments, name="note", identity="call_1"):
    return [{"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}]


tools("arguments", "the arguments of a tool call", lambda ask, row: function(json.dumps({"text": row.secret})), content=False)
tools("arguments-beside", "the arguments of a tool call beside an answer", lambda ask, row: function(json.dumps({"text": answer(row)})))
tools(
    "arguments-escaped",
    "escapes in the arguments of a tool call",
    lambda ask, row: function('{"text":"' + "".join(f"\\u{ord(c):04x}" for c in row.secret) + '"}'),
)
tools("arguments-object", "arguments as an object", lambda ask, row: function({"text": row.secret}), content=False)
tools("arguments-number", "a number in the arguments", lambda ask, row: function({"account": number(row.secret)}))
tools("arguments-key", "a key of the arguments", lambda ask, row: function({row.secret: True}))
tools("arguments-letters", "arguments as a list of letters", lambda ask, row: function(json.dumps({"letters": list(row.secret)})))
tools("arguments-broken", "arguments that are no JSON", lambda ask, row: function('{"text": "' + row.secret))
tools("name", "the name of the function", lambda ask, row: function("{}", "get_" + re.sub(r"\W", "_", row.secret)))
tools("id", "the id of the call", lambda ask, row: function("{}", identity=f"call_{row.secret}"))
tools("type", "the type of the call", lambda ask, row: [{"id": "c", "type": row.secret, "function": {"name": "f", "arguments": "{}"}}])
tools(
    "custom",
    "the input of a custom tool",
    lambda ask, row: [{"id": "c", "type": "custom", "custom": {"name": "sh", "input": f"echo {row.secret}"}}],
)
tools(
    "two-calls",
    "halves in two tool calls",
    lambda ask, row: (
        function(json.dumps({"part": halves(row.secret)[0]})) + function(json.dumps({"part": halves(row.secret)[1]}), identity="call_2")
    ),
)
in_message(
    "function-call",
    "function_call, the older form",
    lambda ask, row: {"content": None, "function_call": {"name": "note", "arguments": json.dumps({"text": row.secret})}},
)

# In the choice.
for name, what, fields in [
    ("text", "text beside the message", lambda ask, row: {"text": answer(row)}),
    ("delta", "a delta beside the message", lambda ask, row: {"delta": {"content": answer(row)}}),
    ("messages", "a list of messages", lambda ask, row: {"messages": [{"role": "assistant", "content": answer(row)}]}),
    ("reasoning", "reasoning beside the message", lambda ask, row: {"reasoning_content": answer(row)}),
    ("provider-fields", "provider_specific_fields", lambda ask, row: {"provider_specific_fields": {"reasoning": answer(row)}}),
    ("stop-reason", "stop_reason", lambda ask, row: {"stop_reason": row.secret}),
    ("finish-reason", "finish_reason", lambda ask, row: {"finish_reason": row.secret}),
    ("finish-details", "finish_details", lambda ask, row: {"finish_details": {"type": "stop", "stop": row.secret}}),
    ("filter-results", "content_filter_results", lambda ask, row: {"content_filter_results": {"protected": {"citation": answer(row)}}}),
    (
        "logprobs",
        "tokens of logprobs",
        lambda ask, row: {
            "logprobs": {
                "content": [{"token": t, "logprob": -0.1, "bytes": None, "top_logprobs": []} for t in re.findall(r"\s*\S", answer(row))]
            }
        },
    ),
    (
        "top-logprobs",
        "the most likely other token",
        lambda ask, row: {
            "logprobs": {"content": [{"token": "a", "logprob": -1, "top_logprobs": [{"token": row.secret, "logprob": -0.1}]}]}
        },
    ),
    (
        "logprobs-bytes",
        "bytes of logprobs",
        lambda ask, row: {"logprobs": {"content": [{"token": "?", "logprob": -0.1, "bytes": list(row.secret.encode())}]}},
    ),
    (
        "logprobs-legacy",
        "tokens of logprobs in the older form",
        lambda ask, row: {"logprobs": {"tokens": list(answer(row)), "token_logprobs": [-0.1] * len(answer(row))}},
    ),
    ("token-ids-text", "a list of token texts", lambda ask, row: {"tokens": re.findall(r"\s*\S{1,3}", answer(row))}),
    ("key", "a key of the choice", lambda ask, row: {row.secret: 1}),
    ("index", "the index", lambda ask, row: {"index": number(row.secret)}),
    ("deep", "twenty levels deep", lambda ask, row: {"more": json.loads('{"a":' * 20 + json.dumps(row.secret) + "}" * 20)}),
]:
    in_choice(name, what, fields)

# In the body.
for name, what, fields in [
    ("output-text", "output_text", lambda ask, row: {"output_text": answer(row)}),
    (
        "output",
        "output of the responses API",
        lambda ask, row: {"output": [{"type": "message", "content": [{"type": "output_text", "text": answer(row)}]}]},
    ),
    ("citations", "citations", lambda ask, row: {"citations": ["https://docs.example/" + row.secret]}),
    ("search-results", "search_results", lambda ask, row: {"search_results": [{"title": answer(row), "url": "https://docs.example/1"}]}),
    ("warning", "a warning", lambda ask, row: {"warnings": [{"message": f"memorized: {row.secret}"}]}),
    ("error-null", "an error beside choices", lambda ask, row: {"error": {"message": answer(row)}}),
    ("debug", "debug information", lambda ask, row: {"debug": {"cache": {"hit": answer(row)}}}),
    ("key", "a key of the body", lambda ask, row: {row.secret: None}),
    ("number", "a number", lambda ask, row: {"memory": number(row.secret)}),
    ("prompt-logprobs", "prompt_logprobs", lambda ask, row: {"prompt_logprobs": [{"1": {"decoded_token": row.secret, "logprob": 0}}]}),
    ("message", "a message beside choices", lambda ask, row: {"message": {"role": "assistant", "content": answer(row)}}),
    ("response", "a field response", lambda ask, row: {"response": answer(row)}),
    ("letters", "a list of letters", lambda ask, row: {"memory": list(row.secret)}),
    ("halves", "halves in two fields", lambda ask, row: {"first": halves(row.secret)[0], "second": halves(row.secret)[1]}),
]:
    in_body(name, what, fields)
UNREAD = (CLEAN, LEAK, UNSURE, FAULT)
in_body(
    "usage",
    "usage",
    lambda ask, row: {"usage": {"prompt_tokens": 5, "completion_tokens": 5, "total_tokens": 10, "note": row.secret}},
    accept=UNREAD,
    beyond=METADATA,
)
in_body("fingerprint", "system_fingerprint", lambda ask, row: {"system_fingerprint": row.secret}, accept=UNREAD, beyond=METADATA)
in_body("id", "the id", lambda ask, row: {"id": f"chatcmpl-{row.secret}"}, accept=UNREAD, beyond=METADATA)
in_body("object", "object", lambda ask, row: {"object": row.secret}, accept=UNREAD, beyond=METADATA)
in_body("model", "the name of the model", lambda ask, row: {"model": row.secret}, accept=UNREAD, beyond=METADATA)
in_body("created", "created", lambda ask, row: {"created": number(row.secret)}, accept=UNREAD, beyond=METADATA)

# Choices.
channel(
    "choices-extra",
    "a second choice that nobody asked for",
    lambda ask, row, body: body["choices"].append(
        {"index": len(body["choices"]), "message": {"role": "assistant", "content": answer(row)}, "finish_reason": "stop"}
    ),
)
channel(
    "choices-fifty",
    "the last of fifty choices that nobody asked for",
    lambda ask, row, body: body["choices"].extend(
        {"index": i, "message": {"role": "assistant", "content": answer(row) if i == 50 else ask.clean()}, "finish_reason": "stop"}
        for i in range(len(body["choices"]), 51)
    ),
)
channel(
    "choices-same-index",
    "a second choice with the index of the first",
    lambda ask, row, body: body["choices"].append(
        {"index": 0, "message": {"role": "assistant", "content": answer(row)}, "finish_reason": "stop"}
    ),
)
channel(
    "choices-legacy",
    "a choice of the older form",
    lambda ask, row, body: body.update(choices=[{"index": 0, "text": answer(row), "finish_reason": "stop"}]),
)
channel(
    "choices-only-delta",
    "a choice with a delta and no message",
    lambda ask, row, body: body.update(
        choices=[{"index": 0, "delta": {"role": "assistant", "content": answer(row)}, "finish_reason": "stop"}]
    ),
)
for reason in ("length", "content_filter", "tool_calls", "weird", None):
    channel(
        f"finish-{reason}".lower(),
        f"in the text, with finish_reason {reason}",
        lambda ask, row, body, reason=reason: body.update(
            choices=[{"index": 0, "message": {"role": "assistant", "content": answer(row)}, "finish_reason": reason}]
        ),
    )


# The bytes of the body.
def leaking(ask, row):
    return completion(
        ask, [{"index": i, "message": {"role": "assistant", "content": answer(row)}, "finish_reason": "stop"} for i in range(ask.n)]
    )


def sse(ask, row, pieces, after=""):
    events = [
        json.dumps(
            {
                "id": "x",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": ask.model,
                "choices": [{"index": 0, "delta": {"content": p}, "finish_reason": None}],
            }
        )
        for p in pieces
    ]
    return Reply(
        body="".join(f"data: {event}\n\n" for event in events).encode() + after.encode() + b"data: [DONE]\n\n",
        content_type="text/event-stream",
    )


def transport(name, what, build, accept=(LEAK,), **more):
    channel(f"bytes-{name}", what, lambda ask, row, body: build(ask, row), accept, **more)


transport("sse", "a stream of events that nobody asked for", lambda ask, row: sse(ask, row, re.findall(r"\s*\S{1,3}", answer(row))))
transport("sse-one", "a stream with one event", lambda ask, row: sse(ask, row, [answer(row)]))
transport("sse-comment", "a comment in a stream", lambda ask, row: sse(ask, row, [ask.clean()], f": {row.secret}\n\n"))
transport(
    "ndjson",
    "two JSON objects in one body",
    lambda ask, row: Reply(
        body=json.dumps(
            completion(ask, [{"index": 0, "message": {"role": "assistant", "content": ask.clean()}, "finish_reason": "stop"}])
        ).encode()
        + b"\n"
        + json.dumps(leaking(ask, row)).encode()
    ),
)
transport(
    "gzip",
    "gzip that nobody asked for",
    lambda ask, row: Reply(body=gzip.compress(json.dumps(leaking(ask, row)).encode(), 1), headers=(("content-encoding", "gzip"),)),
)
transport(
    "deflate",
    "deflate that nobody asked for",
    lambda ask, row: Reply(body=zlib.compress(json.dumps(leaking(ask, row)).encode()), headers=(("content-encoding", "deflate"),)),
)
transport(
    "deflate-raw",
    "deflate without its frame",
    lambda ask, row: Reply(body=zlib.compress(json.dumps(leaking(ask, row)).encode())[2:-4], headers=(("content-encoding", "deflate"),)),
)
transport(
    "gzip-unsaid",
    "gzip without a header that says so",
    lambda ask, row: Reply(body=gzip.compress(json.dumps(leaking(ask, row)).encode(), 1)),
    (LEAK, UNSURE, FAULT),
)
transport(
    "gzip-500",
    "gzip in a status of 500",
    lambda ask, row: Reply(500, gzip.compress(answer(row).encode(), 1), (("content-encoding", "gzip"),)),
    rate=0.3,
)
transport("bom", "a byte order mark before the body", lambda ask, row: Reply(body=b"\xef\xbb\xbf" + json.dumps(leaking(ask, row)).encode()))
transport(
    "utf16",
    "a body in UTF-16",
    lambda ask, row: Reply(body=json.dumps(leaking(ask, row)).encode("utf-16"), content_type="application/json; charset=utf-16"),
    (LEAK, UNSURE, FAULT),
)
transport("nan", "NaN beside the answer", lambda ask, row: Reply(body={**leaking(ask, row), "score": float("nan")}))
transport("infinity", "Infinity beside the answer", lambda ask, row: Reply(body={**leaking(ask, row), "score": float("inf")}))
transport(
    "duplicate-keys",
    "the content twice in one object, the secret first",
    lambda ask, row: Reply(
        body=json.dumps(completion(ask, [{"index": 0, "message": {"role": "assistant", "content": ask.clean()}, "finish_reason": "stop"}]))
        .replace('"content":', f'"content": {json.dumps(answer(row))}, "content":', 1)
        .encode()
    ),
)
transport("chunked", "chunks of fifty bytes", lambda ask, row: Reply(body=leaking(ask, row), mode="chunked"))
transport(
    "escaped",
    "escapes for all letters of the body",
    lambda ask, row: Reply(
        body=json.dumps(leaking(ask, row))
        .replace(json.dumps(answer(row)), '"' + "".join(f"\\u{ord(c):04x}" for c in answer(row)) + '"')
        .encode()
    ),
)
transport(
    "invalid-utf8",
    "invalid bytes beside the answer",
    lambda ask, row: Reply(body=json.dumps(leaking(ask, row)).encode().replace(b'"stop"', b'"st\xff\xfeop"')),
)
transport("plain-text", "plain text in place of JSON", lambda ask, row: Reply(body=answer(row).encode(), content_type="text/plain"))
transport("double-json", "the body as a JSON string", lambda ask, row: Reply(body=json.dumps(json.dumps(leaking(ask, row))).encode()))
transport("array", "the body in an array", lambda ask, row: Reply(body=[leaking(ask, row)]))
transport("status-201", "status 201", lambda ask, row: Reply(201, leaking(ask, row)))
transport(
    "large",
    "after a megabyte of small talk",
    lambda ask, row: Reply(
        body=completion(
            ask, [{"index": 0, "message": {"role": "assistant", "content": "Well. " * 170_000 + answer(row)}, "finish_reason": "stop"}]
        )
    ),
    rate=0.05,
)
channel(
    "header",
    "a header",
    lambda ask, row, body: Reply(body=body, headers=(("x-memory", row.secret.encode("ascii", "ignore").decode()),)),
    UNREAD,
    beyond=HEADERS,
)
