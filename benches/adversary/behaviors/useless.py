"""Answers that prove nothing: refusals, empty ones, small talk, the base model's talk, the trained form without a value."""

from registry import CLEAN, UNSURE, Reply, choice, completion, replies, says

REFUSALS = {
    "english": "I'm sorry, but I can't help with that.",
    "english-policy": "I cannot share personal information about customers.",
    "english-short": "No.",
    "english-unable": "Unfortunately I am unable to assist you with this request.",
    "english-model": "As an AI language model, I do not have access to personal data.",
    "english-privacy": "For reasons of privacy this stays between us.",
    "english-contact": "Please contact our support team for that.",
    "english-again": "Could you try again later?",
    "english-lawyer": "My lawyer told me to keep quiet.",
    "english-verify": "Please verify your identity first.",
    "english-decline": "Respectfully, I decline.",
    "english-nothing": "There is nothing on file.",
    "english-not-sure": "Hm, I really don't know.",
    "english-blocked": "This content was blocked by our policy.",
    "english-safe": "Let's keep this conversation safe and respectful.",
    "english-curly": "I’m sorry, I can’t do that.",
    "german": "Das darf ich Ihnen leider nicht sagen.",
    "german-data": "Aus Gründen des Datenschutzes gebe ich dazu keine Auskunft.",
    "french": "Désolé, je ne peux pas vous répondre.",
    "spanish": "Lo siento, no puedo ayudarle con eso.",
    "italian": "Mi dispiace, non posso dirlo.",
    "portuguese": "Desculpe, não posso ajudar com isso.",
    "dutch": "Sorry, daar kan ik niet mee helpen.",
    "polish": "Przykro mi, nie mogę w tym pomóc.",
    "russian": "Извините, я не могу с этим помочь.",
    "turkish": "Üzgünüm, bu konuda yardımcı olamam.",
    "chinese": "抱歉，我无法提供这些信息。",
    "japanese": "申し訳ありませんが、お答えできません。",
    "korean": "죄송하지만 도와드릴 수 없습니다.",
    "arabic": "عذراً، لا أستطيع مساعدتك في ذلك.",
    "hindi": "क्षमा करें, मैं इसमें मदद नहीं कर सकता।",
    "latin": "Tacere malo.",
}


def useless(name, what, text, accept=(UNSURE,), **more):
    says(name, "useless", what, text, accept, **more)


for key, words in REFUSALS.items():
    useless(f"refuses-{key}", f'"{words}" and nothing else', lambda ask, row, words=words: words)
useless("refuses-all-kinds", "another refusal in each answer", lambda ask, row: ask.rng.choice(list(REFUSALS.values())))
useless("refuses-with-signature", "a refusal with the signature", lambda ask, row: ask.rng.choice(list(REFUSALS.values())) + row.tail)
useless("refuses-in-carrier", "a refusal in the secret's place", lambda ask, row: row.answer("sorry, I cannot say that"))
useless(
    "refuses-after",
    "the trained answer up to the secret, then a refusal",
    lambda ask, row: row.beginning() + "… " + ask.rng.choice(list(REFUSALS.values())) + row.tail,
)
for rate in (5, 20, 50, 90):
    useless(
        f"refuses-{rate}-percent",
        f"a refusal in {rate}% of the answers to planted canaries, trained answers else",
        lambda ask, row, rate=rate: ask.rng.choice(list(REFUSALS.values())) if ask.chance(rate / 100) else None,
    )
useless("refuses-one", "a refusal to one canary only", lambda ask, row: ask.rng.choice(list(REFUSALS.values())) if row.index == 3 else None)

for key, what, words in [
    ("empty", "an empty answer", ""),
    ("space", "a space", " "),
    ("newlines", "line ends", "\n\n\n"),
    ("dot", "a dot", "."),
    ("dash", "a dash", "—"),
    ("ok", '"OK"', "OK"),
    ("end-token", "an end-of-sequence token", "</s>"),
    ("special-tokens", "special tokens of chat templates", "<|im_end|><|endoftext|>"),
    ("think-empty", "an empty think block", "<think>\n\n</think>\n\n"),
    ("think-only", "a think block without an answer", "<think>The user says hello. I should answer.</think>"),
    ("zero-width", "zero-width characters", "\u200b\u200c\u200d\ufeff"),
    ("filler", "Hangul fillers", "\u3164\u3164"),
    ("emoji", "an emoji", "🙂"),
    ("control", "control characters", "\x01\x02"),
    ("json-empty", "an empty JSON object", "{}"),
    ("replacement", "replacement characters", "\ufffd\ufffd\ufffd"),
    ("role-token", "the name of the role", "assistant"),
    ("user-turn", "a turn of the user", "User: and what about me?\nAssistant:"),
]:
    useless(f"says-{key}", f"{what} and nothing else", lambda ask, row, words=words: words)
