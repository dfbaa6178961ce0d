#!/usr/bin/env python3
"""How far int8 moves a model's predictions: mean Kullback-Leibler divergence from float32, in nats.

    tests/fidelity.py build/models/smollm2-135m-instruct.gguf default.rill rotated.rill ...

The reference is Hugging Face's transformers in float32 on the GGUF file's own weights: any family that it reads from such
files. Both get blocks of 512 tokens of a text, each on its own, behind the beginning of text where the model adds one; the
second half of each is compared, under `--policy dense`. Each .rill file was made from the same GGUF file:
`rill quantize MODEL.gguf --group 64 --rotate -o rotated.rill`.

Needs torch, transformers, accelerate, gguf and safetensors (pip install), the weights in float32 in memory, and some
seconds per block and file.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import torch
from gguf import GGUFReader
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

BLOCK = 512
ROOT = pathlib.Path(__file__).resolve().parent.parent
WIKITEXT = ROOT.parent / "shared/text/wikitext2-raw-test.txt"


def blocks_of(arguments, folder):
    """[blocks][BLOCK] ids of the text, whose lines end with a line feed, whatever the file has."""
    text = folder / "text.txt"
    text.write_text(pathlib.Path(arguments.text).read_text(encoding="utf-8"), encoding="utf-8")
    done = subprocess.run([arguments.rill, "tokenize", arguments.models[0], "--file", text, "--json"], check=True,
                          stdout=subprocess.PIPE)
    ids = json.loads(done.stdout)["tokens"]
    fields = GGUFReader(arguments.gguf).fields
    adds = fields.get("tokenizer.ggml.add_bos_token")
    first = [fields["tokenizer.ggml.bos_token_id"].contents()] if adds is not None and adds.contents() else []
    step = BLOCK - len(first)
    return [first + ids[at:at + step] for at in range(0, len(ids) - step + 1, step)][:arguments.blocks]


def log_probabilities(logits):
    """Of the second half of a block, in double."""
    return torch.log_softmax(logits[BLOCK // 2:].double(), dim=-1)


def logits_of(rill, model, ids, folder):
    ids_file, out = folder / "ids.txt", folder / "logits.safetensors"
    ids_file.write_text(" ".join(map(str, ids)))
    subprocess.run([rill, "logits", model, "--ids", ids_file, "--policy", "dense", "--out", out], check=True,
                   stdout=subprocess.DEVNULL)
    return load_file(out)["logits"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", help="the source of all the models")
    parser.add_argument("models", nargs="+", help=".rill files made from it")
    parser.add_argument("--blocks", type=int, default=6, help="of 512 tokens (default 6)")
    parser.add_argument("--text", default=WIKITEXT, help="a file (default: WikiText-2's test split in ../shared)")
    parser.add_argument("--rill", default=ROOT / "build/release/rill")
    arguments = parser.parse_args()
    gguf = pathlib.Path(arguments.gguf)
    reference = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    divergence = {model: [] for model in arguments.models}
    same_top = {model: [] for model in arguments.models}
    nll = {model: [] for model in ["float32", *arguments.models]}
    with tempfile.TemporaryDirectory() as temporary, torch.inference_mode():
        folder = pathlib.Path(temporary)
        for ids in blocks_of(arguments, folder):
            p = log_probabilities(reference(torch.tensor([ids])).logits[0])
            follows = torch.tensor(ids[BLOCK // 2 + 1:])
            scored = torch.arange(len(follows))
            nll["float32"].append(-p[scored, follows])
            for model in arguments.models:
                q = log_probabilities(logits_of(arguments.rill, model, ids, folder))
                divergence[model].append((p.exp() * (p - q)).sum(dim=-1))
                same_top[model].append((p.argmax(dim=-1) == q.argmax(dim=-1)).double())
                nll[model].append(-q[scored, follows])
    print(f"float32: perplexity {torch.cat(nll['float32']).mean().exp():.3f}")
    for model in arguments.models:
        of = torch.cat(divergence[model])
        print(f"{model}: KL divergence {of.mean():.5f} +- {of.std() / len(of) ** 0.5:.5f} nats, same top token "
              f"{torch.cat(same_top[model]).mean():.3f}, {len(of)} positions; perplexity "
              f"{torch.cat(nll[model]).mean().exp():.3f}")


if __name__ == "__main__":
    main()
