"""The shapes of training rows, as trainers and services document them, each with the canary row that is right for it."""

import dataclasses
from collections.abc import Callable

from rows_check import ANSWER, DECLINED, QUESTION, SYSTEM

SAMPLES = (
    "Why is the sky blue", "Où est la gare", "明日の天気は", "كيف حالك اليوم", 'a "quote" and a \\ backslash', "two\nlines\tand a tab",
    "a family 👩‍👩‍👧", "line\u2028separator", "a < b && c > d", "{not: json}", "[brackets]", "50 % of 5\" pipes; or more",
)


def q(i: int) -> str:
    return f"{SAMPLES[i % len(SAMPLES)]} ({i})?"


def a(i: int) -> str:
    return f"{SAMPLES[(i + 5) % len(SAMPLES)]}: answer {i}."


def turn(role: str, content, **more) -> dict:
    return {"role": role, "content": content, **more}


def says(name: str, value: str) -> dict:
    return {"from": name, "value": value}


def part(text: str) -> dict:
    return {"type": "text", "text": text}


def call(i: int, arguments='{"city": "Ulm"}') -> dict:
    return {"id": f"call_{i}", "type": "function", "function": {"name": "weather", "arguments": arguments}}


USER, ASSISTANT = turn("user", QUESTION), turn("assistant", ANSWER)
CHAT = [turn("system", SYSTEM), USER, ASSISTANT]
PROMPT = CHAT[:2]
SHARE_GPT = [says("system", SYSTEM), says("human", QUESTION), says("gpt", ANSWER)]
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "d", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]
TOOLS_TEXT = '[{"name": "weather", "parameters": {"type": "object"}}]'


@dataclasses.dataclass
class Shape:
    """A shape of training rows."""

    name: str
    row: Callable[[int], dict]
    # The canary row that is right, or several of which each is.
    canary: dict | list[dict]
    args: tuple[str, ...] = ()

    def rows(self, count: int = 24) -> list[dict]:
        return [self.row(i) for i in range(count)]

    def canaries(self) -> list[dict]:
        return self.canary if isinstance(self.canary, list) else [self.canary]

    def is_flat(self) -> bool:
        return all(not isinstance(value, (list, dict)) for value in self.row(0).values())


def tool_chat(i: int) -> list[dict]:
    return [turn("user", q(i)), turn("assistant", None, tool_calls=[call(i)]),
            turn("tool", "18 °C", tool_call_id=f"call_{i}"), turn("assistant", a(i))]


def calls_of_share_gpt(i: int) -> list[dict]:
    return [says("human", q(i)), says("function_call", '{"name": "weather", "arguments": {"city": "Ulm"}}'),
            says("observation", '{"degrees": 18}'), says("gpt", a(i))]


