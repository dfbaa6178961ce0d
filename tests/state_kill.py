#!/usr/bin/env python3
"""Kills a talking `rill chat --state` at random moments, and says whether what it promised is there. Standard library
only; any failure names its seed.

  tests/state_kill.py --rill build/release/rill --checkpoint stories260K.bin --tokenizer tok512.model --kills 1000

1. kill -9 at a random moment, N times: the restored `turns` are those acknowledged, or one more (saved, but killed
   before it could say so), and every reply is the one of a run that nobody killed.
2. The same with --state-every: turns as above; a reply may have been cut where it was killed.
3. Damage: files cut, with flipped bits or overwritten sectors, N times: the last turn's state or the one before it, with
   the replies that follow those, or a refusal (exit 4) that leaves the file alone; never a crash.
4. kill -9 of `rill perplexity --state`, a tenth of N times: ends with the NLLs of a run that nobody killed.
5. SIGTERM, a tenth of N times: exit 0 within a second, the turn saved.
6. A full disk, a read-only file, a second process, another policy or system prompt: the sentences and exit codes.
"""

import argparse
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

from process_setting import Failure, make_model

TURNS = 40  # of a conversation, then a new one begins
REPLY_TOKENS = 24


def turn(i):
    return f"Turn {i}: tell me about the {['cat', 'dog', 'tree', 'boat', 'moon'][i % 5]}"


