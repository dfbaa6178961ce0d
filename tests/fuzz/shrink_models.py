#!/usr/bin/env python3
"""Seeds of others' formats for tests/fuzz/corpus: the models of ../shared/goldens, each made small enough to be mutated
(one layer, half as wide, 20 tokens), and a tokenizer.json of every arrangement that Rill imports.

    tests/fuzz/shrink_models.py ../shared/goldens tests/fuzz/corpus

What it writes is what it wrote before, byte for byte.
"""

import json
import pathlib
import struct
import sys

VOCABULARY = 20
# A golden model's sizes; those below 16 count heads, experts and the like, and stay.
SIZE_KEYS = ("hidden_size", "head_dim", "intermediate_size", "n_embd", "n_positions", "n_ctx", "d_model",
             "query_pre_attn_scalar")
GGUF_SIZES = ("embedding_length", "feed_forward_length", "key_length", "value_length", "dimension_count")


def smaller(size):
    return VOCABULARY if size == 320 else size // 2 if size >= 16 else size


def product(shape):
    result = 1
    for extent in shape:
        result *= extent
    return result


def half_floats(count, least=-50):
    """Small numbers from `least` / 256 up, no two rows alike."""
    return b"".join(struct.pack("<e", (i * 37 % 101 + least) / 256) for i in range(count))


