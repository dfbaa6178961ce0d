#!/usr/bin/env python3
"""What `rill` does when something around it goes wrong: the program itself, started as a process, on a small model.
Standard library only. tests/process_files.py does the same for files it is given, tests/state_kill.py for what it keeps.

  tests/process_faults.py --rill build/release/rill --checkpoint stories260K.bin --tokenizer tok512.model [CASE...]

Without a CASE all of them; each is a function below whose docstring says what is promised.
"""

import fcntl
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time

from stalling_disk import NotPossible

from process_setting import catches, cpu_seconds, end, expect, rss_bytes, run_cases, turn, wait_until


def sandbox(setting):
    """chat --sandbox: the same replies, saved and gone on with as ever, every thread filtered; generate --sandbox: the
    same text; a chat on a terminal answers and ends."""
    lines = ["Tell me about a cat.", "And about a dog?", "Why?", "The end."]
    with setting.start("chat", "--json") as free:
        expected = [turn(free, line) for line in lines]
        end(free)
    state = os.path.join(setting.folder, "sandbox.state")
    replies = []
    for run in range(2):
        with setting.start("chat", "--json", "--sandbox", "--state", state, "--state-every", "5") as process:
            first = process.stdout.readline()
            if not first:
                code, errors = end(process)
                expect("this system does not allow it" in errors or "this build has none" in errors,
                       f"exit {code}: {errors}")
                raise NotPossible("no sandbox on this system")
            expect(json.loads(first)["restored"] == (run == 1), f"run {run}: {first}")
            replies += [turn(process, line) for line in lines[2 * run:2 * run + 2]]
            tasks = f"/proc/{process.pid}/task"
            for task in os.listdir(tasks):
                with open(f"{tasks}/{task}/status") as status:
                    expect("Seccomp:\t2\n" in status.read(), f"thread {task} is not filtered")
            expect(len(os.listdir(tasks)) == 3, "the caller, a worker and the keeper")
            code, errors = end(process)
            expect(code == 0, f"run {run}: exit {code}: {errors}")
    expect(replies == expected, f"{replies}, expected {expected}")

    texts = [subprocess.run([setting.rill, "generate", setting.model, "-p", "Once upon a time", "-n", "24",
                             "--threads", "2", *setting.options, *more],
                            capture_output=True, text=True) for more in ([], ["--sandbox"])]
    expect(texts[0].stdout == texts[1].stdout != "" and texts[1].returncode == 0, f"generate: {texts[1]}")


def chat_on_a_terminal(setting, *more, end=b"/quit\r"):
    """Types a turn, a command, a tab and other than ASCII into a pseudo-terminal, sends the signals that terminals send,
    and ends it."""
    master, slave = os.openpty()
    with setting.start("chat", *more, stdin=slave, stdout=slave, stderr=slave,
                       env={**os.environ, "LC_ALL": "C.UTF-8"}) as process:
        os.close(slave)
        screen = b""
        for typed, until in ((b"", b"> "), (b"Tell me about a cat.\r", b"> "), (b"/stats\r", b"resident"), (b"", b"> "),
                             (b"/caf\xc3\xa9\tau\r", b"no such command: /caf\xc3\xa9\tau\r"), (b"", b"> "),
                             (signal.SIGINT, b"> "), (signal.SIGWINCH, b"> "),  # which draws the line again
                             (b"\x13", b""), (b"/ ", b""), (signal.SIGWINCH, b""), (b"\x11", b"/ "),  # Ctrl-S, Ctrl-Q
                             (signal.SIGINT, b"> "),
                             (b"/system " + b"A cat. " * 60 + b"\r", b"a new conversation"), (b"", b"> "),
                             (b"/system " + b"cat" * 6000 + b"\r", b"a word longer than"), (b"", b"> "),
                             (b"/system\r", b"A cat. A cat."), (b"", b"> "),
                             (b"/\t\r", b"no such command: /\t\r"), (b"", b"> "), (end, b"")):
            if isinstance(typed, signal.Signals):
                process.send_signal(typed)
            else:
                os.write(master, typed)
            while until not in screen:
                expect(select.select([master], [], [], 60)[0], f"{typed}: nothing more on the terminal: {screen[-500:]}")
                screen += os.read(master, 4096)
            screen = screen[screen.index(until) + len(until):]
        try:
            code = process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            code = "none in 30 s"
        os.close(master)
    expect(code == 0, f"on a terminal, {end}: exit {code}: {screen[-500:]}")


