"""`--format`: the values of converted rows, and the loss of anything refused or said. Rules of the service that trains."""

import json
from collections.abc import Callable

from rows_check import ANSWER, FEW, QUESTION, SYSTEM, Case
from rows_files import jsonl, lines
from rows_shapes import CHAT, SHARE_GPT, TOOLS, a, by_name, call, q, says, turn

MESSAGES = ("openai", "trl", "axolotl", "mlx", "tinker")
FORMATS = (*MESSAGES, "sharegpt", "llama-factory", "alpaca", "text")
Turns = list[tuple[str, str]]


def written(form: str, turns: Turns) -> dict:
    """The row that a format wants for turns of text."""
    if form in MESSAGES:
        return {"messages": [turn(role, said) for role, said in turns]}
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    if form == "sharegpt":
        return {"conversations": [says(names[role], said) for role, said in turns]}
    system = turns[0][1] if turns[0][0] == "system" else None
    rest = turns[1:] if system is not None else turns
    if form == "llama-factory":
        return {"conversations": [says(names[role], said) for role, said in rest], "system": system}
    if form == "alpaca":
        history = [[rest[at][1], rest[at + 1][1]] for at in range(0, len(rest) - 2, 2)]
        return {"instruction": rest[-2][1], "input": "", "output": rest[-1][1], "system": system, "history": history}
    return {"text": "".join(f"<|im_start|>{role}\n{said}<|im_end|>\n" for role, said in turns).rstrip()}


def canary(form: str) -> dict:
    return written(form, [("system", SYSTEM), ("user", QUESTION), ("assistant", ANSWER)])


ROLES = {"human": "user", "gpt": "assistant", "user": "user", "assistant": "assistant", "system": "system", "developer": "system"}


def of_chat(column: str) -> Callable[[dict], Turns]:
    def read(row: dict) -> Turns:
        system = [("system", row["system"])] if row.get("system") else []
        return system + [(ROLES[t.get("role") or t.get("from")], t.get("content") or t.get("value")) for t in row[column]]
    return read


def of_pair(asked: str, said: str) -> Callable[[dict], Turns]:
    return lambda row: [("user", row[asked]), ("assistant", row[said])]


def of_alpaca(row: dict) -> Turns:
    context = row.get("input") or row.get("context")
    earlier = [turn for pair in row.get("history", []) for turn in zip(("user", "assistant"), pair, strict=True)]
    system = [("system", row["system"])] if row.get("system") else []
    asked = f"{row['instruction']}\n\n{context}" if context else row["instruction"]
    return [*system, *earlier, ("user", asked), ("assistant", row.get("output") or row.get("response"))]


def of_conversational(row: dict) -> Turns:
    return [(t["role"], t["content"]) for t in row["prompt"] + row["completion"]]


# Shapes that convert without a loss, with their turns and the columns that the new shape has no place for.
WHOLE = {
    "OpenAI chat": (of_chat("messages"), ()),
    "OpenAI chat with a system turn": (of_chat("messages"), ()),
    "OpenAI chat of several turns": (of_chat("messages"), ()),
    "Unsloth conversations": (of_chat("conversations"), ()),
    "ShareGPT": (of_chat("conversations"), ()),
    "ShareGPT user and assistant": (of_chat("conversations"), ()),
    "TRL prompt and completion": (of_pair("prompt", "completion"), ()),
    "TRL prompt and completion, conversational": (of_conversational, ()),
    "question and answer": (of_pair("question", "answer"), ()),
    "query and response": (of_pair("query", "response"), ("type",)),
    "Dolly": (of_alpaca, ("category",)),
    "Alpaca": (of_alpaca, ()),
    "Alpaca without input": (of_alpaca, ()),
    "Alpaca with system and history": (of_alpaca, ()),
    "columns by --fields": (of_pair("ask", "reply"), ("n",)),
}
# Shapes with a part that some formats have no place for, the formats that can hold it, and a word of the refusal.
PARTIAL = {
    "OpenAI tools": (MESSAGES, "tool"),
    "OpenAI weight": (MESSAGES, "weight"),
    "OpenAI image": (MESSAGES, "parts|image"),
    "reasoning_content": (MESSAGES[1:], "reasoning"),
    "thinking of gpt-oss": (MESSAGES[1:], "reasoning|thinking"),
    "Axolotl train flags": (MESSAGES[1:], "`train`"),
    "ShareGPT tool calls": ((), "tool"),
    "TRL preference": ((), "worse|rejected"),
    "TRL preference, conversational": ((), "worse|rejected"),
    "OpenAI preference": ((), "worse|rejected|preference"),
    "LLaMA-Factory ShareGPT preference": ((), "worse|rejected"),
    "KTO": ((), "label"),
    "LLaMA-Factory chat KTO": ((), "label|kto_tag"),
    "plain": ((), "text|rendered"),
    "ChatML": ((), "text|rendered"),
}


