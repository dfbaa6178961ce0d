#!/usr/bin/env python3
"""What `rill` does with the files it is given: a model that is cut off or whose disk stalls, standard files that are
closed, outputs that would replace inputs. Standard library only; a disk that stalls needs Linux, root and fusepy.

  tests/process_files.py --rill build/release/rill --checkpoint stories260K.bin --tokenizer tok512.model [CASE...]

Without a CASE all of them; each is a function below whose docstring says what is promised.
"""

import json
import os
import select
import shutil
import signal
import struct
import subprocess
import sys
import time

from process_setting import cpu_seconds, end, expect, rss_bytes, run_cases, sentences, turn
from stalling_disk import NotPossible, StallingDisk, drop_pages


def model_cut_off(setting):
    """A mapped model that is cut off while it runs: a sentence and exit 1. With --in-ram: the replies as ever. A SIGBUS
    that somebody sends ends the process as it always did."""
    lines = ["Tell me about a cat.", "And about a dog?", "Why?"]
    with setting.start("chat", "--json") as whole:
        expected = [turn(whole, line) for line in lines]
        expect(end(whole)[0] == 0 and None not in expected, "the run with a whole model failed")
    for in_ram in (False, True):
        copy = os.path.join(setting.folder, "cut.rill")
        with open(setting.model, "rb") as model, open(copy, "wb", buffering=0) as to:
            to.write(model.read())  # at once: on huge pages, where the system gives them
        with setting.start("chat", "--json", *(["--in-ram"] if in_ram else []), model=copy) as process:
            expect(turn(process, lines[0]) == expected[0], "another first reply")
            os.truncate(copy, 4096)
            replies = [turn(process, line) for line in lines[1:]] if in_ram else [turn(process, lines[1])]
            code, errors = end(process)
        if in_ram:
            expect(replies == expected[1:] and code == 0, f"--in-ram: exit {code}, {replies}: {errors}")
        else:
            expect(code == 1 and sentences(errors)[-1].startswith(f"{copy}: the file was cut off"),
                   f"exit {code}: {errors}")
    with setting.start("chat", "--json") as process:
        turn(process, lines[0])
        process.send_signal(signal.SIGBUS)
        code, errors = end(process)
        expect(code == -signal.SIGBUS, f"a SIGBUS that was sent: exit {code}: {errors}")


def closed_files(setting):
    """Standard files that are closed are no other file: nothing is written into the state, no reply is read as a turn."""
    state = os.path.join(setting.folder, "closed.state")
    command = [setting.rill, "chat", setting.model, *setting.options, "--state", state, "-n", "5"]
    for more in (["-p", "Hello."], ["-p", "And then?"], ["--json"]):
        closed = subprocess.run(["sh", "-c", 'exec <&- >&- 2>&-; exec "$@"', "sh", *command, *more], timeout=60)
        expect(closed.returncode == 0, f"{more}: exit {closed.returncode}")
    with setting.start("chat", "--json", "--state", state) as process:
        first = json.loads(process.stdout.readline())
        code, errors = end(process)
        expect(first["turns"] == 2 and code == 0 and "damaged" not in errors, f"{first}, exit {code}: {errors}")


