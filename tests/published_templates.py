#!/usr/bin/env python3
"""Compares how Rill lays out conversations with what transformers makes of the same chat template.

Usage: tests/published_templates.py FILE... [--rill build/release/rill] [--show]

FILE is a tokenizer_config.json as published, or an array of objects with "chat_template", "bos_token" and "eos_token". Each
template is imported with a tiny model whose vocabulary has every token that it spells, and four conversations of a system
text, users and replies are rendered by both. A model's reply may have white space of its own around it, the beginning of
text may be the tokenizer's. Counted are: the same;
another, with the notice that `rill quantize` prints; another without a word; refused. --show prints what differs.
Needs: pip install transformers==4.57.6. Exits with 1 if any differs without a word.
"""

import argparse
import collections
import itertools
import json
import pathlib
import re
import subprocess
import sys
import tempfile

from tiny_model import write_model
from transformers.utils.chat_template_utils import render_jinja_template

TESTS = pathlib.Path(__file__).resolve().parent
SYSTEM, USER, REPLY, AGAIN = "Be brief.", "Hello there", "Hi!", "Who are you?"
CONVERSATIONS = [[("user", USER)], [("system", SYSTEM), ("user", USER)],
                 [("user", USER), ("assistant", REPLY), ("user", AGAIN)],
                 [("system", SYSTEM), ("user", USER), ("assistant", REPLY), ("user", AGAIN)]]
ENDS = ["<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>", "<|endoftext|>", "<|end_of_text|>"]
TOKENS = re.compile(r"<\|[^|<>\s'\"]+\|>|</?s>|<(?:start|end)_of_turn>|<｜[^<>]*?｜>|</?think>")


def spelling(token):
    return token.get("content") if isinstance(token, dict) else token


def byte_characters():
    """GPT-2's characters for the 256 bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = (byte for byte in range(256) if byte not in plain)
    return {**{byte: chr(byte) for byte in plain}, **{byte: chr(256 + n) for n, byte in enumerate(others)}}


def write_directory(directory, template, bos, eos):
    tokens = list(dict.fromkeys(token for token in [bos, eos, *TOKENS.findall(template)] if token))
    vocabulary = {character: byte for byte, character in byte_characters().items()}
    added = [{"id": 256 + i, "content": token, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for i, token in enumerate(tokens)]
    ids = {key: 256 + tokens.index(token) for key, token in (("bos_token_id", bos), ("eos_token_id", eos)) if token}
    write_model(directory, 256 + len(tokens), ids)
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    (directory / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": added, "normalizer": None, "pre_tokenizer": level, "post_processor": None,
        "decoder": level, "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "byte_fallback": False}}))
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": template, "bos_token": bos, "eos_token": eos}))


def lay_out(chat, conversation, spaces):
    """As core/conversation.h does it."""
    rest = list(conversation)
    system = rest.pop(0)[1] if rest[0][0] == "system" else chat["default_system"]
    laid = chat["system_begin"] + system + chat["system_end"] if system else ""
    begin = chat["user_begin_after_system" if system else "first_user_begin"]
    for role, said in rest:
        if role == "user":
            laid += begin + said + chat["user_end"]
            begin = chat["reply_end"] + chat["user_begin"]
        else:
            laid += spaces[0] + said + spaces[1]
    return laid


def render(template, conversation, bos, eos):
    messages = [{"role": role, "content": said} for role, said in conversation]
    thinking = {"enable_thinking": False} if "enable_thinking" in template else {}
    rendered, _ = render_jinja_template(conversations=[messages], chat_template=template, add_generation_prompt=True,
                                        bos_token=bos or "", eos_token=eos or "", **thinking)
    return rendered[0]


def compare(template, bos, eos, arguments):
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        write_directory(directory, template, bos, eos)
        model = directory / "model.rill"
        made = subprocess.run([arguments.rill, "quantize", directory, "-o", model], capture_output=True, text=True)
        if made.returncode != 0:
            return "refused", made.stderr
        said = subprocess.run([arguments.rill, "inspect", model, "--json"], capture_output=True, text=True, check=True)
    chat = json.loads(said.stdout)["chat"]
    for conversation in CONVERSATIONS:
        try:
            expected = render(template, conversation, bos, eos)
        except Exception:  # the template refuses this conversation
            continue
        laid = [lay_out(chat, conversation, spaces) for spaces in itertools.product(("", " ", "\n"), repeat=2)]
        if expected.removeprefix(bos or "") not in [text.removeprefix(bos or "") for text in laid]:
            word = made.stderr.strip()
            shown = f"{word}\n  transformers {expected!r}\n  Rill         {laid[0]!r}"
            return "another, with a notice" if "chat template:" in word else "another, without a word", shown
    return "the same", ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--rill", default=str(TESTS.parent / "build" / "release" / "rill"))
    parser.add_argument("--show", action="store_true")
    arguments = parser.parse_args()
    count = collections.Counter()
    for path in arguments.files:
        found = json.loads(path.read_text(encoding="utf-8"))
        for entry in found if isinstance(found, list) else [found]:
            template = entry["chat_template"]
            eos = spelling(entry.get("eos_token")) or next((end for end in ENDS if end in template), "</s>")
            bos = spelling(entry.get("bos_token")) or ("<s>" if "bos_token" in template else None)
            kind, shown = compare(template, bos, eos, arguments)
            count[kind] += 1
            if arguments.show and kind != "the same":
                print(f"{path}, {template[:60]!r}: {kind}\n  {shown}")
    for kind, times in count.most_common():
        print(f"{times:5} {kind}")
    return 1 if count["another, without a word"] > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
