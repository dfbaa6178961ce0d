"""How the tests of the whole program start it, talk with it, and look at it from outside. Standard library only."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from stalling_disk import NotPossible

SKIPPED = 77  # what ctest takes for "skipped"


class Failure(Exception):
    pass


def make_model(arguments, path):
    """A .rill file of --checkpoint and --tokenizer that chats in Llama-2's form."""
    subprocess.run([arguments.rill, "quantize", arguments.checkpoint, "--tokenizer", arguments.tokenizer, "--chat-form",
                    "llama2", "--group", "64", "-o", path], check=True, stdout=subprocess.DEVNULL)


class Setting:
    def __init__(self, arguments, folder):
        self.rill = arguments.rill
        self.folder = folder
        self.model = os.path.join(folder, "model.rill")
        make_model(arguments, self.model)
        self.options = ["--window", "60", "--temp", "0"]

    def start(self, command, *more, model=None, **pipes):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **pipes}
        defaults = [] if command == "soak" or "-n" in more else ["-n", "24"]
        if "--threads" not in more:
            defaults += ["--threads", "2"]
        return subprocess.Popen([self.rill, command, model or self.model, *self.options, *defaults, *more], text=True,
                                **pipes)

    def has_sandbox(self):
        """Not with a sanitizer, which makes system calls of its own."""
        return not is_sanitized(self.rill) and subprocess.run([self.rill, "generate", self.model, "-p", "A", "-n", "1", "--sandbox"],
                              capture_output=True).returncode == 0


def is_sanitized(rill):
    """True for a program that AddressSanitizer or ThreadSanitizer is in."""
    with open(rill, "rb") as file:
        program = file.read()
    return b"__asan_init" in program or b"__tsan_init" in program


def turn(process, line):
    """One turn of `rill chat --json`. @returns its reply; None at the end"""
    process.stdin.write(line + "\n")
    process.stdin.flush()
    answer = process.stdout.readline()
    return json.loads(answer)["reply"] if answer.endswith("\n") else None


def end(process):
    """@returns exit code and standard error"""
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def sentences(errors):
    """What was said on standard error, without the program's name."""
    return [line.removeprefix("rill: ") for line in errors.splitlines()]


def expect(condition, what):
    if not condition:
        raise Failure(what)


def rss_bytes(process):
    with open(f"/proc/{process.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def cpu_seconds(process):
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def catches(process, number):
    """True once it has a handler of its own for a signal."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        caught = next(int(line.split()[1], 16) for line in status if line.startswith("SigCgt:"))
    return caught >> (number - 1) & 1 == 1


def wait_until(condition, what, seconds=30):
    end_of_patience = time.monotonic() + seconds
    while not condition():
        expect(time.monotonic() < end_of_patience, what)
        time.sleep(0.02)


def run_cases(cases, description):
    """The program of a file of cases, functions that take a Setting and are called by their names. @returns its exit code"""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rill", required=True)
    parser.add_argument("--checkpoint", required=True, help="stories260K.bin, a model that is fast")
    parser.add_argument("--tokenizer", required=True, help="tok512.model")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    arguments = parser.parse_args()
    if not os.path.exists(arguments.checkpoint):
        print(f"needs {arguments.checkpoint}, which is not here")
        return SKIPPED
    named = {case.__name__: case for case in cases}
    with tempfile.TemporaryDirectory(prefix="rill-faults-") as folder:
        setting = Setting(arguments, folder)
        for name in arguments.cases or named:
            try:
                named[name](setting)
            except NotPossible as lack:
                print(f"left out {name}: {lack}")
                return SKIPPED
            except Failure as failure:
                print(f"FAILED {name}: {failure}", file=sys.stderr)
                return 1
            print(f"{name}: as promised", flush=True)
    return 0