def outputs_over_inputs(setting):
    """A file to be written that the same command line reads, or that holds something else: a sentence, exit 2 (4 for the
    scores beside a state), and every file as it was."""
    def path(name):
        return os.path.join(setting.folder, "outputs", name)
    os.makedirs(path("hub"))
    shutil.copy(setting.model, path("m.rill"))
    for name in ("t.txt", "p.svg", "run.nll", "hub/config.json", "hub/model.safetensors"):
        with open(path(name), "w") as file:
            file.write(f"what is in {name} " * 20)
    os.symlink("m.rill", path("link"))

    def contents():
        files = (os.path.join(folder, name) for folder, _, names in os.walk(path("")) for name in names)
        return {name: open(name, "rb").read() for name in files if not name.endswith("/run")}
    before = contents()
    perplexity = ["perplexity", path("m.rill"), "--window", "60", "--file", path("t.txt")]
    for code, *command in ((2, "quantize", path("m.rill"), "-o", path("m.rill")),
                           (2, "quantize", path("hub"), "-o", path("hub/model.safetensors")),
                           (2, "quantize", "hub", "-o", "hub/config.json"),
                           (2, *perplexity, "--nll-out", path("link")),
                           (2, *perplexity, "--plot", "t.txt"),
                           (2, *perplexity, "--plot", "new.svg", "--nll-out", "./new.svg"),
                           (2, *perplexity, "--plot", "p.svg", "--plot-with", "earlier=p.svg"),
                           (2, "voice", path("m.rill"), "--in", "t.txt", "--out", "./t.txt"),
                           (2, *perplexity, "--state", "kept", "--nll-out", path("kept.nll")),
                           (2, "logits", path("m.rill"), "--ids", "t.txt", "--out", "t.txt"),
                           (4, *perplexity, "--state", path("run"))):
        done = subprocess.run([os.path.abspath(setting.rill), *command], cwd=path(""), capture_output=True,
                              text=True, timeout=60)
        expect(done.returncode == code and done.stderr.startswith("rill: "), f"{command}: {done}")
        expect(contents() == before, f"{command}: other files than before")
    done = subprocess.run([setting.rill, *perplexity, "--plot", path("p.svg"), "--plot-label", path("p.svg")],
                          capture_output=True, text=True)
    expect(done.returncode == 0, f"a picture is drawn anew: {done}")


def disk_that_stalls(setting):
    """A disk that stops answering while pages of the model must be read again: the reply waits, without CPU and without
    growing, and is the same once the disk answers. SIGTERM meanwhile: exit 0 within a second of its answer. --in-ram
    does not notice."""
    lines = ["Tell me about a cat.", "And about a dog?"]
    with setting.start("chat", "--json") as free:
        expected = [turn(free, line) for line in lines]
        end(free)
    with StallingDisk(setting.model) as disk:
        def chat_over_stalled_disk(*more):
            process = setting.start("chat", "--json", *more, model=disk.path)
            expect(turn(process, lines[0]) == expected[0], f"{more}: another first reply")
            disk.stall()
            expect(drop_pages(process, disk.path) > 0, f"{more}: the model is not mapped")
            process.stdin.write(lines[1] + "\n")
            process.stdin.flush()
            return process

        with chat_over_stalled_disk("--in-ram") as process:
            expect(json.loads(process.stdout.readline())["reply"] == expected[1], "--in-ram: another second reply")
            disk.go_on()
            expect(end(process)[0] == 0, "--in-ram: the end")
        for is_terminated in (False, True):
            with chat_over_stalled_disk() as process:
                time.sleep(0.3)
                before, used = rss_bytes(process), cpu_seconds(process)
                time.sleep(1)
                expect(not select.select([process.stdout], [], [], 0)[0], "a reply without the model's pages")
                expect(cpu_seconds(process) - used < 0.1, f"{cpu_seconds(process) - used} s of CPU while it waited")
                expect(rss_bytes(process) <= before, f"grew from {before} to {rss_bytes(process)} while it waited")
                if is_terminated:
                    process.terminate()
                begin = time.monotonic()
                disk.go_on()
                if not is_terminated:
                    expect(json.loads(process.stdout.readline())["reply"] == expected[1], "another second reply")
                code, errors = end(process)
                expect(code == 0, f"exit {code}: {errors}")
                expect(not is_terminated or time.monotonic() - begin < 1, "SIGTERM: longer than a second")


