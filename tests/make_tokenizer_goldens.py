#!/usr/bin/env python3
"""Writes tests/data/tokenizer_goldens.json: what the reference tokenizers make of long texts and of nasty ones.

Needs ../shared beside the checkout and two packages: pip install sentencepiece==0.2.3 tokenizers==0.23.3

A GGUF vocabulary brings its tokens and merges; what stands before them in the model's own tokenizer.json is written out
in gguf_encoder(). Where a text is not in Unicode's form NFC, "nfc" is that form of it, in hexadecimal.

Each input is given in hexadecimal, as a unit and how often it is repeated, or as a file under ../shared. Bytes that are
not UTF-8 are replaced as Python's bytes.decode("utf-8", "replace") does. A result is the list of ids while it is short,
else their number and the zlib CRC-32 of the ids as little-endian 32-bit integers.
"""

import json
import pathlib
import random
import struct
import unicodedata
import zlib

import sentencepiece
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers

import gguf_vocabulary

TESTS = pathlib.Path(__file__).resolve().parent
SHARED = TESTS.parent.parent / "shared"
LONGEST_LIST = 64
LONGEST_TEXT = 1000

SHORT = [
    b"", b" ", b"  ", b"     ", b"\t", b"\n", b"\n\n\n", b" \t \n ", b"\r\n\r\n", b"a", b" a", b"a ", b"  a  b   c    ",
    b"Hello, world!", b"Hello\nworld\n", b"\tif (x) {\n\t\treturn 0;\n\t}\n", b"x  \n  y", b"trailing spaces   ",
    "\u00a0\u2003\u3000 \u0085x\u180ey\u200bz".encode(), b"\x1c\x1d\x1e\x1f\x0b\x0c",
    b"I'll say it's what they've done, we're sure I'd or I'm; don't, DON'T 'sing 'tis",
    b"0123456789 3.14159 1,000,000 2024-01-31 abc123def 5 6  7   8", b" 1  2   3\n4", b"12 34  56   x",
    "\u0967\u0968 \u00b2\u00bd \u2167 \u4e8c".encode(),
    "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f44d\U0001f3fd".encode(),
    "\u65e5\u672c\u8a9e\u306e\u6587\u7ae0\u3002 \u4f60\u597d\uff0c\u4e16\u754c \ud55c\uad6d\uc5b4".encode(),
    "e\u0301 a\u0323\u0307 \u0928\u093f \u0e01\u0e33 Z\u0351\u036b\u0343\u036aa\u0302l\u030ago".encode(),
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd \u041f\u0440\u0438\u0432\u0435\u0442 \u03b3\u03b5\u03b9\u03ac".encode(),
    "\u2581".encode(), "\u2581\u2581 \u2581x \u2581".encode(), "a\u2581b a \u2581 b\u2581 ".encode(),
    b"\x00", b"a\x00b \x00\x00", "\ufeffbom \ufffd \uffff \U0010ffff".encode(),
    b"<s>", b"</s>", b"<unk>", b"<0x0A>", b"<|im_start|>user\nhi<|im_end|>\n", b"x<|im_end|>", b"<|im_end|", b"<|endoftext|>",
    b"<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello </s>", b"<|im_start|><|im_start|>", b"<repo_name><reponame>",
    b"\x80", b"\xff\xfe", b"\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x82 \xe2", b"\xf0\x9f\x98", b"\xf0\x9f\x98\xf0\x9f\x98\x80",
    b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"a\xc3b\xe2\x82c\xf0\x9f\x98d\x80\x80",
    b"\xe2\x96", b"\xe2\x96\x20\x81", b"ok \xff<|im_start|>\xff ok", bytes(range(256)), bytes(range(255, -1, -1)),
    b" ".join(bytes([b]) for b in range(256)),
] + [bytes([b]) for b in range(256)] + [
    b"1" * count for count in range(2, 14)] + [b" " + b"12345678"[:count] + b" x" for count in range(1, 9)] + [
    b" " * count + unit for count in (2, 3, 7, 23, 24, 25, 26, 49) for unit in (b"", b"x", b"7", b".", b"\n")] + [
    b"\t" * 5 + b"x", b"\n  \n\t\n x", b"\r\n  \r\n", b"x\n\n\n  y\n", b"-" * 40, b"=" * 7 + b">", b"...", b"?!?!", b"a...b!!c",
    b"$5 + 3 <= 9 ^ 2 ~ `x` | y", b"'S 'T 'RE 'VE 'M 'LL 'D 's't're", b"HE'S, you'LL; we\xe2\x80\x99ve", b"''s '''t",
    b"v1.2.3-rc4+build567 0x1F600 1e-10 192.168.100.1:8080 +358401234567", b"2024-01-31T23:59:59.123456Z",
    "1\u00b2345 \u00bd678 12\u0663456 \uff11\uff12\uff13\uff14 \u2460\u2461 x\u00b9\u00b2\u00b3".encode(),
    "caf\u00e9 na\u00efve \u00fd\u00f2\u00f3 \u0130\u0131 \u00df\u1e9e \u01c4".encode(),
    "cafe\u0301 nai\u0308ve y\u0301".encode(), "\u1112\u1161\u11ab\u1100\u1173\u11af \ud55c\uae00".encode(),
    "\u212b \u2126 \u0958 \u0344 a\u0327\u0301 a\u0301\u0327 q\u0307\u0323".encode(), "\u0301x \u0301 \u0301\u0301".encode(),
    "\u00abquoted\u00bb \u2018a\u2019 \u201cb\u201d \u2013\u2014\u2026 \u00bfqu\u00e9? \u00a1s\u00ed! \u3010x\u3011\u3001y\u3002".encode(),
    "\u20ac5 \u00a310 \u00a7 3 \u00b0C \u00d7 \u00f7 \u2248 \u221e \u2192 \u2713 \u00a9\u00ae\u2122".encode(),
    "\u00a0x \u00a0\u00a0 x\u00a0 \u3000\u3000x \u180e\u180e \u202f1\u2009000 \u2028\u2029\u200b\u2060\ufeff".encode(),
    "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35 \u0b95\u0bbe\u0bb2\u0bc8 \u1781\u17d2\u1798\u17c2\u179a \u10e5\u10d0\u10e0\u10d7 \u12a0\u121b\u122d".encode(),
    "\u0531\u0580\u0565\u0582 \u0baa\u0bc6 \u0d2e\u0d32 \u0f56\u0f7c\u0f51 \u13a3\u13b3 \U00010330\U00010331 \U0001d49c\U0001d7d8".encode(),
    "\U0001f1eb\U0001f1ee \U0001f600\U0001f601\u2764\ufe0f 1\ufe0f\u20e3 \U0001f9d1\U0001f3fe\u200d\U0001f680".encode(),
    b"#include <vector>\nint main(int argc, char** argv) {\n    return argc > 1 ? atoi(argv[1]) : 0;  // 0x7f\n}\n",
    b"def f(x):\n        return {**x, 'a': [1, 22, 333, 4444]}\n\n\nclass A(B): pass\n", b"SELECT * FROM t WHERE a<>'b''c';--x",
    b"<html><body class=\"a b\">&nbsp;&amp;</body></html>", b"https://example.org/a_b-c/?q=1&r=%20#top user@host.example",
    b">>TITLE<< x >>ABSTRACT<<y", b">>QUESTION<<\n>>ANSWER<<", b"<|padding|><|endoftext|> x", b"[PAD50277] [PAD50400]",
]

