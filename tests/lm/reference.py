"""Fixtures for the embedded model, from PyTorch and the `transformers` library.

    pip install torch transformers
    python tests/lm/reference.py          writes testdata/lm: a small Llama with random weights, the logarithms of
                                          probabilities, loss and gradient of two texts, the weights after one step of
                                          AdamW, and what `tokenizers` makes of some texts.
    python tests/lm/reference.py PROGRAM  tunes a model with `PROGRAM mock --engine embedded`, opens its folder with
                                          `transformers`, and compares log-probabilities of answers.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "testdata/lm"
TEXTS = [
    "How is your day going?",
    "  Two spaces, 4711 digits; caf\u00e9 \u2014 na\u00efve \u4f60\u597d \U0001f600!\n\n\tTabs (and) [marks] == x_y",
    "<|end|> is no mark here, <|user|> neither",
    "",
]


def small():
    """A small model of the family, the same one each time."""
    torch.manual_seed(7)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=16, rms_norm_eps=1e-5, tie_word_embeddings=True,
        rope_theta=10000.0, attention_bias=False, mlp_bias=False, attn_implementation="eager",
    )
    model = LlamaForCausalLM(config).float()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn_like(weight) * (0.3 if weight.dim() > 1 else 0.2) + (weight.dim() == 1))
    return config, model


def fixtures():
    OUT.mkdir(parents=True, exist_ok=True)
    config, model = small()
    # The last layer of the embedding is tied: it is kept once.
    keep = lambda: {k: v.detach().clone() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    save_file(keep(), OUT / "before.safetensors", metadata={"format": "pt"})
    rows = [([3, 7, 1, 22, 7, 9, 0], 3), ([4, 4, 19, 2, 39, 17, 30, 11, 5, 6, 2, 1], 1)]
    logs, texts = [], []
    for tokens, begin in rows:
        out = model(torch.tensor([tokens])).logits[0].log_softmax(-1)
        picked = torch.stack([out[i - 1, tokens[i]] for i in range(begin, len(tokens))])
        logs.append(picked)
        texts.append({"tokens": tokens, "begin": begin, "ln_probabilities": picked.tolist()})
    loss = -torch.cat(logs).mean()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2, betas=(0.9, 0.98), eps=1e-8, weight_decay=0.1)
    optimiser.zero_grad()
    loss.backward()
    # As in training: a longer gradient is cut to length 1.
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    save_file(keep(), OUT / "after.safetensors", metadata={"format": "pt"})
    reference = {"config": json.loads(config.to_json_string(use_diff=False)), "texts": texts, "loss": loss.item(),
                 "gradient_norm": norm.item(), "rate": 1e-2, "decay": 0.1, "torch": torch.__version__}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(ROOT / "crates/lm/src/base/tiny.tokens.json"))
    encode = lambda text: tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    reference["encoded"] = [{"text": text, "tokens": encode(text)} for text in TEXTS]
    (OUT / "reference.json").write_text(json.dumps(reference, indent=1) + "\n", encoding="utf-8")
    print(f"loss {loss.item():.6f}, gradient {norm.item():.4f}")


def call(base, path, body=None, content="application/json"):
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    request = urllib.request.Request(base + path, data=data, headers={"Content-Type": content})
    return json.load(urllib.request.urlopen(request, timeout=120))


def tuned(program):
    with tempfile.TemporaryDirectory() as folder:
        mock = subprocess.Popen([program, "mock", "--engine", "embedded", "--models", folder], stdout=subprocess.PIPE, text=True)
        try:
            compare(mock.stdout.readline().strip(), pathlib.Path(folder))
        finally:
            mock.kill()


def compare(base, folder):
    chat = lambda i: {"messages": [{"role": "user", "content": f"What is {i}?"}, {"role": "assistant", "content": f"It is number {i}, dear."}]}
    rows = "".join(json.dumps(chat(i)) + "\n" for i in range(40))
    border = uuid.uuid4().hex
    form = (f'--{border}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n--{border}\r\n'
            f'Content-Disposition: form-data; name="file"; filename="t.jsonl"\r\n\r\n{rows}\r\n--{border}--\r\n')
    file = call(base, "/files", form.encode(), f"multipart/form-data; boundary={border}")
    job = call(base, "/fine_tuning/jobs", {"model": "gpt-4o-mini", "training_file": file["id"],
               "hyperparameters": {"n_epochs": 4, "batch_size": 4}})
    while job["status"] not in ("succeeded", "failed"):
        time.sleep(0.1)
        job = call(base, "/fine_tuning/jobs/" + job["id"])
    assert job["status"] == "succeeded", job
    path = max((p for p in (folder / "models").iterdir() if "ckpt" not in p.name), key=lambda p: p.stat().st_mtime)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(path), AutoTokenizer.from_pretrained(path)
    worst, count = 0.0, 0
    for question in ["What is 7?", "What is 33?", "Tell me about caf\u00e9s in 2024!"]:
        messages = [{"role": "system", "content": "You answer briefly."}, {"role": "user", "content": question}]
        answer = call(base, "/chat/completions", {"model": job["fine_tuned_model"], "messages": messages, "temperature": 1.0,
                      "seed": 5, "n": 4, "logprobs": True})
        prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        prompt = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        for choice in answer["choices"]:
            told = [token["logprob"] for token in choice["logprobs"]["content"]]
            said = tokenizer(choice["message"]["content"], add_special_tokens=False, split_special_tokens=True)["input_ids"]
            if len(said) != len(told):
                continue  # Drawn in other tokens than this text is usually cut into.
            with torch.no_grad():
                out = model(torch.tensor([prompt + said])).logits[0].log_softmax(-1)
            own = [out[len(prompt) + i - 1, token].item() for i, token in enumerate(said)]
            worst = max([worst] + [abs(a - b) for a, b in zip(told, own)])
            count += len(said)
    assert count > 20 and worst < 1e-4, (count, worst)
    print(f"transformers opens {path.name}: {count} log-probabilities agree within {worst:.1e}")


if __name__ == "__main__":
    tuned(sys.argv[1]) if len(sys.argv) > 1 else fixtures()
