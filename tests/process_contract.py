#!/usr/bin/env python3
"""What other programs rely on: the JSON that each command prints, its exit codes, and that the plan's sums are sums. The
names are those of the command line's contract, where every one of them is fixed. Voice and Wyoming have tests of their own."""

import json
import os
import struct
import subprocess
import sys
import zlib

from process_setting import expect, is_sanitized, run_cases

NUMBER = (int, float)


def run(setting, *command, code=0, **more):
    """@returns what a command printed on standard output"""
    done = subprocess.run([setting.rill, *command], capture_output=True, text=True, timeout=120, **more)
    expect(done.returncode == code, f"{' '.join(command)}: exit {done.returncode}, expected {code}: {done.stderr}")
    if code != 0:
        expect(done.stderr.startswith("rill: ") or "\nrill: " in done.stderr, f"{' '.join(command)}: no sentence: {done.stderr}")
    return done.stdout


def write(setting, name, text):
    path = os.path.join(setting.folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def has(value, shape, where):
    """That a JSON value has at least the keys of a shape: a dict of shapes, a list of one, or types."""
    if isinstance(shape, dict):
        expect(isinstance(value, dict), f"{where} is no object")
        for key, inner in shape.items():
            expect(key in value, f"{where} has no {key}")
            has(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        expect(isinstance(value, list) and len(value) > 0, f"{where} is no list")
        for item in value:
            has(item, shape[0], where + "[]")
    else:
        expect(isinstance(value, shape) and (shape is bool or not isinstance(value, bool)), f"{where} is {value!r}")


def json_of_each_command(setting):
    """One object a command, with every key that the contract names; of a chat one a turn."""
    text = write(setting, "text", "Once upon a time there was a little girl. She had a cat, and the cat had a hat.\n")
    ids = write(setting, "ids", "1 403 407 261 378\n")
    out = os.path.join(setting.folder, "out.safetensors")
    shapes = {
        ("quantize", "--synthetic", "stories15M", "-o", os.path.join(setting.folder, "random.rill")):
            {"family": str, "parameters": int, "bytes_in": int, "bytes_out": int, "seconds": NUMBER,
             "snr_db_min": NUMBER, "snr_db_mean": NUMBER},
        ("inspect", setting.model, "--verify"): {"family": str, "config": {}, "tensors": [{}], "tokenizer": object, "crc_ok": bool},
        ("generate", setting.model, "-p", "Once", "-n", "3"): {"text": str, "tokens": [int]},
        ("tokenize", setting.model, "a cat"): {"tokens": [int], "text": str},
        ("tokenize", setting.model, "--decode", "403 407"): {"tokens": [int], "text": str},
        ("logits", setting.model, "--ids", ids, "--out", out): {"tokens": int, "vocab": int, "logits_crc32": int},
        ("perplexity", setting.model, "--file", text):
            {"tokens_scored": int, "nll_mean": float, "perplexity": float, "tokens_per_s": NUMBER, "peak_rss_bytes": int,
             "policy": {}},
        ("streameval", setting.model, "--lines", "12", "--distance", "2"): {"distance_tokens": [NUMBER], "accuracy": [NUMBER]},
        ("bench", setting.model, "--quick", "--threads", "1"):
            {"machine": {"cpu": str, "kernels": str, "read_bytes_per_s": NUMBER, "int8_macs_per_s": NUMBER},
             "decode": [{"threads": int, "depth": int, "tokens_per_s": NUMBER, "bytes_per_token": NUMBER, "of_bandwidth": NUMBER}],
             "prefill": [{"threads": int, "tokens": int, "depth": int, "tokens_per_s": NUMBER, "of_peak": NUMBER}],
             "latency": {"median_s": NUMBER, "p99_s": NUMBER, "worst_s": NUMBER, "worst_over_median": NUMBER}},
        ("soak", setting.model, "--tokens", "2000", "--window", "60"):
            {"tokens": int, "rss_start_bytes": int, "rss_end_bytes": int, "rss_peak_bytes": int, "allocations_after_start": int,
             "worst_over_median": NUMBER, "nll_first_quarter": NUMBER, "nll_last_quarter": NUMBER},
        ("kernels",): {"built": [str], "usable": [str], "chosen": str},
    }
    for command, shape in shapes.items():
        if command[0] == "soak" and is_sanitized(setting.rill):
            continue  # a sanitizer takes memory as it goes, which is what a soak looks for
        has(json.loads(run(setting, *command, "--json")), shape, command[0])
    state = os.path.join(setting.folder, "contract.state")
    for restored in (False, True):
        lines = run(setting, "chat", setting.model, "--json", "-n", "4", "--state", state, input="Hello.\nAnd then?\n").splitlines()
        first, *turns = [json.loads(line) for line in lines]
        expect(first["restored"] is restored and first["turns"] == (2 if restored else 0), f"chat: {first}")
        expect(len(turns) == 2, f"chat: {len(turns)} objects for two turns")
        for turn in turns:
            has(turn, {"reply": str, "prompt_tokens": int, "reply_tokens": int, "seconds_to_first": NUMBER,
                       "tokens_per_s": NUMBER}, "chat")


def checksum_of_logits(setting):
    """logits_crc32 is that of the rows in the file, whatever the chunk, the threads and the kernels are."""
    ids = write(setting, "crc.ids", " ".join(str(1 + 7 * i % 500) for i in range(70)))
    out = os.path.join(setting.folder, "crc.safetensors")
    kernels = json.loads(run(setting, "kernels", "--json"))["usable"]
    sums = set()
    for more in ([], ["--chunk", "1"], ["--threads", "3"], *(["--kernels", name] for name in kernels)):
        found = json.loads(run(setting, "logits", setting.model, "--ids", ids, "--out", out, "--window", "30", "--json", *more))
        sums.add(found["logits_crc32"])
    with open(out, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        tensor = json.loads(file.read(size))["logits"]
        rows = file.read()
    expect(tensor["dtype"] == "F32" and tensor["shape"] == [70, 512] and len(rows) == 70 * 512 * 4, f"{tensor}")
    expect(sums == {zlib.crc32(rows)}, f"{sums} for {zlib.crc32(rows)}")


def sums_of_the_plan(setting):
    """Items sum to their regions and these to the total, which is the least budget there is."""
    options = ["--window", "60", "--chunk", "8", "--threads", "2"]
    for more in ([], ["--in-ram"], ["--draft", "0"], ["--policy", "recompute"], ["--state", os.path.join(setting.folder, "s")]):
        plan = json.loads(run(setting, "plan", setting.model, *options, *more, "--json"))
        has(plan, {"items": [{"name": str, "bytes": int, "region": str, "lifetime": str}], "arena_bytes": int,
                   "mapped_bytes": int, "total_bytes": int, "fits": bool}, "plan")
        for region in ("arena", "mapped"):
            items = sum(item["bytes"] for item in plan["items"] if item["region"] == region)
            expect(items == plan[region + "_bytes"], f"{more}: {region}: items of {items} bytes in {plan[region + '_bytes']}")
        expect(plan["total_bytes"] == plan["arena_bytes"] + plan["mapped_bytes"], f"{more}: {plan['total_bytes']}")
    total = json.loads(run(setting, "plan", setting.model, *options, "--json"))["total_bytes"]
    for budget, code in ((total, 0), (total - 1, 3)):
        plan = json.loads(run(setting, "plan", setting.model, *options, "--budget", str(budget), "--json", code=code))
        expect(plan["fits"] is (code == 0) and plan["budget_bytes"] == budget, f"{budget}: {plan['fits']}")
        run(setting, "chat", setting.model, *options, "--budget", str(budget), "-p", "Hello.", "-n", "2", code=code)


def exit_codes(setting):
    """2 for wrong usage, 3 over budget, 4 for bad input files, each with a sentence."""
    empty = write(setting, "empty", "")
    no_model = write(setting, "no-model", "This is no model.\n" * 100)
    bad_ids = write(setting, "bad-ids", "1 2 x")
    large_ids = write(setting, "large-ids", "1 512")
    out = os.path.join(setting.folder, "never.safetensors")
    for command in (["chat"], ["chat", setting.model, "--window", "0"], ["chat", setting.model, "--kernels", "mmx", "-p", "A"],
                    ["chat", setting.model, "--budget", "12 parsecs", "-p", "A"],
                    ["perplexity", setting.model], ["sing"],
                    ["perplexity", setting.model, "--file", no_model, "--max-tokens", "4", "--blocks", "8"]):
        run(setting, *command, code=2)
    run(setting, "generate", setting.model, "-p", "A", "--budget", "1K", code=3)
    for ids in (empty, bad_ids, large_ids, os.path.join(setting.folder, "absent")):
        run(setting, "generate", setting.model, "--ids", ids, code=4)
        run(setting, "perplexity", setting.model, "--ids", ids, code=4)
        run(setting, "logits", setting.model, "--ids", ids, "--out", out, code=4)
    for model in (empty, no_model, setting.folder, os.path.join(setting.folder, "absent")):
        for command in (["generate", model, "-p", "A"], ["plan", model], ["inspect", model], ["perplexity", model, "--file", no_model]):
            run(setting, *command, code=4)
    expect(not os.path.exists(out), "a file stands where nothing was written")


CASES = [json_of_each_command, checksum_of_logits, sums_of_the_plan, exit_codes]


if __name__ == "__main__":
    sys.exit(run_cases(CASES, __doc__))
