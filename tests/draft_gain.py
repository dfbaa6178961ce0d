#!/usr/bin/env python3
"""Does guessing ahead pay in conversations? Runs each one of a file with and without `rill chat --draft`, in turn, checks
that the replies are the same, and prints how many tokens a second both made.

Usage: tests/draft_gain.py MODEL.rill [--rill build/release/rill] [--draft 5] [--seeds 1] [--json]

Conversations are tests/data/conversations.txt's: a turn a line, an empty line between two of them.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parent


def talk(arguments, turns, draft, seed):
    command = [arguments.rill, "chat", arguments.model, "--json", "--draft", str(draft), "--seed", str(seed), "-n", "256"]
    done = subprocess.run(command, input="\n".join(turns) + "\n", capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def seconds(replies):
    """Of all tokens after each reply's first, which is prefill's."""
    return sum((reply["reply_tokens"] - 1) / reply["tokens_per_s"] for reply in replies if reply["tokens_per_s"] > 0)


def measure(arguments, turns, seed):
    plain = talk(arguments, turns, 0, seed)
    guessing = talk(arguments, turns, arguments.draft, seed)
    if [reply["reply"] for reply in plain] != [reply["reply"] for reply in guessing]:
        sys.exit(f"draft_gain.py: with --draft {arguments.draft} the replies to {turns[0]!r} differ; expected the same")
    tokens = sum(reply["reply_tokens"] for reply in plain)
    return {"turns": len(turns), "tokens": tokens,
            "tokens_per_pass": tokens / max(1, sum(reply["passes"] for reply in guessing)),
            "plain_tokens_per_s": tokens / seconds(plain), "draft_tokens_per_s": tokens / seconds(guessing)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rill", default="build/release/rill")
    parser.add_argument("--draft", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    text = (TESTS / "data" / "conversations.txt").read_text(encoding="utf-8")
    conversations = [block.splitlines() for block in text.strip().split("\n\n")]
    results = [measure(arguments, turns, seed) for seed in range(1, arguments.seeds + 1) for turns in conversations]
    gains = [result["draft_tokens_per_s"] / result["plain_tokens_per_s"] for result in results]
    whole = {"conversations": len(results), "tokens": sum(result["tokens"] for result in results),
             "gain_median": statistics.median(gains), "gain_least": min(gains), "gain_most": max(gains),
             "plain_tokens_per_s": statistics.median(result["plain_tokens_per_s"] for result in results),
             "draft_tokens_per_s": statistics.median(result["draft_tokens_per_s"] for result in results),
             "tokens_per_pass": statistics.median(result["tokens_per_pass"] for result in results)}
    if arguments.json:
        print(json.dumps({**whole, "results": results}, indent=2))
        return
    print(f"{whole['conversations']} conversations, {whole['tokens']} tokens, the same text with and without: "
          f"{whole['plain_tokens_per_s']:.0f} tokens/s without, {whole['draft_tokens_per_s']:.0f} with --draft "
          f"{arguments.draft}; {whole['gain_median']:.2f} times as fast (median; {whole['gain_least']:.2f} to "
          f"{whole['gain_most']:.2f}), {whole['tokens_per_pass']:.2f} tokens a pass")


if __name__ == "__main__":
    main()