def text_without_spaces(setting):
    """A text that has no place to be cut at is taken with the memory that it needs; a chat, whose memory is fixed, says
    that the word is too long, and goes on."""
    words = "\u4e2d\u6587\uff0c\u5b57\u7b26\u3002" * 2000
    path = os.path.join(setting.folder, "words.txt")
    with open(path, "w", encoding="utf-8") as file:
        file.write(words)
    for command in (["generate", setting.model, "-p", words, "-n", "1"], ["tokenize", setting.model, "--file", path],
                    ["perplexity", setting.model, "--file", path, "--window", "60"]):
        done = subprocess.run([setting.rill, *command], capture_output=True, text=True, timeout=120)
        expect(done.returncode == 0, f"{command[0]}: exit {done.returncode}: {done.stderr}")
    with setting.start("chat", "--json") as process:
        process.stdin.write(words + "\n")
        process.stdin.flush()
        expect("a word longer than" in json.loads(process.stdout.readline())["error"], "the word was taken")
        expect(turn(process, "Tell me about a cat.") is not None, "it goes on")
        expect(end(process)[0] == 4, "the turn that was left out")


def state_that_is_taken_away(setting):
    """A state file that is removed or replaced while a chat keeps it: a sentence, and on without a state, or exit 1 with
    --state-required; in a sandbox too. An empty path, and a directory: refused."""
    for more in (["--state-required"], [], ["--sandbox"] if setting.has_sandbox() else []):
        for replaced in (False, True):
            state = os.path.join(setting.folder, "taken.state")
            with setting.start("chat", "--json", "--state", state, *more) as process:
                process.stdout.readline()
                expect(turn(process, "Tell me about a cat.") is not None, "the first turn")
                if replaced:
                    with open(state + ".other", "w") as other:
                        other.write("something else")
                    os.replace(state + ".other", state)
                else:
                    os.remove(state)
                process.stdin.write("And about a dog?\n")
                process.stdin.flush()
                said = json.loads(process.stdout.readline())
                code, errors = end(process)
            expect(errors.count("the file was removed, or another took its name") == 1 or more == ["--state-required"],
                   f"{more}: {errors}")
            expect(("error" in said and code == 1) if more == ["--state-required"] else (said["reply"] and code == 0),
                   f"{more}: exit {code}: {said} {errors}")
            if replaced:
                with open(state) as other:
                    expect(other.read() == "something else", "what took its place is as it was")
                os.remove(state)
    for path, code in (("", 2), (setting.folder, 4)):
        done = subprocess.run([setting.rill, "chat", setting.model, "-p", "Hello", "--state", path], capture_output=True)
        expect(done.returncode == code, f"--state {path}: {done}")


def input_that_fails(setting):
    """Standard input that cannot be read is no end of a conversation: a sentence and exit 1."""
    done = subprocess.run([setting.rill, "chat", setting.model], stdin=os.open(setting.folder, os.O_RDONLY),
                          capture_output=True, text=True)
    expect(done.returncode == 1 and "standard input: reading a turn failed: Is a directory" in done.stderr, f"{done}")


def on_watched_disk(setting, *more, keeps=False, **variables):
    """A chat whose writes and syncs are noted (tests/support/watched_disk.c). @returns the process and the note's path
    @param keeps  go on with the state of the last one"""
    if "RILL_WATCHED_DISK" not in os.environ:
        raise NotPossible("RILL_WATCHED_DISK names no library")
    log = os.path.join(setting.folder, "disk.log")
    for path in () if keeps else (log, os.path.join(setting.folder, "disk.state")):
        if os.path.exists(path):
            os.remove(path)
    environment = {**os.environ, "LD_PRELOAD": os.environ["RILL_WATCHED_DISK"], "RILL_DISK_LOG": log, **variables}
    return setting.start("chat", "--state", os.path.join(setting.folder, "disk.state"), *more, env=environment), log