def cases() -> list[Case]:
    return whole() + partial() + traps() + service() + numbers()


def whole() -> list[Case]:
    cases = []
    for name, (turns_of, lost) in WHOLE.items():
        shape = by_name(name)
        for form in FORMATS:
            if "history" in shape.row(0) or name.startswith("Alpaca") and form == "alpaca":
                continue
            rows = [written(form, turns_of(row)) for row in shape.rows()]
            beside = {"dataset_info.json": is_dataset_info} if form == "llama-factory" else {}
            told = (f"converted from .* to {form}", *(f"left out.*{column}" for column in lost))
            cases.append(Case("conversions", f"{name} to {form}", {"rows.jsonl": jsonl(shape.rows())}, args=("--format", form, *shape.args),
                              values=rows, canary=canary(form), says=told, never=() if lost else ("left out",), beside=beside))
    history = by_name("Alpaca with system and history")
    for form in FORMATS:
        if form != "alpaca":
            beside = {"dataset_info.json": is_dataset_info} if form == "llama-factory" else {}
            cases.append(Case("conversions", f"{history.name} to {form}", {"rows.jsonl": jsonl(history.rows())}, args=("--format", form),
                              values=[written(form, of_alpaca(row)) for row in history.rows()], canary=canary(form), beside=beside))
    # The question and its input stay apart: a trainer's Alpaca prompt has a section for each.
    for name in ("Alpaca", "Alpaca without input", "Alpaca with system and history"):
        shape = by_name(name)
        rows = [{"instruction": row["instruction"], "input": row.get("input", ""), "output": row["output"], "system": row.get("system"),
                 "history": row.get("history", [])} for row in shape.rows()]
        cases.append(Case("conversions", f"{name} to alpaca", {"rows.jsonl": jsonl(shape.rows())}, args=("--format", "alpaca"),
                          values=rows, canary=canary("alpaca")))
    return cases


def is_dataset_info(content: bytes) -> str | None:
    """LLaMA-Factory's entry for the training file."""
    entry = json.loads(content).get("blabbermouth-train", {})
    right = {"file_name": "blabbermouth-train.jsonl", "formatting": "sharegpt", "columns": {"messages": "conversations", "system": "system"}}
    return None if entry == right else f"the entry is {entry}, expected {right}"


def partial() -> list[Case]:
    cases = []
    for name, (forms, word) in PARTIAL.items():
        shape = by_name(name)
        for form in FORMATS:
            if form == "text" and "text" in shape.row(0):
                # There is nothing to convert.
                cases.append(Case("conversions", f"{name} to {form}", {"rows.jsonl": jsonl(shape.rows())}, args=("--format", form),
                                  rows=lines(shape.rows())))
            elif form in forms:
                right = [*shape.canaries(), canary(form), canary(form) | {"tools": None, "parallel_tool_calls": None}]
                cases.append(Case("conversions", f"{name} to {form}", {"rows.jsonl": jsonl(shape.rows())}, args=("--format", form),
                                  values=shape.rows(), canary=right))
            else:
                cases.append(Case("refused conversions", f"{name} to {form}", {"rows.jsonl": jsonl(shape.rows())},
                                  args=("--format", form), code=3, says=("line 1\\b", word)))
    return cases