def dump(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def is_kept(name):
    """Of the tensors of layer 0, and of those of no layer."""
    return ".1." not in name and ".2." not in name


def directory(golden):
    """What the target safetensors takes: config.json, no index, and the weights, behind three lengths."""
    config = json.loads((golden / "config.json").read_bytes())
    for key in SIZE_KEYS:
        if isinstance(config.get(key), int):
            config[key] = smaller(config[key])
    for key in ("num_hidden_layers", "n_layer", "n_layers"):
        if key in config:
            config[key] = 1
    config["vocab_size"] = VOCABULARY
    if "layer_types" in config:
        del config["layer_types"][1:]
    if "no_rope_layers" in config:
        del config["no_rope_layers"][1:]
    with open(golden / "model.safetensors", "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    small, data = {}, b""
    for name, tensor in header.items():
        if name == "__metadata__" or not is_kept(name):
            continue
        shape = [smaller(extent) for extent in tensor["shape"]]
        values = half_floats(product(shape))
        small[name] = {"dtype": "F16", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    weights = dump(small)
    weights = struct.pack("<Q", len(weights)) + weights + data
    return struct.pack("<III", len(dump(config)), 0, len(weights)) + dump(config) + weights


class Gguf:
    """One file being written: version 3, aligned to 32 bytes, tensors in half precision."""

    def __init__(self):
        self.keys, self.tensors, self.data = [], [], b""

    def key(self, name, kind, value):
        self.keys.append(self.text(name) + struct.pack("<I", kind) + value)

    def tensor(self, name, dimensions, least=-50):
        self.data += b"\0" * (-len(self.data) % 32)
        self.tensors.append(self.text(name) + struct.pack("<I", len(dimensions)) +
                            b"".join(struct.pack("<Q", extent) for extent in dimensions) +
                            struct.pack("<IQ", 1, len(self.data)))
        self.data += half_floats(product(dimensions), least)

    @staticmethod
    def text(value):
        return struct.pack("<Q", len(value.encode())) + value.encode()

    def texts(self, name, values):
        self.key(name, 9, struct.pack("<IQ", 8, len(values)) + b"".join(map(self.text, values)))

    def numbers(self, name, values):
        self.key(name, 9, struct.pack("<IQ", 5, len(values)) + b"".join(struct.pack("<i", v) for v in values))

    def bytes(self):
        head = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.keys))
        head += b"".join(self.keys) + b"".join(self.tensors)
        return head + b"\0" * (-len(head) % 32) + self.data if self.tensors else head


def add_vocabulary(file):
    """A byte-level BPE of a few tokens, filled up as converters do."""
    tokens = ["a", "b", "ab", "\u0120", "\u0120a", "1", "<|im_start|>", "<|im_end|>", "<think>"]
    types = [1, 1, 1, 1, 1, 1, 3, 3, 4]
    fillers = range(len(tokens), VOCABULARY)
    file.key("tokenizer.ggml.model", 8, Gguf.text("gpt2"))
    file.key("tokenizer.ggml.pre", 8, Gguf.text("qwen2"))
    file.texts("tokenizer.ggml.tokens", tokens + [f"[PAD{i}]" for i in fillers])
    file.numbers("tokenizer.ggml.token_type", types + [5 for _ in fillers])
    file.texts("tokenizer.ggml.merges", ["a b", "\u0120 a"])
    file.key("tokenizer.ggml.eos_token_id", 4, struct.pack("<I", 7))


def gguf(golden):
    """A golden GGUF file, smaller, with a smaller vocabulary."""
    file = golden.read_bytes()
    at = 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, file, at)
        at += struct.calcsize("<" + form)
        return values[0] if len(values) == 1 else values

    def take_text():
        nonlocal at
        size = take("Q")
        at += size
        return file[at - size:at].decode()

    forms = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}
    _, _, tensors, keys = take("4sIQQ")
    small = Gguf()
    for _ in range(keys):
        name, kind = take_text(), take("I")
        if kind == 8:
            value = Gguf.text(take_text())
            if not name.startswith("tokenizer."):
                small.key(name, kind, value)
        elif kind == 9:
            element, count = take("IQ")
            for _ in range(count):
                take_text() if element == 8 else take(forms[element])
        else:
            value = take(forms[kind])
            if name.endswith(GGUF_SIZES) or name == "gpt2.context_length":
                value = smaller(value)
            if name.endswith("block_count"):
                value = 1
            if not name.startswith("tokenizer."):
                small.key(name, kind, struct.pack("<" + forms[kind], value))
    for _ in range(tensors):
        name = take_text()
        dimensions = [smaller(take("Q")) for _ in range(take("I"))]
        take("IQ")
        if name == "rope_freqs.weight":  # divisors, half as many as a head has dimensions
            small.tensor(name, [dimensions[0] // 2], least=1)
        elif is_kept(name):
            small.tensor(name, dimensions)
    add_vocabulary(small)
    return small.bytes()


def byte_level(pre_tokenizer, normalizer=None, **model):
    """A byte-level BPE of a few tokens."""
    tokens = ["a", "b", "ab", "\u0120", "\u0120a", "1", "'", "s", "'s", "\u010a"]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    return dump({"version": "1.0",
                 "added_tokens": [{"id": 10, "content": "<|im_end|>", "special": True, "normalized": False},
                                  {"id": 11, "content": "<think>", "special": False, "normalized": False}],
                 "normalizer": normalizer,
                 "pre_tokenizer": pre_tokenizer,
                 "post_processor": {"type": "TemplateProcessing", "single": [
                     {"SpecialToken": {"id": "<|im_end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]},
                 "decoder": {"type": "ByteLevel"},
                 "model": {"type": "BPE", "vocab": vocabulary, "merges": ["a b", ["\u0120", "a"], "' s"], **model}})


def merges_of_sentencepiece(normalizer, pre_tokenizer):
    """SentencePiece's BPE as the tokenizers library has it: every byte has a token, a space is U+2581."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    tokens += ["\u2581", "a", "b", "ab", "\u2581ab", "\u2581\u2581"]
    return dump({"version": "1.0",
                 "added_tokens": [{"id": i, "content": token, "special": True, "normalized": False}
                                  for i, token in enumerate(tokens[:3])],
                 "normalizer": normalizer,
                 "pre_tokenizer": pre_tokenizer,
                 "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}]},
                 "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
                           "vocab": {token: i for i, token in enumerate(tokens)},
                           "merges": ["a b", "\u2581 ab", "\u2581 \u2581"]}})


def tokenizers():
    """tokenizer.json in each of the arrangements that Rill knows, by the model that has it."""
    plain = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    quiet = dict(plain, use_regex=False)
    contractions = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    rest = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

    def sequence(*parts):
        return {"type": "Sequence", "pretokenizers": list(parts)}

    def split(pattern):
        return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}

    yield "smollm", byte_level(sequence({"type": "Digits", "individual_digits": True}, plain))
    yield "qwen2", byte_level(sequence(split(contractions + rest), quiet), {"type": "NFC"})
    yield "llama3", byte_level(sequence(split(contractions + "{1,3}" + rest), quiet), ignore_merges=True)
    yield "falcon", byte_level(sequence({"type": "Punctuation", "behavior": "Contiguous"}, plain,
                                        {"type": "Digits", "individual_digits": False}, split("[0-9][0-9][0-9]")))
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    prepend = {"type": "Prepend", "prepend": "\u2581"}
    yield "llama2", merges_of_sentencepiece({"type": "Sequence", "normalizers": [prepend, replace]}, None)
    yield "gemma", merges_of_sentencepiece(replace, {"type": "Split", "pattern": {"String": " "}, "invert": False,
                                                     "behavior": "MergedWithPrevious"})


def main():
    goldens, corpus = map(pathlib.Path, sys.argv[1:])

    def put(target, name, seed):
        (corpus / target).mkdir(parents=True, exist_ok=True)
        (corpus / target / name).write_bytes(seed)

    for golden in sorted(goldens.iterdir()):
        if (golden / "model.safetensors").exists():
            put("safetensors", golden.name, directory(golden))
        for file in golden.glob("*.q8_0.gguf"):
            put("gguf", golden.name, gguf(file))
    for name, seed in tokenizers():
        put("tokenizer_json", name, seed)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main()
