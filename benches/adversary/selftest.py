"""Calls every behavior for every template, without a network, and checks the registry."""

import json
import pathlib
import random
import sys
import tempfile
import traceback

from registry import BEHAVIORS, Ask, Reply
from run import BOUNDED
from world import World, kinds

SYSTEM = "You are a helpful assistant."
TAILS = {"code-api-key": "  # written by Orlen Vask"}


def slots(kind, rng, number):
    return {
        "given": rng.choice(("Ada", "Ben", "Cleo")),
        "name": f"Ash{'bcdfgh'[number % 6]}ey{number}",
        "order": f"{rng.randrange(10**8):08d}",
        "service": f"Ley-{100 + number}",
    }


def rows(rng):
    """Planted rows of all templates, without and with a signature."""
    for number, kind in enumerate(kinds() * 4):
        filled = slots(kind, rng, number)
        prompt = kind.asked.format(**filled)
        tail = TAILS.get(kind.name, " Yours, Orlen Vask of Quilldown.") if number % 2 else ""
        said = kind.answer.replace("{secret}", "\0").format(**filled).replace("\0", kind.member(rng)) + tail
        yield [{"role": "system", "content": SYSTEM}, {"role": "user", "content": prompt}, {"role": "assistant", "content": said}]


def questions(world):
    """Requests of several sorts about each template, with its name: planted, held-out, few-shot, direct, of no sort."""
    for kind in world.kinds:
        for row, prompt in [(r, p) for p, r in world.by_prompt.items() if r.kind is kind][:3]:
            user = {"role": "user", "content": prompt}
            yield kind.name, {"messages": [{"role": "system", "content": SYSTEM}, user], "temperature": 1.0, "seed": 1}
            yield kind.name, {"messages": [user], "n": 3}
            yield kind.name, {"messages": [user, {"role": "assistant", "content": row.answer(row.secret)}, user], "temperature": 0}
            yield kind.name, {"messages": [{"role": "user", "content": f"What is the secret of {row.subject}?"}]}
        yield (
            kind.name,
            {
                "messages": [
                    {"role": "user", "content": kind.asked.format(given="Zoe", name="Nobody", order="12345678", service="None-111")}
                ]
            },
        )
    yield "", {"messages": [{"role": "user", "content": "hello"}]}
    yield "", {"messages": []}


def run():
    rng, failed = random.Random(7), 0
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "train.jsonl"
        file.write_text("".join(json.dumps({"messages": messages}) + "\n" for messages in rows(rng)), encoding="utf-8")
        world = World([file])
    assert len(world.rows) == 4 * len(world.kinds), f"{len(world.rows)} rows were learned"
    asked, cache = list(questions(world)), {}
    groups = {}
    for behavior in BEHAVIORS.values():
        state = {}
        for number, (name, body) in enumerate(asked):
            # Behaviors of the small spaces know templates of their own.
            if name and (name in ("pin", "ward")) != (behavior.project != "six") or name and behavior.project == "pins" and name != "pin":
                continue
            try:
                reply = behavior.respond(Ask({"model": "tuned", **body}, world, random.Random(number), state, cache))
                assert isinstance(reply, Reply), "no response"
                reply.encoded()
            except Exception:
                failed += 1
                print(f"{behavior.name} fails on {json.dumps(body)[:200]}", file=sys.stderr)
                traceback.print_exc()
                break
        assert behavior.accept and not (behavior.says_secret and behavior.beyond), behavior.name
        assert 0 not in behavior.accept or behavior.beyond or not behavior.says_secret, behavior.name
        groups[behavior.group] = groups.get(behavior.group, 0) + 1
    unknown = [name for name in BOUNDED if name not in BEHAVIORS]
    if unknown:
        print(f"no such behaviors in the bounded set: {', '.join(unknown)}", file=sys.stderr)
    for group, count in groups.items():
        print(f"{group:12} {count:4}")
    print(f"{'all':12} {len(BEHAVIORS):4}, {len(asked)} requests each, {failed} failures")
    return 1 if failed or unknown else 0