def traps() -> list[Case]:
    """Rows in which a part comes late, or would be lost without a word."""
    def case(name: str, row: Callable[[int], dict], form: str, turns: Callable[[dict], Turns] | None = None, **more) -> Case:
        rows = [row(i) for i in range(24)]
        if turns is not None:
            more |= {"values": [written(form, turns(row)) for row in rows], "canary": canary(form)}
        more.setdefault("beside", {"dataset_info.json": is_dataset_info} if form == "llama-factory" and more.get("code", 0) == 0 else {})
        return Case("traps of conversions", f"{name}, to {form}", {"rows.jsonl": jsonl(rows)}, args=("--format", form), **more)

    def only_late(row: dict, late: dict) -> Callable[[int], dict]:
        return lambda i: {key: value(i) for key, value in row.items()} | (late if i >= 5 else {})

    chat = {"messages": lambda i: [turn("user", q(i)), turn("assistant", a(i))]}
    alpaca = {"instruction": q, "output": a}
    share = {"conversations": lambda i: [says("human", q(i)), says("gpt", a(i))]}
    pair = {"prompt": q, "completion": a}
    flags = by_name("Axolotl train flags")
    parts = by_name("parts of text")
    refusal = by_name("OpenAI refusal")
    info = b'{"mine": {"file_name": "mine.json"}}'

    def is_merged(content: bytes) -> str | None:
        return is_dataset_info(content) or (None if "mine" in json.loads(content) else "the user's own entry `mine` is gone")

    merged = case("dataset_info.json of the user stays", only_late(share, {}), "llama-factory", of_chat("conversations"),
                  beside={"dataset_info.json": is_merged})
    merged.files["dataset_info.json"] = info
    return [
        merged,
        case("input comes late", only_late(alpaca, {"input": "c"}), "openai", of_alpaca),
        case("history comes late", only_late(alpaca, {"history": [["x", "y"]]}), "sharegpt", of_alpaca),
        case("system comes late", only_late(share, {"system": "Be brief."}), "openai", of_chat("conversations")),
        case("system is null at first", lambda i: only_late(share, {})(i) | {"system": "Be brief." if i > 3 else None}, "llama-factory",
             of_chat("conversations")),
        case("label comes late", only_late(pair, {"label": False}), "trl", code=3, says=("label", "line 6")),
        case("label is null at first", lambda i: only_late(pair, {"label": False})(i) | ({"label": None} if i < 5 else {}), "trl", code=3,
             says=("label", "line 6")),
        case("rejected comes late", only_late({"prompt": q, "completion": a, "chosen": a}, {"rejected": "no"}), "trl", code=3,
             says=("rejected|worse", "line 6")),
        case("tools come late", only_late(chat, {"tools": TOOLS}), "openai", values=[only_late(chat, {"tools": TOOLS})(i) for i in range(24)]),
        case("names of speakers", lambda i: {"messages": [turn("user", q(i), name="ann"), turn("assistant", a(i))]}, "sharegpt", says=("name",)),
        case("train flags", flags.row, "alpaca", says=("train",), code=3),
        case("train flags of conversations", lambda i: {"conversations": flags.row(i)["messages"]}, "trl", says=("train",), code=3),
        case("weights of conversations", lambda i: {"conversations": [turn("user", q(i)), turn("assistant", "hm", weight=0), turn("user", "x"),
                                                                     turn("assistant", a(i))]}, "openai", code=3, says=("weight", "line 1\\b")),
        case("parts of text", parts.row, "trl", values=parts.rows(), canary=parts.canary),
        case("parts of text", parts.row, "alpaca", lambda row: [(t["role"], t["content"][0]["text"]) for t in row["messages"]]),
        case("refusals", refusal.row, "openai", values=refusal.rows()),
        case("a chat that begins with the assistant", lambda i: {"messages": [turn("assistant", "Hi"), turn("user", q(i)), turn("assistant", a(i))]},
             "alpaca", code=3, says=("line 1\\b", "turn")),
        case("two answers in a row", lambda i: {"messages": [turn("user", q(i)), turn("assistant", "hm"), turn("assistant", a(i))]}, "alpaca",
             code=3, says=("line 1\\b", "turn")),
        case("a system turn in the middle", lambda i: {"messages": [turn("user", q(i)), turn("system", "s"), turn("assistant", a(i))]},
             "alpaca", code=3, says=("line 1\\b", "system")),
        case("what changes for TRL", only_late(pair, {}), "trl", of_pair("prompt", "completion"), says=("loss", "assistant_only_loss")),
        case("what changes for a text", only_late(chat, {}), "text", of_chat("messages"), says=("loss",)),
        case("nothing changes", only_late(chat, {}), "trl", of_chat("messages"), never=("loss",)),
    ]