def terminal(setting):
    """A chat on a terminal, ended by its command, by Ctrl-D and by SIGTERM, in a sandbox and outside; a signal is for rill
    alone, and for no other process of its group."""
    for more in ([], ["--sandbox"]) if setting.has_sandbox() else ([],):
        for end in (b"/quit\r", b"\x04", signal.SIGTERM):
            chat_on_a_terminal(setting, *more, end=end)


def soak(setting):
    """A short soak with every fault passes its own verdict, in a sandbox and under a limit of its address space; a
    bound that no token keeps is exit 1; SIGTERM ends it early, with its report."""
    def lower():
        resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))
    command = [setting.rill, "soak", setting.model, "--window", "60", "--faults", "--json"]
    # Few tokens with two threads: on a machine that is busy otherwise they wait for one another's turn at every step.
    for tokens, more in ((30000, ["--threads", "1"]), (8000, ["--threads", "2", "--in-ram"]),
                         (30000, ["--threads", "1", "--sandbox"])):
        said = subprocess.run([*command, "--tokens", str(tokens), "--report-every", "0.1", *more], capture_output=True,
                              text=True, preexec_fn=lower)
        if "--sandbox" in more and "--sandbox" in said.stderr:
            continue  # this system has none
        expect(said.returncode == 0, f"{more}: exit {said.returncode}: {said.stdout} {said.stderr}")
        report = json.loads(said.stdout)
        expect(report["passed"] and report["tokens"] == tokens and report["allocations_after_start"] == 0, said.stdout)
        expect(report["rss_most_bytes"] == report["rss_start_bytes"] and sum(report["faults"].values()) > 0, said.stdout)
        expect(said.stderr.splitlines()[-1].startswith("soak: "), f"a line now and then: {said.stderr}")
    said = subprocess.run([*command, "--threads", "1", "--tokens", "1000", "--longest-token", "1e-9"], capture_output=True, text=True)
    expect(said.returncode == 1 and "(--longest-token)" in said.stderr, f"exit {said.returncode}: {said.stderr}")
    with setting.start("soak", "--hours", "1", "--json", "--report-every", "0.1") as process:
        expect(any(line.startswith("soak: ") for line in iter(process.stderr.readline, "")), "no line of its own")
        process.terminate()
        output, errors = process.communicate(timeout=10)
        expect(process.returncode == 0 and json.loads(output)["tokens"] > 0, f"exit {process.returncode}: {errors}")


def soak_of_a_large_session(setting):
    """What the faults hold for themselves, a copy of the session most of all, is no memory that nobody asked for."""
    said = subprocess.run([setting.rill, "soak", setting.model, "--window", "6000", "--threads", "1", "--faults", "--json",
                           "--tokens", "300"], capture_output=True, text=True)
    expect(said.returncode == 0, f"exit {said.returncode}: {said.stdout} {said.stderr}")
    report = json.loads(said.stdout)
    expect(report["passed"] and report["faults_bytes"] > 4 << 20, said.stdout)


def reader_that_stops(setting):
    """A consumer that does not read: the reply waits in the pipe, no memory grows and no CPU is burnt; when it reads
    again, the reply goes on."""
    with setting.start("chat", "-n", "30000", "--threads", "1") as process:
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        process.stdin.write("Tell me a story that never ends.\n")
        process.stdin.flush()

        def is_blocked():
            before = cpu_seconds(process)
            time.sleep(0.3)
            return cpu_seconds(process) == before
        wait_until(is_blocked, "the reply never waited for its reader")
        blocked = rss_bytes(process)
        time.sleep(1)
        expect(rss_bytes(process) <= blocked and cpu_seconds(process) < 30, f"grew from {blocked}, {rss_bytes(process)}")
        process.stdin.close()
        read = process.stdout.read(200000)
        expect(len(read) > 10000, f"only {len(read)} characters came when it was read again")
        expect(rss_bytes(process) <= blocked + 16 * 4096 if process.poll() is None else True, "memory grew with reading")
        process.kill()
        process.wait()