REPEATED = [
    (b"a", 1 << 20), (b"a", 16384), (b"a", 16385), (b" ", 5000), (b"\n", 5000), (b" \n", 3000), (b"ab ", 20000), (b"7", 16384),
    (b"a  ", 15000), ("\u4e2d".encode(), 5000), ("\U0001f600".encode(), 4000), (b"\xff", 5000), (b"\xe2\x96\x81", 5000),
    (b"the quick brown fox jumps over the lazy dog. ", 3000), (b"!", 16384), (b" !?", 12000), (b"x" * 8191 + b" ", 9),
    (b"it's \n\n  5 o'clock   ", 4000),
    ("e\u0301 a\u0323\u0307\u0301x".encode(), 4000), ("\u1112\u1161\u11ab".encode(), 1000),
    ("\u0958\u212b \ufb2c\U0001d160".encode(), 2000), ("\u09c7\u09be \u0bc6\u0bbe".encode(), 1000),
    ("\u0301".encode(), 30), ("x\u0315\u0300\u05ae\u0301\u0327 \u4e2d\u0301".encode(), 500),
]


def random_inputs():
    rng = random.Random(1)
    units = [b" ", b" ", b"  ", b"\n", b"\t", b"'s", b"'ll", b"'", b"0", b"42", b".", b"--", b"the", b"The", b" of", b"ing", b"q",
             b"\xc2\xa0", b"\xe2\x96\x81", b"\xe2\x80\x8d", b"\xcc\x81", b"\xe4\xb8\xad", b"\xf0\x9f\x98\x80", b"\xd8\xa7", b"\xff",
             b"\xe2\x82", b"\xc2\xb2", b"\xe0\xa5\xa7", b"\x00", b"\x7f", b"<s>", b"<|im_end|>", b"\xe1\xa0\x8e", b"\xc2\x85"]
    return [b"".join(rng.choice(units) for _ in range(rng.randrange(1, 40))) for _ in range(300)]