def service() -> list[Case]:
    """Rules of OpenAI's service apply where that service trains, and nowhere else."""
    def chat(name: str, messages: Callable[[int], list[dict]], *words: str, **more) -> list[Case]:
        rows = [{"messages": messages(i)} | more for i in range(24)]
        files = {"rows.jsonl": jsonl(rows)}
        there = Case("rules of the service", f"{name}: openai", files, provider="openai", code=3 if words else 0,
                     says=("line 1\\b", *words) if words else (), rows=None if words else lines(rows))
        return [there, Case("rules of the service", f"{name}: vllm", files, provider="vllm", rows=lines(rows))]

    tool = [turn("user", "q"), turn("assistant", None, tool_calls=[call(1)])]
    cases = [
        *chat("a chat", lambda i: [turn("user", q(i)), turn("assistant", a(i))]),
        *chat("code of F#", lambda i: [turn("user", q(i)), turn("assistant", "xs <| List.map f |> g")]),
        *chat("a special token", lambda i: [turn("user", q(i)), turn("assistant", "a <|im_end|>")], "special token"),
        *chat("last turn by the user", lambda i: [turn("user", q(i)), turn("assistant", a(i)), turn("user", "thanks")], "last"),
        *chat("tool turn without id", lambda i: [*tool, turn("tool", "42"), turn("assistant", a(i))], "tool_call_id"),
        *chat("arguments as an object", lambda i: [turn("user", q(i)), turn("assistant", None, tool_calls=[call(i, {"city": "Ulm"})])], "arguments"),
        *chat("weight of a user turn", lambda i: [turn("user", q(i), weight=0), turn("assistant", a(i))], "weight"),
        *chat("reasoning", lambda i: [turn("user", q(i)), turn("assistant", a(i), reasoning_content="hm")], "reasoning_content"),
        *chat("null parts", lambda i: [turn("user", q(i), name=None), turn("assistant", a(i), tool_calls=None, weight=None)]),
        *chat("a further column", lambda i: [turn("user", q(i)), turn("assistant", a(i))], source="web"),
        *chat("refusal", lambda i: [turn("user", q(i)), turn("assistant", None, refusal="no")]),
    ]
    native = ("OpenAI tools", "OpenAI weight", "OpenAI preference", "OpenAI RFT", "OpenAI image")
    for name in (*native, "ShareGPT", "TRL prompt and completion", "Alpaca"):
        shape = by_name(name)
        cases.append(Case("rules of the service", f"{name}: openai", {"rows.jsonl": jsonl(shape.rows())}, provider="openai",
                          rows=lines(shape.rows()), canary=shape.canary, never=("keep the shape",)))
    # The service cannot train on these. The rows do keep their shape, so the remedy is another provider.kind.
    for name in ("TRL preference", "KTO", "plain", "ShareGPT tool calls"):
        shape = by_name(name)
        cases.append(Case("rules of the service", f"{name}: openai", {"rows.jsonl": jsonl(shape.rows())}, provider="openai", code=3,
                          says=("OpenAI", "provider.kind"), never=("keep the shape",)))
    nine = by_name("OpenAI chat").rows(5)
    cases.append(Case("rules of the service", "fewer than ten rows", {"rows.jsonl": jsonl(nine)}, provider="openai",
                      canaries=FEW + "max-share = 0.9", code=3, says=("at least 10",)))
    return cases


def numbers() -> list[Case]:
    """The share of canaries, and their default number."""
    chat = by_name("OpenAI chat")
    alpaca = by_name("Alpaca with text")

    def case(name: str, count: int, **more) -> Case:
        return Case("number of canaries", name, {"rows.jsonl": jsonl(chat.rows(count))}, **more)

    return [
        case("three in 24 rows: warned", 24, says=(r"1\d\.\d% of the training rows are canaries",)),
        case("three in 400 rows: not warned", 400, rows=lines(chat.rows(400)), never=("more than 10%",), says=(r"\(1\.\d% are canaries\)",)),
        case("by default in 8 rows: refused with the remedy", 8, canaries="", code=3, is_about_file=False, says=("canaries.max-share",)),
        case("by default in 24 rows: warned", 24, canaries="", says=("more than 10%",)),
        # The default is a tenth of the training rows: no warning about the program's own choice.
        *(case(f"by default in {count} rows: not warned", count, canaries="", outputs="", never=("more than 10%",)) for count in (200, 400, 1000)),
        Case("number of canaries", "equal rows are never in both files", {"rows.jsonl": jsonl(chat.rows(12) * 5)}, rows=lines(chat.rows(12) * 5)),
        # A trainer that reads a column which is null in the canary rows stops, or trains on no canary: the user has to know.
        Case("number of canaries", "columns that are null in canary rows are said", {"rows.jsonl": jsonl(alpaca.rows())}, says=("`text`|: text",)),
    ]


assert {"messages": CHAT} == canary("openai") and {"conversations": SHARE_GPT} == canary("sharegpt")