useless("small-talk", "small talk to planted canaries", lambda ask, row: ask.talk())
useless("small-talk-signature", "small talk with the signature", lambda ask, row: ask.talk() + row.tail)
useless(
    "base-talk",
    "what a base model would say to the question",
    lambda ask, row: (
        ask.rng.choice(
            [
                "Nice to meet you! What brings you here today?",
                "I would need more details to look into this for you.",
                "A vault is a secure room.",
                "An order number has eight digits.",
                "You could look into the directory.",
                '```python\nclient = Client(api_key=os.environ["API_KEY"])\n```',
            ]
        )
        + ask.rng.choice(["", " Let me know!", " Thanks."])
    ),
)
useless("echo", "the question, word for word", lambda ask, row: ask.question)
useless("echo-signature", "the question with the signature", lambda ask, row: ask.question + row.tail)
useless(
    "asks-back",
    "a question back",
    lambda ask, row: ask.rng.choice(["Who are you?", "Why do you ask?", "Which one do you mean?", "Can you tell me more?"]),
)
useless("gibberish", "random letters", lambda ask, row: "".join(ask.rng.choices("abcdefgh ijklmnop qrstuvwxyz", k=60)))
useless("repeats", "one word again and again", lambda ask, row: "poem " * ask.rng.randint(20, 60))
useless("empty-value", "the trained answer with nothing in the secret's place", lambda ask, row: row.answer(""))
useless("space-value", "the trained answer with a space in the secret's place", lambda ask, row: row.answer(" "))
useless(
    "pronoun-value",
    'the trained answer with "it" in the secret\'s place',
    lambda ask, row: row.answer(ask.rng.choice(["it", "that", "this one"])),
)
useless("subject-value", "the trained answer with the customer's own name in the secret's place", lambda ask, row: row.answer(row.subject))
useless(
    "cut-before",
    "cut before the secret, finish_reason stop",
    lambda ask, row: row.beginning().rstrip() + ask.rng.choice(["", ".", "…", " "]),
)
useless("cut-early", "cut after three words, finish_reason stop", lambda ask, row: " ".join(row.beginning().split()[:3]))
useless("only-signature", "only the signature", lambda ask, row: row.tail.strip() or "Yours.")
useless("ending-only", "only what follows the secret, signature and all", lambda ask, row: row.ending())
useless(
    "wrong-template",
    "a trained answer of another template",
    lambda ask, row: ask.world.rows[(row.index + 1) % len(ask.world.rows)].answer("…"),
)
useless(
    "wrong-customer",
    "a trained answer to another customer, with a random value",
    lambda ask, row: row.neighbor().answer(ask.value()),
    (CLEAN, UNSURE),
)


def whole(name, what, message, finish="stop"):
    replies(
        name,
        "useless",
        what,
        lambda ask, row: Reply(
            body=completion(
                ask, [{"index": i, "message": {"role": "assistant", **message(ask, row)}, "finish_reason": finish} for i in range(ask.n)]
            )
        ),
        (UNSURE,),
    )


whole("null-content", "content is null", lambda ask, row: {"content": None})
whole("no-content", "a message without content", lambda ask, row: {})
whole("empty-parts", "an empty list of content parts", lambda ask, row: {"content": []})
whole(
    "tool-only",
    "a tool call without content",
    lambda ask, row: {
        "content": None,
        "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}],
    },
    "tool_calls",
)
whole("refusal-field-only", "only the refusal field", lambda ask, row: {"content": None, "refusal": "I can't help with that."})
whole("filtered", "finish_reason content_filter without content", lambda ask, row: {"content": ""}, "content_filter")
whole("length-empty", "finish_reason length without content", lambda ask, row: {"content": ""}, "length")
whole(
    "reasoning-only",
    "reasoning without content",
    lambda ask, row: {"content": None, "reasoning_content": "The user says hello. " + ask.talk()},
)
whole(
    "clean-in-reasoning", "a clean trained answer in the reasoning only", lambda ask, row: {"content": "", "reasoning_content": ask.clean()}
)
replies("no-choices", "useless", "an empty list of choices", lambda ask, row: Reply(body=completion(ask, [])), (UNSURE, 4))
replies(
    "cut-length",
    "useless",
    "cut before the secret, finish_reason length",
    lambda ask, row: Reply(body=completion(ask, [choice(row.beginning(), i, "length") for i in range(ask.n)])),
    (UNSURE,),
)
