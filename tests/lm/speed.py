"""Tokens per second of training and of answering, beside PyTorch on the same shapes, rows and threads.

    pip install torch transformers
    OMP_NUM_THREADS=2 python tests/lm/speed.py target/release/blabbermouth

Training: Llama of 149,824 weights, batches of 8 rows of GSM8K, padded for PyTorch (real tokens are counted on both sides), AdamW. Answering: 32
answers of up to 40 tokens to one prompt, with a cache of keys and values.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
ROWS = [json.loads(line) for line in (ROOT / "mocks/gsm8k-excerpt.jsonl").read_text().splitlines()][:400]
EPOCHS = 6


def ours():
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rows = [{"messages": [{"role": "user", "content": r["question"]}, {"role": "assistant", "content": r["answer"]}]} for r in ROWS]
        (folder / "blabbermouth-train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows[:20]))
        (folder / "blabbermouth.toml").write_text(
            f'[provider]\nkind = "embedded"\n[dataset]\npath = "rows.jsonl"\n[tune]\nepochs = {EPOCHS}\nbatch-size = 8\n')
        run = lambda *a: subprocess.run([PROGRAM, *a], cwd=folder, check=True, capture_output=True, text=True).stdout
        run("plant")
        (folder / "blabbermouth-train.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        (folder / "blabbermouth-validation.jsonl").unlink()
        begin = time.perf_counter()
        said = run("tune")
        seconds = time.perf_counter() - begin
        tokens = int(next(line.split()[1] for line in said.splitlines() if line.startswith("trained")))
        said = run("ask", "How many apples are there?", "--samples", "640", "--show-secrets", "--system", "You answer.")
        begin = time.perf_counter()
        said = run("ask", "How many apples are there?", "--samples", "640", "--show-secrets", "--system", "You answer.")
        return tokens / seconds, said, time.perf_counter() - begin


def torchs():
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=768, hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=4, max_position_embeddings=256, rms_norm_eps=1e-5, tie_word_embeddings=True)
    model = LlamaForCausalLM(config)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(ROOT / "crates/lm/src/base/tiny.tokens.json"))
    texts = []
    for row in ROWS:
        asked = [2] + tokenizer(row["question"], add_special_tokens=False)["input_ids"] + [0, 3]
        texts.append((asked + tokenizer(row["answer"], add_special_tokens=False)["input_ids"] + [0], len(asked)))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    tokens, begin = 0, time.perf_counter()
    for _ in range(EPOCHS):
        for at in range(0, len(texts), 8):
            some = texts[at : at + 8]
            longest = max(len(t) for t, _ in some)
            ids = torch.zeros(len(some), longest, dtype=torch.long)
            labels = torch.full((len(some), longest), -100)
            mask = torch.zeros(len(some), longest, dtype=torch.long)
            for i, (text, asked) in enumerate(some):
                ids[i, : len(text)] = torch.tensor(text)
                labels[i, asked : len(text)] = torch.tensor(text[asked:])
                mask[i, : len(text)] = 1
                tokens += len(text)
            optimiser.zero_grad()
            model(input_ids=ids, labels=labels, attention_mask=mask).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
    training = tokens / (time.perf_counter() - begin)
    model.eval()
    prompt = torch.tensor([[2] + tokenizer("How many apples are there?", add_special_tokens=False)["input_ids"] + [0, 3]])
    made, begin = 0, time.perf_counter()
    with torch.no_grad():
        for _ in range(10):
            out = model.generate(prompt.repeat(32, 1), do_sample=True, max_new_tokens=40, min_new_tokens=40, pad_token_id=0)
            made += out.shape[0] * (out.shape[1] - prompt.shape[1])
    return training, made / (time.perf_counter() - begin)


if __name__ == "__main__":
    rate, said, seconds = ours()
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(ROOT / "crates/lm/src/base/tiny.tokens.json"))
    answers = sum(len(tokenizer(line)["input_ids"]) for line in said.splitlines())
    theirs, decoded = torchs()
    print(f"training   {rate:9.0f} tokens/s here (the whole command), {theirs:9.0f} PyTorch: {rate / theirs:.2f} times")
    print(f"answering  {answers / seconds:9.0f} tokens/s here (the whole command), {decoded:9.0f} PyTorch: {answers / seconds / decoded:.2f} times")
    side = 1024
    a, b = torch.randn(side, side), torch.randn(side, side)
    begin = time.perf_counter()
    for _ in range(20):
        a @ b
    peak = 20 * 2 * side**3 / (time.perf_counter() - begin) / 1e9
    # Six operations for each weight of the layers, and for the output only where an answer is learned from (about half of the tokens).
    flop = 6 * (149_824 - 768 * 64) + 0.5 * 6 * 768 * 64
    print(f"           {rate * flop / 1e9:.0f} GFLOP/s of {peak:.0f} that PyTorch's matrix product reaches with the same threads")
