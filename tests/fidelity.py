#!/usr/bin/env python3
"""How far int8 moves a model's predictions: mean Kullback-Leibler divergence from float32, in nats.

    tests/fidelity.py build/models/smollm2-135m-instruct.gguf default.rill rotated.rill ...

The reference is the GGUF file's own weights in a plain NumPy forward pass in float32: a model of the family "llama",
without rope scaling. It agrees with ../shared/goldens/smollm2-135m-instruct to 5e-5 of every logit, and says so. The text
is the blocks of 512 tokens in that folder; the second half of each is compared, under `--policy dense`. Each .rill file
was made from the same GGUF file: `rill quantize MODEL.gguf --group 64 --rotate -o rotated.rill`.

Needs numpy and gguf (pip install numpy gguf), 2 GiB of memory, and some seconds per block and file.
"""

import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

import numpy as np
from gguf import GGUFReader
from gguf.quants import dequantize

BLOCK = 512
ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT.parent / "shared/goldens/smollm2-135m-instruct/wikitext2.safetensors"


def read_safetensors(path):
    raw = pathlib.Path(path).read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    types = {"F32": "<f4", "I32": "<i4", "I64": "<i8"}
    tensors = {}
    for name, entry in json.loads(raw[8:8 + length]).items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            tensors[name] = np.frombuffer(raw[begin:end], types[entry["dtype"]]).reshape(entry["shape"])
    return tensors


class Float32Model:
    """Llama in float32: RMSNorm, RoPE in halves, grouped heads, gated SiLU, a tied or untied head."""

    def __init__(self, path):
        reader = GGUFReader(path)
        self.weights = {tensor.name: dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(
            [int(size) for size in reversed(tensor.shape)]) for tensor in reader.tensors}
        field = {name: reader.fields[f"llama.{name}"].contents() for name in (
            "block_count", "attention.head_count", "attention.head_count_kv", "rope.freq_base",
            "attention.layer_norm_rms_epsilon")}
        self.layers = int(field["block_count"])
        self.heads = int(field["attention.head_count"])
        self.kv_heads = int(field["attention.head_count_kv"])
        self.epsilon = float(field["attention.layer_norm_rms_epsilon"])
        self.size = self.weights["blk.0.attn_q.weight"].shape[0] // self.heads
        angles = np.arange(BLOCK)[:, None] * float(field["rope.freq_base"]) ** (
            -np.arange(0, self.size, 2) / self.size)[None]
        self.cosines = np.cos(angles).astype(np.float32)[:, None]
        self.sines = np.sin(angles).astype(np.float32)[:, None]

    def rotated(self, layer, name, x, heads):
        # GGUF has the rotated pairs side by side.
        weights = self.weights[f"blk.{layer}.{name}.weight"].reshape(heads, self.size // 2, 2, -1).swapaxes(1, 2)
        vectors = (x @ weights.reshape(heads * self.size, -1).T).reshape(BLOCK, heads, self.size)
        a, b = np.split(vectors, 2, axis=-1)
        return np.concatenate([a * self.cosines - b * self.sines, b * self.cosines + a * self.sines], axis=-1)

    def normalised(self, x, name):
        mean = np.mean(x.astype(np.float64) ** 2, axis=-1, keepdims=True)
        return x / np.sqrt(mean + self.epsilon).astype(np.float32) * self.weights[name + ".weight"]

    def attend(self, layer, h):
        q = self.rotated(layer, "attn_q", h, self.heads)
        k = self.rotated(layer, "attn_k", h, self.kv_heads)
        v = (h @ self.weights[f"blk.{layer}.attn_v.weight"].T).reshape(BLOCK, self.kv_heads, self.size)
        mixed = np.empty_like(q)
        for head in range(self.heads):
            of = head * self.kv_heads // self.heads
            scores = q[:, head] @ k[:, of].T / np.sqrt(np.float32(self.size))
            scores += np.triu(np.full((BLOCK, BLOCK), -1e30, np.float32), 1)
            shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
            mixed[:, head] = shares / shares.sum(axis=-1, keepdims=True) @ v[:, of]
        return mixed.reshape(BLOCK, -1) @ self.weights[f"blk.{layer}.attn_output.weight"].T

    def logits(self, ids):
        x = self.weights["token_embd.weight"][ids]
        for layer in range(self.layers):
            x = x + self.attend(layer, self.normalised(x, f"blk.{layer}.attn_norm"))
            h = self.normalised(x, f"blk.{layer}.ffn_norm")
            gate = h @ self.weights[f"blk.{layer}.ffn_gate.weight"].T
            up = h @ self.weights[f"blk.{layer}.ffn_up.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ self.weights[f"blk.{layer}.ffn_down.weight"].T
        head = self.weights.get("output.weight", self.weights["token_embd.weight"])
        return self.normalised(x, "output_norm") @ head.T


def log_softmax(logits):
    logits = logits.astype(np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def logits_of(rill, model, ids, folder):
    ids_file, out = folder / "ids.txt", folder / "logits.safetensors"
    ids_file.write_text(" ".join(map(str, ids)))
    subprocess.run([rill, "logits", model, "--ids", ids_file, "--policy", "dense", "--out", out], check=True,
                   stdout=subprocess.DEVNULL)
    return read_safetensors(out)["logits"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gguf", help="the source of all the models")
    parser.add_argument("models", nargs="+", help=".rill files made from it")
    parser.add_argument("--blocks", type=int, default=6, help="of 512 tokens, at most 16 (default 6)")
    parser.add_argument("--rill", default=ROOT / "build/release/rill")
    arguments = parser.parse_args()
    golden = read_safetensors(GOLDEN)
    blocks = golden["ids"].reshape(-1, BLOCK)[:arguments.blocks]
    reference = Float32Model(arguments.gguf)
    divergence = {model: [] for model in arguments.models}
    same_top = {model: [] for model in arguments.models}
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for index, ids in enumerate(blocks):
            expected = reference.logits(ids)
            for (block, position), row in zip(golden["positions"].reshape(-1, 2), golden["logits"]):
                if block == index:
                    worst = max(worst, float(np.abs(expected[position] - row).max()))
            p = log_softmax(expected[BLOCK // 2:])
            for model in arguments.models:
                q = log_softmax(logits_of(arguments.rill, model, ids, pathlib.Path(folder))[BLOCK // 2:])
                divergence[model] += list((np.exp(p) * (p - q)).sum(axis=-1))
                same_top[model] += list(p.argmax(axis=-1) == q.argmax(axis=-1))
    if worst > 1e-3:
        sys.exit(f"The reference is {worst:.3g} from the golden logits: this is not the model they were made of.")
    print(f"reference within {worst:.1e} of the golden logits")
    for model in arguments.models:
        of = divergence[model]
        print(f"{model}: KL divergence {np.mean(of):.5f} +- {np.std(of) / len(of) ** 0.5:.5f} nats, same top token "
              f"{np.mean(same_top[model]):.3f}, {len(of)} positions")


if __name__ == "__main__":
    main()