def inputs():
    for data in SHORT + random_inputs():
        yield {"hex": data.hex()}, data
    for unit, count in REPEATED:
        yield {"hex": unit.hex(), "repeat": count}, unit * count
    for path in sorted((SHARED / "text").rglob("*.*")):
        yield {"file": str(path.relative_to(SHARED))}, path.read_bytes()


def result(ids):
    if len(ids) <= LONGEST_LIST:
        return ids
    return [len(ids), zlib.crc32(struct.pack(f"<{len(ids)}I", *ids))]


GGUF_VOCABULARIES = SHARED / "tokenizers" / "gguf-vocab"


# Before its merges, each as in the model's tokenizer.json (openai-community/gpt2, EleutherAI/gpt-neox-20b, tiiuae/falcon-7b).
def byte_level():
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)


def falcon_splits():
    return pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), byte_level(), pre_tokenizers.Digits(False),
                                    pre_tokenizers.Split(tokenizers.Regex("[0-9][0-9][0-9]"), "isolated")])


# Qwen/Qwen2-0.5B and meta-llama/Meta-Llama-3-8B; no vocabulary of theirs is at hand, so GPT-2's merges follow.
def modern_splits(digits):
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits +
               r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    return pre_tokenizers.Sequence([pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def gguf_encoder(name, splits, normalizer=None, as_text=True, merges_left=None):
    tables = gguf_vocabulary.read(GGUF_VOCABULARIES / f"ggml-vocab-{name}.gguf")
    tokens, types = tables["tokenizer.ggml.tokens"], tables["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in tables["tokenizer.ggml.merges"]]
    # Llama 3's own merges do not lead to every token; that its vocabulary comes first shows where most merges are missing.
    hf = tokenizers.Tokenizer(models.BPE(vocab={token: id for id, token in enumerate(tokens)}, merges=merges[:merges_left],
                                         ignore_merges=merges_left is not None))
    hf.pre_tokenizer = splits
    if normalizer:
        hf.normalizer = normalizer
    hf.add_special_tokens([token for token, kind in zip(tokens, types) if kind == 3])
    # Converters fill a vocabulary up to the embedding's rows with tokens that no tokenizer.json has.
    hf.add_tokens([tokenizers.AddedToken(token, normalized=True) for id, (token, kind) in enumerate(zip(tokens, types))
                   if kind == 4 and token != f"[PAD{id}]"])
    hf.encode_special_tokens = as_text
    return lambda text: hf.encode(text, add_special_tokens=False).ids


def gguf_encoders():
    neox, mpt = (gguf_vocabulary.read(GGUF_VOCABULARIES / f"ggml-vocab-{name}.gguf") for name in ("gpt-neox", "mpt"))
    for table in ("tokens", "merges", "token_type"):  # so gpt-neox's tokens are also MPT's
        assert neox["tokenizer.ggml." + table] == mpt["tokenizer.ggml." + table], table
    yield "gpt-2", gguf_encoder("gpt-2", byte_level())
    yield "gpt-neox", gguf_encoder("gpt-neox", byte_level(), normalizers.NFC())
    yield "gpt-2:qwen2", gguf_encoder("gpt-2", modern_splits(r"\p{N}"), normalizers.NFC())
    yield "gpt-2:llama-bpe", gguf_encoder("gpt-2", modern_splits(r"\p{N}{1,3}"))
    yield "gpt-2:llama-bpe-whole-words", gguf_encoder("gpt-2", modern_splits(r"\p{N}{1,3}"), merges_left=5000)
    yield "falcon", gguf_encoder("falcon", falcon_splits())
    yield "falcon_control", gguf_encoder("falcon", falcon_splits(), as_text=False)


def llama2_json(processor):
    """Llama-2's tokenizer.json, with its merges as transformers' converter derives them from tokenizer.model."""
    vocabulary = {processor.id_to_piece(id): id for id in range(processor.get_piece_size())}
    merges = []
    for piece, id in vocabulary.items():
        cuts = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        known = [cut for cut in cuts if cut[0] in vocabulary and cut[1] in vocabulary]
        known.sort(key=lambda cut: (vocabulary[cut[0]], vocabulary[cut[1]]))
        merges += [(processor.get_score(id), cut) for cut in known]
    merges.sort(key=lambda merge: merge[0], reverse=True)
    hf = tokenizers.Tokenizer(models.BPE(vocab=vocabulary, merges=[cut for _, cut in merges], unk_token="<unk>",
                                         fuse_unk=True, byte_fallback=True))
    hf.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    return hf


def llama2_encoder(path):
    processor = sentencepiece.SentencePieceProcessor(model_file=path)
    hf = llama2_json(processor)

    def encode(text):
        ids = processor.encode(text)
        assert hf.encode(text, add_special_tokens=False).ids == ids, text[:100]  # tokenizer.json says the same
        return ids

    return encode


def encoders():
    yield from gguf_encoders()
    yield "llama2", llama2_encoder(str(SHARED / "tokenizers/llama2/tokenizer.model"))
    yield "tok512", sentencepiece.SentencePieceProcessor(model_file=str(SHARED / "models/stories260K/tok512.model")).encode
    for name, as_text in [("smollm2", True), ("smollm2_control", False)]:
        hf = tokenizers.Tokenizer.from_file(str(SHARED / "tokenizers/smollm2/tokenizer.json"))
        hf.encode_special_tokens = as_text
        yield name, lambda text, hf=hf: hf.encode(text, add_special_tokens=False).ids


def main():
    named = list(encoders())
    cases = []
    for case, data in inputs():
        text = data.decode("utf-8", "replace")
        if not unicodedata.is_normalized("NFC", text) and len(data) <= LONGEST_TEXT:
            case["nfc"] = unicodedata.normalize("NFC", text).encode().hex()
        for name, encode in named:
            ids = encode(text)
            # A result of two numbers is a count and a checksum; lists of ids are told apart by their key.
            case[name if len(ids) <= LONGEST_LIST else name + ":crc32"] = result(ids)
        cases.append(case)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (TESTS / "data" / "tokenizer_goldens.json").write_text("[\n" + lines + "\n]\n")


main()