def synced_turns(setting):
    """When a reply ends, what was written for its turn has been synced: a power cut from then on takes nothing away."""
    process, log = on_watched_disk(setting, "--json", RILL_DISK_DELAY_MS="200")
    with process:
        process.stdout.readline()  # restored or not
        for number, line in enumerate(["One day", "And then?", "The end"]):
            turn(process, line)
            with open(log) as file:
                noted = file.read()
            expect(noted.endswith("s") and noted.count("s") >= number + 2 and noted.count("w") >= number + 2,
                   f"turn {number}: {noted}")
        expect(end(process)[0] == 0, "exit code")
    # What is found may have been written by a process that was killed before the disk had it.
    os.remove(log)
    process, log = on_watched_disk(setting, "--json", keeps=True)
    with process:
        expect(json.loads(process.stdout.readline())["restored"], "there is a state")
        with open(log) as file:
            noted = file.read()
        expect(noted.startswith("s"), f"a state that was found: {noted}")
        expect(end(process)[0] == 0, "exit code")


def lost_sectors(setting):
    """A sector that a disk no longer reads costs one slot, not the other; where both are gone, the file is as it was."""
    process, _ = on_watched_disk(setting)
    process.communicate("One day\nAnd then?\n", timeout=60)
    state = os.path.join(setting.folder, "disk.state")
    with open(state, "rb") as file:
        before = file.read()
    slot = len(before) // 2
    header, payload = 100, 5000
    saves = [struct.unpack_from("<Q", before, at + 16)[0] for at in (0, slot)]
    for lost, whole in (([header], 1), ([payload], 1), ([slot + header], 0), ([slot + payload], 0),
                        ([payload, slot + header], None)):
        with open(state, "wb") as file:
            file.write(before)
        process, _ = on_watched_disk(setting, keeps=True, RILL_DISK_LOST=" ".join(map(str, lost)))
        out, errors = process.communicate("", timeout=60)
        expect(process.returncode == 0, f"{lost}: exit {process.returncode}: {errors}")
        if whole is None:
            expect("Input/output error" in errors, f"{lost}: {errors}")
            with open(state, "rb") as file:
                expect(file.read() == before, f"{lost}: the file was written")
        else:
            expect(f"slot {'AB'[whole]} is whole and is used, save {saves[whole]}" in errors, f"{lost}: {errors}")


def slow_disk(setting):
    """A disk that takes seconds for each save: the tokens come all the same, and only the reply's end waits for it."""
    delay = 2
    process, log = on_watched_disk(setting, "--state-every", "4", "-n", "40", RILL_DISK_DELAY_MS=str(1000 * delay))
    with process:
        process.stdin.write("One day\n")
        process.stdin.flush()
        text, last, longest = b"", None, 0
        while not text.endswith(b"\n"):  # of a reply in one line
            text += os.read(process.stdout.fileno(), 4096)
            now = time.monotonic()
            if last is not None and not text.endswith(b"\n"):
                longest = max(longest, now - last)
            last = now
        with open(log) as file:
            noted = file.read()
        expect(len(text) > 40 and noted.count("w") >= 3, f"{text}, {noted}: too little was said for this test")
        expect(longest < delay / 2, f"a pause of {longest:.1f} s within {text}")
        expect(end(process)[0] == 0, "exit code")


def broken_into(setting):
    """Whoever takes the program over can open no file and make no socket once it is in its sandbox; outside of it he
    can, which shows that this test does something."""
    if not setting.has_sandbox():
        raise NotPossible("this system has no sandbox for it")
    process, log = on_watched_disk(setting)
    process.communicate("", timeout=60)
    with open(log) as file:
        writes = file.read().count("w")  # before the first turn, and so before the sandbox
    for deed in ("open", "socket"):
        for sandbox, expected in (([], 0), (["--sandbox"], -signal.SIGSYS)):
            process, _ = on_watched_disk(setting, *sandbox, RILL_DISK_THEN=deed, RILL_DISK_AFTER=str(writes))
            process.communicate("One day\nAnd then?\n", timeout=60)
            expect(process.returncode == expected, f"{deed} {sandbox}: exit {process.returncode}, expected {expected}")


CASES = [synced_turns, lost_sectors, slow_disk, broken_into, model_cut_off, closed_files, outputs_over_inputs, text_without_spaces,
         state_that_is_taken_away, input_that_fails, disk_that_stalls]


if __name__ == "__main__":
    sys.exit(run_cases(CASES, __doc__))