class Setting:
    def __init__(self, arguments, folder):
        self.rill = arguments.rill
        self.folder = folder
        self.model = os.path.join(folder, "model.rill")
        self.state = os.path.join(folder, "talk.state")
        self.random = random.Random(arguments.seed)
        self.longest_delay = arguments.longest_delay
        if arguments.model:
            self.model = arguments.model
        else:
            make_model(arguments, self.model)
        self.options = ["--window", str(arguments.window), "--temp", "1", "--repeat-penalty", "1.1", "-n", str(REPLY_TOKENS),
                        "--threads", "1", "--json"]
        talk = subprocess.run([self.rill, "chat", self.model, *self.options], check=True, capture_output=True,
                              input="".join(turn(i) + "\n" for i in range(TURNS)), text=True)
        self.replies = [json.loads(line)["reply"] for line in talk.stdout.splitlines()]

    def remove_state(self):
        if os.path.exists(self.state):
            os.remove(self.state)

    def start(self, *more):
        return subprocess.Popen([self.rill, "chat", self.model, *self.options, "--state", self.state, *more],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def next_object(process):
    """The next line as an object; None at the end, which a killed process reaches in the middle of a line."""
    line = process.stdout.readline()
    return json.loads(line) if line.endswith("\n") else None


def say(process, i):
    try:
        process.stdin.write(turn(i) + "\n")
        process.stdin.flush()
    except BrokenPipeError:
        pass


def end(process):
    for pipe in (process.stdin, process.stdout, process.stderr):
        try:
            pipe.close()
        except BrokenPipeError:
            pass
    return process.wait()


def kill_while_talking(setting, kills, every):
    """@returns turns taken, and how often: restored with one turn more than was acknowledged, in the middle of a reply,
    torn slots"""
    setting.remove_state()
    acknowledged = 0
    was_begun = False  # a first object was printed, so there is a state
    has_cut = False
    taken = ahead = cut = torn = done = 0
    while done < kills:
        process = setting.start(*(["--state-every", "3"] if every else []))
        timer = threading.Timer(setting.random.uniform(0.0, setting.longest_delay), process.kill)
        is_early = setting.random.random() < 0.3  # maybe before it has begun; the others meet a process that talks
        if is_early:
            timer.start()
        first = next_object(process)
        if not is_early:
            timer.start()
        if first is not None:
            if was_begun and not first["restored"]:
                raise Failure(f"kill {done}: {acknowledged} turns were acknowledged, and nothing was restored")
            if not acknowledged <= first["turns"] <= acknowledged + 1:
                raise Failure(f"kill {done}: restored {first['turns']} turns, acknowledged {acknowledged}")
            was_begun = True
            has_cut = has_cut or first["reply_cut"]
            cut += first["reply_cut"]
            ahead += first["turns"] == acknowledged + 1
            acknowledged = first["turns"]
        while first is not None and acknowledged < TURNS:
            say(process, acknowledged)
            reply = next_object(process)
            if reply is None:
                break
            if not has_cut and reply["reply"] != setting.replies[acknowledged]:
                raise Failure(f"kill {done}, turn {acknowledged}: {reply['reply']!r}, "
                              f"expected {setting.replies[acknowledged]!r}")
            acknowledged += 1
            taken += 1
        process.wait()  # for the timer, if all turns are done
        timer.cancel()
        errors = process.stderr.read()
        end(process)
        if process.returncode != -signal.SIGKILL:
            raise Failure(f"kill {done}: exit {process.returncode}: {errors}")
        torn += "damaged" in errors or "cut off" in errors
        done += 1
        if acknowledged >= TURNS or has_cut and setting.random.random() < 0.1:
            setting.remove_state()
            acknowledged, was_begun, has_cut = 0, False, False
    if kills >= 10 and taken == 0:
        raise Failure(f"{kills} kills, and no turn was taken between them: nothing was killed that talked")
    return taken, ahead, cut, torn


def damage(setting, times):
    """@returns how often: the last state, the one before it, refused"""
    setting.remove_state()
    process = setting.start()
    next_object(process)
    for i in range(3):
        say(process, i)
        next_object(process)
    if end(process) != 0:
        raise Failure("the run that was to be damaged failed")
    with open(setting.state, "rb") as file:
        whole = file.read()
    # What follows all three turns, as a talk without a state has it.
    talk = subprocess.run([setting.rill, "chat", setting.model, *setting.options],
                          input="".join(turn(t) + "\n" for t in (0, 1, 2, 2, 3)), capture_output=True, text=True, check=True)
    after_all = [json.loads(line)["reply"] for line in talk.stdout.splitlines()][3:]
    last = before = refused = 0
    for i in range(times):
        kind = setting.random.choice(["cut", "flip", "overwrite"])
        bad = bytearray(whole)
        slot_bytes = len(whole) // 2
        hit = set()  # slots
        if kind == "cut":
            bad = bad[:setting.random.randrange(1, len(bad))]
            hit = {1} if len(bad) >= slot_bytes else {0, 1}
        elif kind == "flip":
            for _ in range(setting.random.randint(1, 4)):
                at = setting.random.randrange(len(bad))
                if setting.random.random() < 0.5:
                    at = setting.random.choice([0, len(bad) // 2]) + setting.random.randrange(512)
                bad[at] ^= 1 << setting.random.randrange(8)
                hit.add(at // slot_bytes)
        else:
            sector = setting.random.randrange(len(bad) // 512) * 512
            bad[sector:sector + 512] = setting.random.randbytes(512)
            hit = {sector // slot_bytes}
        with open(setting.state, "wb") as file:
            file.write(bad)
        said = subprocess.run([setting.rill, "chat", setting.model, *setting.options, "--state", setting.state],
                              input="".join(turn(t) + "\n" for t in (2, 3)), capture_output=True, text=True)
        where = f"damage {i} ({kind})"
        if said.returncode == 4:
            with open(setting.state, "rb") as file:
                if file.read() != bad:
                    raise Failure(f"{where}: a refused file was written")
            if setting.state not in said.stderr:
                raise Failure(f"{where}: a refusal that does not name its file: {said.stderr}")
            if len(hit) < 2:
                raise Failure(f"{where}: refused, with a slot that is whole: {said.stderr}")
            refused += 1
            continue
        lines = [json.loads(line) for line in said.stdout.splitlines()]
        if said.returncode != 0 or not lines[0]["restored"] or lines[0]["turns"] not in (2, 3):
            raise Failure(f"{where}: exit {said.returncode}, {lines[:1]}: {said.stderr}")
        if lines[0]["turns"] == 2:
            if [line["reply"] for line in lines[1:]] != setting.replies[2:4]:
                raise Failure(f"{where}: other replies after the state before the last")
            if "rill:" not in said.stderr or "damaged" not in said.stderr and "expected" not in said.stderr:
                raise Failure(f"{where}: a lost state without a sentence")
            before += 1
        else:
            if [line["reply"] for line in lines[1:]] != after_all:
                raise Failure(f"{where}: other replies after the last state")
            last += 1
    return last, before, refused


def kill_perplexity(setting, kills):
    """@returns how many runs it took"""
    setting.remove_state()
    text = os.path.join(setting.folder, "text.txt")
    with open(text, "w") as file:
        file.write(" ".join(turn(setting.random.randrange(1000)) for _ in range(6000)))
    command = [setting.rill, "perplexity", setting.model, "--file", text, "--window", "60", "--threads", "1", "--nll-out"]
    whole, kept = (os.path.join(setting.folder, name) for name in ("whole.nll", "kept.nll"))
    start = time.monotonic()
    subprocess.run([*command, whole], check=True, capture_output=True)
    duration = time.monotonic() - start
    runs = 0
    while True:
        process = subprocess.Popen([*command, kept, "--state", setting.state, "--state-every", "300"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        runs += 1
        try:
            code = process.wait(setting.random.uniform(0.02, 0.3) * duration if runs <= kills else None)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
        errors = process.stderr.read()
        process.stderr.close()
        if code == 0:
            break
        if code != -signal.SIGKILL:
            raise Failure(f"perplexity: exit {code}: {errors}")
    with open(whole) as a, open(kept) as b:
        if a.read() != b.read():
            raise Failure("perplexity: other NLLs than those of a run that nobody killed")
    return runs


def terminate(setting, times):
    setting.remove_state()
    for i in range(times):
        process = setting.start()
        first = next_object(process)
        say(process, first["turns"])
        time.sleep(setting.random.uniform(0, 0.03))
        start = time.monotonic()
        process.terminate()
        last = next_object(process)
        code = process.wait()
        seconds = time.monotonic() - start
        errors = process.stderr.read()
        end(process)
        if code != 0 or seconds > 1:
            raise Failure(f"SIGTERM {i}: exit {code} after {seconds:.2f} s: {errors}")
        process = setting.start()
        again = next_object(process)
        end(process)
        if again["turns"] != first["turns"] + (last is not None and "error" not in last):
            raise Failure(f"SIGTERM {i}: {first}, {last}, then {again}")


def expect_faults(setting):
    """Files that cannot be had: a sentence, and on without a state, or exit 1 with --state-required."""
    def run(*more, limit=None):
        def lower():
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        return subprocess.run([setting.rill, "chat", setting.model, *setting.options, "--state", setting.state, *more],
                              input=turn(0) + "\n", capture_output=True, text=True, preexec_fn=lower)

    def expect(what, sentence, limit=None, restored=False):
        said = run(limit=limit)
        lines = [json.loads(line) for line in said.stdout.splitlines()]
        if said.returncode != 0 or lines[0]["restored"] != restored or len(lines) != 2 or sentence not in said.stderr:
            raise Failure(f"{what}: exit {said.returncode}, {lines}: {said.stderr}")
        if not restored and lines[1]["reply"] != setting.replies[0]:
            raise Failure(f"{what}: another reply than without a state")
        said = run("--state-required", limit=limit)
        if said.returncode != 1 or sentence not in said.stderr:
            raise Failure(f"{what}, required: exit {said.returncode}: {said.stderr}")

    setting.remove_state()
    expect("no room for the file", "taking its room on the disk failed: File too large", limit=5000)
    process = setting.start()
    next_object(process)
    expect("a second process", "another process has locked it")
    end(process)
    os.chmod(setting.state, 0o400)
    expect("a read-only file", "the file is read-only")
    os.chmod(setting.state, 0o600)
    expect("a disk that takes no more", "writing failed: File too large", limit=1000, restored=True)
    with open(setting.state, "rb") as file:
        before = file.read()
    for more, sentence in ((["--sinks", "3"], "a state of policy stream"), (["--system", "x"], "another system prompt")):
        said = run(*more)
        with open(setting.state, "rb") as file:
            if said.returncode != 4 or sentence not in said.stderr or file.read() != before:
                raise Failure(f"{more}: exit {said.returncode}: {said.stderr}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rill", required=True)
    parser.add_argument("--checkpoint", default="", help="stories260K.bin, a model that is fast")
    parser.add_argument("--tokenizer", default="", help="tok512.model")
    parser.add_argument("--model", default="", help="a .rill file instead, with a chat form")
    parser.add_argument("--window", type=int, default=60)
    parser.add_argument("--longest-delay", type=float, default=0.15, help="seconds from a start to its kill")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if not os.path.exists(arguments.model or arguments.checkpoint):
        print(f"needs {arguments.model or arguments.checkpoint}, which is not here")
        return 77  # what ctest takes for "skipped"
    few = max(1, arguments.kills // 10)
    with tempfile.TemporaryDirectory(prefix="rill-kill-") as folder:
        setting = Setting(arguments, folder)
        try:
            taken, ahead, _, torn = kill_while_talking(setting, arguments.kills, every=False)
            print(f"{arguments.kills} kills in {taken} turns: every acknowledged one was there, {ahead} times one more; "
                  f"{torn} torn slots; all replies as if nobody had killed", flush=True)
            taken, ahead, cut, torn = kill_while_talking(setting, arguments.kills, every=True)
            print(f"{arguments.kills} kills in {taken} turns with --state-every 3: likewise; {ahead} times one turn more, "
                  f"{cut} of them cut, {torn} torn slots", flush=True)
            last, before, refused = damage(setting, arguments.kills)
            print(f"{arguments.kills} damaged files: {last} the last state, {before} the one before it, "
                  f"{refused} refused", flush=True)
            print(f"perplexity: {kill_perplexity(setting, few)} runs, the same NLLs", flush=True)
            terminate(setting, few)
            print(f"{few} SIGTERMs: exit 0 within a second, saved", flush=True)
            expect_faults(setting)
            print("faults: each a sentence and its exit code", flush=True)
        except Failure as failure:
            print(f"FAILED (seed {arguments.seed}): {failure}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