def reader_that_goes(setting):
    """A reader that closes its end (SIGPIPE): a sentence and exit 1, as for any output that cannot be written, and no
    signal. A full disk behind standard output is the same."""
    for more in ([], ["--json"]):
        with setting.start("chat", *more) as process:
            process.stdout.close()
            process.stdout = None
            try:
                process.stdin.write("Tell me about a cat.\n" * 20)
                process.stdin.close()
            except BrokenPipeError:
                pass
            process.stdin = None
            code, errors = end(process)
            expect(code == 1 and "standard output: writing the reply failed: Broken pipe" in errors,
                   f"exit {code}: {errors}")
    if os.path.exists("/dev/full"):
        with open("/dev/full", "w") as full, setting.start("chat", "-p", "Hello", stdout=full) as process:
            code, errors = end(process)
            expect(code == 1 and "No space left on device" in errors, f"/dev/full: exit {code}: {errors}")
        for command in (["--help"], ["--version"], ["chat", "--help"], ["kernels"], ["plan", setting.model, "--json"], ["inspect", setting.model],
                        ["generate", setting.model, "-p", "A", "-n", "1000000"], ["tokenize", setting.model, "A"]):
            with open("/dev/full", "w") as full:
                done = subprocess.run([setting.rill, *command], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
            expect(done.returncode == 1 and "standard output: " in done.stderr, f"{command}: {done}")


def terminated(setting):
    """SIGTERM in the middle of a reply: the token at hand is finished, the turn is saved, exit 0 within a second, and
    the next run goes on from there. Likewise while nobody reads and the pipe is full (to the last byte or not, as pieces
    of text are whole in it or wait: hence some bytes ahead of them), after somebody read a page, and while it waits for
    input."""
    state = os.path.join(setting.folder, "terminated.state")
    unread = [("unread", ahead, more) for more in ([], ["--json"]) for ahead in range(6)]
    for moment, ahead, more in [("reply", 0, []), ("input", 0, []), ("a page read", 0, []),
                                ("a page read", 0, ["--json"]), *unread]:
        if os.path.exists(state):
            os.remove(state)
        reader, writer = os.pipe()
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
        os.write(writer, b"x" * ahead)
        with setting.start("chat", "-n", "1000000", "--state", state, *more, stdout=writer) as process, \
                os.fdopen(reader, errors="replace") as output:
            os.close(writer)
            reading = threading.Thread(target=output.read)
            if moment != "input":
                process.stdin.write("Tell me a story that never ends.\n")
                process.stdin.flush()
            if moment in ("reply", "input"):
                reading.start()
            time.sleep(0.7)
            if moment == "a page read":
                os.read(reader, 4096)
                time.sleep(0.2)
            begin = time.monotonic()
            process.terminate()
            code = process.wait(timeout=20)
            seconds = time.monotonic() - begin
            if moment in ("reply", "input"):
                reading.join()
            errors = process.stderr.read()
            expect(code == 0 and seconds < 1, f"{moment} {ahead} {more}: exit {code} after {seconds:.2f} s: {errors}")
        with setting.start("chat", "--json", "--state", state) as process:
            first = json.loads(process.stdout.readline())
            expect(first["restored"] and first["turns"] == (0 if moment == "input" else 1), f"{moment}: {first}")
            expect(end(process)[0] == 0, "the next run")


def stopped_and_continued(setting):
    """SIGSTOP and SIGCONT, at random and of the whole process (a thread alone cannot be stopped from outside): the
    same reply as ever. Workers that get next to no CPU, beside a program that takes all it can: the same, only later."""
    lines = ["Tell me about a cat.", "And about a dog?"]
    with setting.start("chat", "--json") as free:
        expected = [turn(free, line) for line in lines]
        end(free)
    rounds = random.Random(1)
    with setting.start("chat", "--json", "--threads", "3") as process:
        replies = []

        def disturb():
            for _ in range(40):
                process.send_signal(signal.SIGSTOP)
                time.sleep(rounds.uniform(0, 0.01))
                process.send_signal(signal.SIGCONT)
                time.sleep(rounds.uniform(0, 0.005))
        disturbing = threading.Thread(target=disturb)
        disturbing.start()
        replies = [turn(process, line) for line in lines]
        disturbing.join()
        expect(end(process)[0] == 0 and replies == expected, f"stopped: {replies}, expected {expected}")
    one_cpu = {min(os.sched_getaffinity(0))}
    hog = subprocess.Popen([sys.executable, "-c", "while True: pass"], preexec_fn=lambda: os.sched_setaffinity(0, one_cpu))
    try:
        with setting.start("chat", "--json", "--threads", "3") as process:
            for worker in (int(task) for task in os.listdir(f"/proc/{process.pid}/task") if int(task) != process.pid):
                os.sched_setaffinity(worker, one_cpu)
                os.setpriority(os.PRIO_PROCESS, worker, 19)  # a seventieth of the hog's share
            replies = [turn(process, line) for line in lines]
            expect(end(process)[0] == 0 and replies == expected, f"descheduled: {replies}, expected {expected}")
    finally:
        hog.kill()
        hog.wait()


def terminated_perplexity(setting):
    """SIGTERM ends `rill perplexity --state` with what it has scored saved, and without a state with its result."""
    text = os.path.join(setting.folder, "long.txt")
    with open(text, "w") as file:
        file.write("Once upon a time there was a cat. " * 4000)
    for more in (["--state", os.path.join(setting.folder, "scores"), "--state-every", "1000000"], []):
        command = [setting.rill, "perplexity", setting.model, "--file", text, "--window", "60", "--json", *more]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            wait_until(lambda: catches(process, signal.SIGTERM), "it never began", seconds=120)
            before = cpu_seconds(process)
            wait_until(lambda: cpu_seconds(process) > before + 0.2, "it does nothing", seconds=120)
            process.terminate()
            output, errors = process.communicate(timeout=10)
        expect(process.returncode == 1 and "stopped by SIGTERM" in errors, f"exit {process.returncode}: {errors}")
        expect(json.loads(output)["tokens_scored"] > 0, f"{more}: {output}")
        if more:
            expect(os.path.getsize(more[1] + ".nll") == 8 * json.loads(output)["tokens_scored"], "what was scored is saved")


def little(setting):
    """Little of what a process may have: too small a stack, no memory for the program itself: a sentence and exit 1, no
    signal. Output that another program left non-blocking is written whole."""
    def limit(what, size):
        return lambda: resource.setrlimit(what, (size, resource.RLIM_INFINITY))
    command = [setting.rill, "generate", setting.model, "-p", "Once", "-n", "3", "--threads", "1"]
    done = subprocess.run(command, preexec_fn=limit(resource.RLIMIT_STACK, 64 << 10), capture_output=True, text=True)
    expect(done.returncode == 1 and "ulimit -s" in done.stderr, f"a stack of 64 KiB: {done}")
    for kib in range(8 << 10, 48 << 10, 1 << 10):
        done = subprocess.run(command, preexec_fn=limit(resource.RLIMIT_AS, kib << 10), capture_output=True, text=True)
        if "error while loading shared libraries" in done.stderr or not done.stderr and done.returncode == 127:
            continue  # the system's own
        expect(done.returncode in (0, 1, 3) and (done.returncode == 0 or done.stderr.startswith("rill: ")),
               f"{kib} KiB of addresses: {done}")
        expect("quantize" not in done.stderr, f"{kib} KiB of addresses: no fault of the file's: {done}")
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    command = [setting.rill, "tokenize", setting.model, "Once upon a time. " * 2000]
    with subprocess.Popen(command, stdout=writer, stderr=subprocess.PIPE, text=True) as process, os.fdopen(reader) as output:
        os.close(writer)
        time.sleep(0.3)
        read = output.read()
        code, errors = end(process)
    expect(code == 0 and len(read) > 10000, f"non-blocking: exit {code}, {len(read)} characters: {errors}")


def soak_that_measures_nothing(setting):
    """A soak that was ended before it measured, or on a system that does not say what is resident, does not pass; one that
    was ended early says what it did not measure. With --in-ram the model is not in memory twice."""
    with setting.start("soak", "--hours", "1", "--json", "--report-every", "0.1") as process:
        expect(any(line.startswith("soak: ") for line in iter(process.stderr.readline, "")), "no line of its own")
        process.send_signal(signal.SIGINT)
        report = json.loads(process.communicate(timeout=10)[0])
    expect(report["passed"] and report["nll_first_quarter"] > 0 and report["nll_last_quarter"] is None, f"{report}")
    with setting.start("soak", "--hours", "1e-12", "--json") as process:
        report = json.loads(process.communicate(timeout=60)[0])
    expect(process.returncode == 1 and not report["passed"] and report["nll_first_quarter"] is None, f"{report}")
    over = [json.loads(subprocess.run([setting.rill, "soak", setting.model, "--tokens", "300", "--json", *more],
                                      capture_output=True).stdout) for more in ([], ["--in-ram"])]
    over = [report["rss_peak_bytes"] - report["plan_bytes"] for report in over]
    expect(over[1] < over[0] + (1 << 20), f"beside the plan, mapped and in RAM: {over}")


CASES = [sandbox, terminal, soak, soak_of_a_large_session, reader_that_stops, reader_that_goes, terminated, terminated_perplexity,
         little, soak_that_measures_nothing, stopped_and_continued]


if __name__ == "__main__":
    sys.exit(run_cases(CASES, __doc__))