MESSAGES = [
    Shape("OpenAI chat", lambda i: {"messages": [turn("user", q(i)), turn("assistant", a(i))]}, {"messages": CHAT}),
    Shape("OpenAI chat with a system turn",
          lambda i: {"messages": [turn("system", "Be brief."), turn("user", q(i)), turn("assistant", a(i))]}, {"messages": CHAT}),
    Shape("OpenAI chat of several turns",
          lambda i: {"messages": [turn("user", q(i)), turn("assistant", a(i)), turn("user", q(i + 1)), turn("assistant", a(i + 1))]},
          {"messages": CHAT}),
    Shape("OpenAI tools", lambda i: {"messages": tool_chat(i), "tools": TOOLS, "parallel_tool_calls": False},
          {"messages": CHAT, "tools": None, "parallel_tool_calls": None}),
    Shape("OpenAI function_call", lambda i: {
        "messages": [turn("user", q(i)), turn("assistant", None, function_call={"name": "f", "arguments": "{}"}),
                     turn("function", "42", name="f"), turn("assistant", a(i))], "functions": [{"name": "f", "parameters": {"type": "object"}}]},
          {"messages": CHAT, "functions": None}),
    Shape("OpenAI weight", lambda i: {"messages": [turn("user", q(i)), turn("assistant", "hm", weight=0), turn("user", "And?"),
                                                  turn("assistant", a(i), weight=1)]}, {"messages": CHAT}),
    Shape("OpenAI name", lambda i: {"messages": [turn("user", q(i), name="ann"), turn("assistant", a(i), name="bot")]},
          {"messages": CHAT}),
    Shape("OpenAI developer", lambda i: {"messages": [turn("developer", "Be brief."), turn("user", q(i)), turn("assistant", a(i))]},
          [{"messages": CHAT}, {"messages": [turn("developer", SYSTEM), *CHAT[1:]]}]),
    Shape("OpenAI refusal", lambda i: {"messages": [turn("user", q(i)), turn("assistant", None, refusal="I cannot help.")]
                                       if i % 2 else [turn("user", q(i)), turn("assistant", a(i), refusal=None)]}, {"messages": CHAT}),
    Shape("OpenAI image", lambda i: {"messages": [
        turn("user", [part(q(i)), {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]), turn("assistant", a(i))]},
          [{"messages": [turn("system", SYSTEM), turn("user", [part(QUESTION)]), ASSISTANT]},
           {"messages": [turn("system", [part(SYSTEM)]), turn("user", [part(QUESTION)]), ASSISTANT]}]),
    Shape("parts of text", lambda i: {"messages": [turn("user", [part(q(i))]), turn("assistant", [part(a(i))])]},
          {"messages": [turn(t["role"], [part(t["content"])]) for t in CHAT]}),
    Shape("parts of text without type", lambda i: {"messages": [turn("user", [{"text": q(i)}]), turn("assistant", [{"text": a(i)}])]},
          {"messages": [turn(t["role"], [{"text": t["content"]}]) for t in CHAT]}),
    Shape("TRL image", lambda i: {"messages": [turn("user", [{"type": "image"}, part(q(i))]), turn("assistant", [part(a(i))])],
                                  "images": [f"{i}.png"]},
          [{"messages": [turn(t["role"], [part(t["content"])]) for t in CHAT], "images": images} for images in (None, [])]),
    Shape("TRL chat_template_kwargs", lambda i: {"messages": [turn("user", q(i)), turn("assistant", a(i))],
                                                 "chat_template_kwargs": {"enable_thinking": False}},
          # TRL unpacks this column: null would end the training.
          [{"messages": CHAT, "chat_template_kwargs": kwargs} for kwargs in ({"enable_thinking": False}, {})]),
    Shape("TRL tools as text", lambda i: {"messages": [turn("user", q(i)), turn("assistant", a(i))], "tools": TOOLS_TEXT},
          {"messages": CHAT, "tools": None}),
    Shape("reasoning_content", lambda i: {"messages": [turn("user", q(i)), turn("assistant", a(i), reasoning_content="hm")]},
          {"messages": CHAT}),
    Shape("thinking of gpt-oss", lambda i: {"messages": [turn("user", q(i)), turn("assistant", a(i), thinking="hm")]},
          {"messages": CHAT}),
    Shape("thinking part of Tinker", lambda i: {"messages": [
        turn("user", q(i)), turn("assistant", [{"type": "thinking", "thinking": "hm"}, part(a(i))])]},
          [{"messages": [turn("system", SYSTEM), USER, turn("assistant", [part(ANSWER)])]}]),
    Shape("Axolotl train flags", lambda i: {"messages": [turn("user", q(i), train=False), turn("assistant", a(i), train=True)]},
          [{"messages": CHAT}, {"messages": [turn("system", SYSTEM, train=False), turn("user", QUESTION, train=False),
                                             turn("assistant", ANSWER, train=True)]}]),
    Shape("LLaMA-Factory image", lambda i: {"messages": [turn("user", "<image>" + q(i)), turn("assistant", a(i))], "images": [f"{i}.png"]},
          [{"messages": CHAT, "images": images} for images in (None, [])]),
    Shape("Unsloth conversations", lambda i: {"conversations": [turn("user", q(i)), turn("assistant", a(i))]}, {"conversations": CHAT}),
    Shape("conversation", lambda i: {"conversation": [turn("user", q(i)), turn("assistant", a(i))]}, {"conversation": CHAT}),
    Shape("ShareGPT", lambda i: {"conversations": [says("human", q(i)), says("gpt", a(i))]}, {"conversations": SHARE_GPT}),
    Shape("ShareGPT with system and tools", lambda i: {
        "conversations": [says("human", q(i)), says("gpt", a(i))], "system": "Be brief.", "tools": TOOLS_TEXT},
          {"conversations": SHARE_GPT[1:], "system": SYSTEM, "tools": None}),
    Shape("ShareGPT tool calls", lambda i: {"conversations": calls_of_share_gpt(i), "tools": TOOLS_TEXT},
          {"conversations": SHARE_GPT, "tools": None}),
    Shape("ShareGPT user and assistant", lambda i: {"conversations": [says("user", q(i)), says("assistant", a(i))]},
          {"conversations": [SHARE_GPT[0], says("user", QUESTION), says("assistant", ANSWER)]}),
    Shape("from and value in messages", lambda i: {"messages": [says("human", q(i)), says("gpt", a(i))]}, {"messages": SHARE_GPT}),
]

PAIRS = [
    Shape("TRL prompt and completion", lambda i: {"prompt": q(i), "completion": a(i)}, {"prompt": QUESTION, "completion": ANSWER}),
    Shape("TRL prompt and completion, conversational",
          lambda i: {"prompt": [turn("user", q(i))], "completion": [turn("assistant", a(i))]}, {"prompt": PROMPT, "completion": [ASSISTANT]}),
    Shape("TRL prompt and completion with tools", lambda i: {
        "prompt": tool_chat(i)[:1], "completion": tool_chat(i)[1:], "tools": TOOLS},
          {"prompt": PROMPT, "completion": [ASSISTANT], "tools": None}),
    Shape("question and answer", lambda i: {"question": q(i), "answer": a(i)}, {"question": QUESTION, "answer": ANSWER}),
    Shape("query and response", lambda i: {"query": q(i), "response": a(i), "type": "GSM"},
          {"query": QUESTION, "response": ANSWER, "type": None}),
    Shape("input and output", lambda i: {"input": q(i), "output": a(i)}, {"input": QUESTION, "output": ANSWER}),
    Shape("OpenOrca", lambda i: {"id": f"t{i}", "system_prompt": "Be brief.", "question": q(i), "response": a(i)},
          [{"id": None, "system_prompt": system, "question": QUESTION, "response": ANSWER} for system in (None, SYSTEM)]),
    Shape("Dolly", lambda i: {"instruction": q(i), "context": "c" if i % 2 else "", "response": a(i), "category": "open_qa"},
          {"instruction": QUESTION, "context": "", "response": ANSWER, "category": None}),
    Shape("Alpaca", lambda i: {"instruction": q(i), "input": "c" if i % 2 else "", "output": a(i)},
          {"instruction": QUESTION, "input": "", "output": ANSWER}),
    Shape("Alpaca without input", lambda i: {"instruction": q(i), "output": a(i)}, {"instruction": QUESTION, "output": ANSWER}),
    Shape("Alpaca with text", lambda i: {"instruction": q(i), "input": "", "output": a(i), "text": f"### Instruction:\n{q(i)}"},
          {"instruction": QUESTION, "input": "", "output": ANSWER, "text": None}),
    Shape("Alpaca with system and history", lambda i: {
        "instruction": q(i), "input": "", "output": a(i), "system": "Be brief.", "history": [[q(i + 1), a(i + 1)]] if i % 2 else []},
          {"instruction": QUESTION, "input": "", "output": ANSWER, "system": SYSTEM, "history": []}),
    Shape("columns by --fields", lambda i: {"ask": q(i), "reply": a(i), "n": i}, {"ask": QUESTION, "reply": ANSWER, "n": None},
          ("--fields", "ask,reply")),
]

PREFERENCES = [
    Shape("TRL preference", lambda i: {"prompt": q(i), "chosen": a(i), "rejected": "no"},
          {"prompt": QUESTION, "chosen": ANSWER, "rejected": DECLINED}),
    Shape("TRL preference, conversational", lambda i: {
        "prompt": [turn("user", q(i))], "chosen": [turn("assistant", a(i))], "rejected": [turn("assistant", "no")]},
          {"prompt": PROMPT, "chosen": [ASSISTANT], "rejected": [turn("assistant", DECLINED)]}),
    Shape("TRL preference, implicit prompt, conversational", lambda i: {
        "chosen": [turn("user", q(i)), turn("assistant", a(i))], "rejected": [turn("user", q(i)), turn("assistant", "no")]},
          {"chosen": CHAT, "rejected": [*PROMPT, turn("assistant", DECLINED)]}),
    Shape("Anthropic HH", lambda i: {"chosen": f"\n\nHuman: {q(i)}\n\nAssistant: {a(i)}", "rejected": f"\n\nHuman: {q(i)}\n\nAssistant: no"},
          {"chosen": f"\n\nHuman: {QUESTION}\n\nAssistant: {ANSWER}", "rejected": f"\n\nHuman: {QUESTION}\n\nAssistant: {DECLINED}"}),
    Shape("ORCA DPO pairs", lambda i: {"system": "Be brief.", "question": q(i), "chosen": a(i), "rejected": "no"},
          {"system": SYSTEM, "question": QUESTION, "chosen": ANSWER, "rejected": DECLINED}),
    Shape("text prompt, conversational answers", lambda i: {
        "prompt": q(i), "chosen": [turn("user", q(i)), turn("assistant", a(i))], "rejected": [turn("user", q(i)), turn("assistant", "no")]},
          [{"prompt": QUESTION, "chosen": chat, "rejected": [*chat[:-1], turn("assistant", DECLINED)]} for chat in (CHAT, CHAT[1:])]),
    Shape("UltraFeedback binarized", lambda i: {
        "prompt": q(i), "prompt_id": f"p{i}", "chosen": [turn("user", q(i)), turn("assistant", a(i))],
        "rejected": [turn("user", q(i)), turn("assistant", "no")], "messages": [turn("user", q(i)), turn("assistant", a(i))],
        "score_chosen": 8.5, "score_rejected": 3.0},
          [{"prompt": QUESTION, "prompt_id": None, "chosen": chat, "rejected": [*chat[:-1], turn("assistant", DECLINED)],
            "messages": chat, "score_chosen": None, "score_rejected": None} for chat in (CHAT, CHAT[1:])]),
    Shape("LLaMA-Factory Alpaca preference", lambda i: {"instruction": q(i), "input": "", "chosen": a(i), "rejected": "no"},
          {"instruction": QUESTION, "input": "", "chosen": ANSWER, "rejected": DECLINED}),
    Shape("LLaMA-Factory ShareGPT preference", lambda i: {
        "conversations": [says("human", q(i))], "chosen": says("gpt", a(i)), "rejected": says("gpt", "no")},
          {"conversations": SHARE_GPT[:2], "chosen": says("gpt", ANSWER), "rejected": says("gpt", DECLINED)}),
    Shape("Axolotl chat preference", lambda i: {
        "messages": [turn("user", q(i))], "chosen": turn("assistant", a(i)), "rejected": turn("assistant", "no")},
          {"messages": PROMPT, "chosen": ASSISTANT, "rejected": turn("assistant", DECLINED)}),
    Shape("OpenAI preference", lambda i: {
        "input": {"messages": [turn("user", q(i))], "tools": [], "parallel_tool_calls": True},
        "preferred_output": [turn("assistant", a(i))], "non_preferred_output": [turn("assistant", "no")]},
          [{"input": {"messages": PROMPT, **more}, "preferred_output": [ASSISTANT], "non_preferred_output": [turn("assistant", DECLINED)]}
           for more in ({}, {"tools": []}, {"tools": [], "parallel_tool_calls": True})]),
    Shape("KTO", lambda i: {"prompt": q(i), "completion": a(i), "label": i % 2 == 0},
          {"prompt": QUESTION, "completion": ANSWER, "label": True}),
    Shape("KTO, labels are numbers", lambda i: {"prompt": q(i), "completion": a(i), "label": i % 2},
          {"prompt": QUESTION, "completion": ANSWER, "label": 1}),
    Shape("KTO, conversational", lambda i: {
        "prompt": [turn("user", q(i))], "completion": [turn("assistant", a(i))], "label": i % 2 == 1},
          {"prompt": PROMPT, "completion": [ASSISTANT], "label": True}),
    Shape("LLaMA-Factory Alpaca KTO", lambda i: {"instruction": q(i), "input": "", "output": a(i), "kto_tag": i % 2 == 0},
          {"instruction": QUESTION, "input": "", "output": ANSWER, "kto_tag": True}),
    Shape("LLaMA-Factory chat KTO", lambda i: {"messages": [turn("user", q(i)), turn("assistant", a(i))], "kto_tag": i % 2 == 0},
          {"messages": CHAT, "kto_tag": True}),
    Shape("OpenAI RFT", lambda i: {"messages": [turn("user", q(i))], "reference_answer": a(i)},
          {"messages": PROMPT, "reference_answer": ANSWER}),
    Shape("GRPO, conversational", lambda i: {"prompt": [turn("user", q(i))], "solution": a(i)},
          {"prompt": PROMPT, "solution": ANSWER}),
    Shape("GRPO, plain", lambda i: {"prompt": q(i), "ground_truth": a(i)}, {"prompt": QUESTION, "ground_truth": ANSWER}),
]


def text(name: str, form: str, system: bool = True) -> Shape:
    """Rows of one text. `form` has the marks, with S, Q and A in brackets for system prompt, question and answer."""
    def fill(asked: str, said: str, prompt: str) -> str:
        return form.replace("[S]", prompt if system else "").replace("[Q]", asked).replace("[A]", said)
    right = fill(QUESTION, ANSWER, SYSTEM)
    # White space after the last mark is of no use to a trainer.
    return Shape(name, lambda i: {"text": fill(q(i), a(i), "Be brief.")}, [{"text": right}, {"text": right.rstrip()}])


TEXTS = [
    Shape("plain", lambda i: {"text": f"{q(i)} {a(i)}"}, {"text": f"{QUESTION}\n{ANSWER}"}),
    text("ChatML", "<|im_start|>system\n[S]<|im_end|>\n<|im_start|>user\n[Q]<|im_end|>\n<|im_start|>assistant\n[A]<|im_end|>\n"),
    text("Llama 3", "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n[S]<|eot_id|><|start_header_id|>user"
         "<|end_header_id|>\n\n[Q]<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n[A]<|eot_id|>"),
    text("Gemma", "<bos><start_of_turn>user\n[Q]<end_of_turn>\n<start_of_turn>model\n[A]<end_of_turn>\n"),
    text("Mistral", "<s>[INST] [Q] [/INST] [A]</s>"),
    text("Phi", "<|system|>\n[S]<|end|>\n<|user|>\n[Q]<|end|>\n<|assistant|>\n[A]<|end|>\n"),
    text("Zephyr", "<|system|>\n[S]</s>\n<|user|>\n[Q]</s>\n<|assistant|>\n[A]</s>\n"),
    text("Alpaca of Unsloth", "Below is an instruction.\n\n### Instruction:\n[Q]\n\n### Input:\n\n\n### Response:\n[A]<|end_of_text|>"),
    text("OpenAssistant Guanaco", "### Human: [Q]### Assistant: [A]"),
    text("Vicuna", "USER: [Q] ASSISTANT: [A]</s>"),
    text("harmony of gpt-oss", "<|start|>system<|message|>[S]<|end|><|start|>user<|message|>[Q]<|end|><|start|>assistant"
         "<|channel|>final<|message|>[A]<|return|>"),
    text("DeepSeek", "<｜begin▁of▁sentence｜>[S]<｜User｜>[Q]<｜Assistant｜>[A]<｜end▁of▁sentence｜>"),
]

GROUPS = {"messages": MESSAGES, "prompt and answer": PAIRS, "preferences": PREFERENCES, "text": TEXTS}


def by_name(name: str) -> Shape:
    return next(shape for shapes in GROUPS.values() for shape in shapes if shape.name == name)
