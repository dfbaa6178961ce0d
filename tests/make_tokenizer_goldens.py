#!/usr/bin/env python3
"""Writes tests/data/tokenizer_goldens.json: what the reference tokenizers make of long texts and of nasty ones.

Needs ../shared beside the checkout and two packages: pip install sentencepiece==0.2.3 tokenizers==0.23.3

Each input is given in hexadecimal, as a unit and how often it is repeated, or as a file under ../shared. Bytes that are
not UTF-8 are replaced as Python's bytes.decode("utf-8", "replace") does. A result is the list of ids while it is short,
else their number and the zlib CRC-32 of the ids as little-endian 32-bit integers.
"""

import json
import pathlib
import random
import struct
import zlib

import sentencepiece
import tokenizers

TESTS = pathlib.Path(__file__).resolve().parent
SHARED = TESTS.parent.parent / "shared"
LONGEST_LIST = 64

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
] + [bytes([b]) for b in range(256)]

REPEATED = [
    (b"a", 1 << 20), (b"a", 16384), (b"a", 16385), (b" ", 5000), (b"\n", 5000), (b" \n", 3000), (b"ab ", 20000), (b"7", 16384),
    (b"a  ", 15000), ("\u4e2d".encode(), 5000), ("\U0001f600".encode(), 4000), (b"\xff", 5000), (b"\xe2\x96\x81", 5000),
    (b"the quick brown fox jumps over the lazy dog. ", 3000), (b"!", 16384), (b" !?", 12000), (b"x" * 8191 + b" ", 9),
    (b"it's \n\n  5 o'clock   ", 4000),
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


def encoders():
    for name, path in [("llama2", "tokenizers/llama2/tokenizer.model"), ("tok512", "models/stories260K/tok512.model")]:
        yield name, sentencepiece.SentencePieceProcessor(model_file=str(SHARED / path)).encode
    for name, as_text in [("smollm2", True), ("smollm2_control", False)]:
        hf = tokenizers.Tokenizer.from_file(str(SHARED / "tokenizers/smollm2/tokenizer.json"))
        hf.encode_special_tokens = as_text
        yield name, lambda text, hf=hf: hf.encode(text, add_special_tokens=False).ids


def main():
    named = list(encoders())
    cases = []
    for case, data in inputs():
        text = data.decode("utf-8", "replace")
        for name, encode in named:
            ids = encode(text)
            # A result of two numbers is a count and a checksum; lists of ids are told apart by their key.
            case[name if len(ids) <= LONGEST_LIST else name + ":crc32"] = result(ids)
        cases.append(case)
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    (TESTS / "data" / "tokenizer_goldens.json").write_text("[\n" + lines + "\n]\n")


main()
