#!/usr/bin/env python3
"""Talks with `rill voice` over sound devices, at the pace of the world, without a sound card: a PulseAudio server of its own
with two null sinks. What is played into one is the microphone, what comes out of the other is heard.

  tests/voice_pulse.py --rill build/release/rill --model build/models/smollm2-135m-instruct.rill [--turns 10]

Needs the packages of group `sound` (toolchains/install-packages.sh sound) and skips without them. In two of the turns the
next question is asked into the answer, which must then stop. Both monitors are recorded and each piece is stamped when it
arrives, so what is told is what a person would hear, to some 20 ms.
"""

import argparse
import array
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from voice_measure import QUESTIONS, RATE, read_wav

SKIPPED = 77
LOUD = 500
PIECE = RATE // 100

DEVICES = """
pcm.microphone {{ type pulse server "unix:{socket}" device "question.monitor" }}
pcm.loudspeaker {{ type pulse server "unix:{socket}" device "answer" }}
"""


class Ear(threading.Thread):
    """When the monitor of a sink was loud, on the clock of this process."""

    def __init__(self, room, sink):
        super().__init__(daemon=True)
        self.loud = []
        self.process = room.start(["parec", "--raw", "--rate", str(RATE), "--channels", "1", "--format", "s16le",
                                   "--latency-msec", "10", "--device", sink + ".monitor"], stdout=subprocess.PIPE)
        self.start()

    def run(self):
        while piece := self.process.stdout.read(2 * PIECE):
            if len(piece) == 2 * PIECE and max(map(abs, array.array("h", piece))) > LOUD:
                self.loud.append(time.monotonic())

    def first_since(self, moment):
        return next((t for t in self.loud if t >= moment), None)


class Room:
    """The server, and all that runs on it; leaving it ends them."""

    def __init__(self, folder):
        socket = os.path.join(folder, "pulse")
        self.environment = dict(os.environ, HOME=folder, XDG_RUNTIME_DIR=folder, PULSE_RUNTIME_PATH=folder,
                                PULSE_SERVER="unix:" + socket, ALSA_CONFIG_PATH=os.path.join(folder, "asound.conf"))
        with open(os.path.join(folder, "asound.conf"), "w", encoding="ascii") as file:
            file.write(DEVICES.format(socket=socket))
        self.processes = []
        self.start(["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm", "--log-level=error",
                    "-L", f"module-native-protocol-unix socket={socket} auth-anonymous=1",
                    "-L", f"module-null-sink sink_name=question rate={RATE} channels=1",
                    "-L", f"module-null-sink sink_name=answer rate={RATE} channels=1"])
        for _ in range(100):
            if subprocess.run(["pactl", "info"], env=self.environment, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise RuntimeError("the PulseAudio server did not start in 10 s")

    def start(self, command, **keywords):
        self.processes.append(subprocess.Popen(command, env=self.environment, **keywords))
        return self.processes[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            process.wait()


class Talk:
    def __init__(self, arguments, folder, room):
        self.folder, self.room = folder, room
        self.speech = os.path.join(os.path.dirname(arguments.rill), "rill-speech")
        self.question_ear, self.answer_ear = Ear(room, "question"), Ear(room, "answer")
        self.rill = room.start([arguments.rill, "voice", arguments.model, "--json", "--temp", "0", "--window", "508",
                                "-n", "40", "--in", "alsa:microphone", "--out", "alsa:loudspeaker"],
                               stdout=subprocess.PIPE, text=True)
        self.lines, self.state = [], ""
        self.changed = threading.Condition()
        threading.Thread(target=self.read_reports, daemon=True).start()

    def read_reports(self):
        for line in self.rill.stdout:
            with self.changed:
                self.lines.append(json.loads(line))
                self.state = self.lines[-1]["state"]
                self.changed.notify_all()

    def wait_for(self, state, seconds=30):
        with self.changed:
            assert self.changed.wait_for(lambda: self.state == state or self.rill.poll() is not None, seconds), (
                f"not {state} in {seconds} s", self.lines[-3:])
        assert self.rill.poll() is None, "rill ended"

    def ask(self, text):
        """@returns when it began and when it ended, as heard"""
        path = os.path.join(self.folder, "question.wav")
        subprocess.run([self.speech, "--write", path, text], check=True)
        samples = read_wav(path)
        begun = time.monotonic()
        self.room.start(["pacat", "--raw", "--rate", str(RATE), "--channels", "1", "--format", "s16le",
                         "--latency-msec", "20", "--device", "question"], stdin=subprocess.PIPE).communicate(
                             samples.tobytes())
        time.sleep(0.1)
        return self.question_ear.first_since(begun), max(t for t in self.question_ear.loud)

    def answers(self):
        return [line for line in self.lines if "reply" in line]


def converse(talk, turns):
    talk.wait_for("listening", 60)
    time.sleep(1)
    latencies, stops = [], []
    interrupts = {turns // 3, 2 * turns // 3}
    asked_into = False
    for turn in range(turns):
        if not asked_into:
            talk.wait_for("listening")
            time.sleep(0.5)
            _, ended = talk.ask(QUESTIONS[turn % len(QUESTIONS)])
        talk.wait_for("speaking")
        if not asked_into:
            time.sleep(0.3)
            latencies.append(talk.answer_ear.first_since(ended) - ended)
        asked_into = turn in interrupts and turn + 1 < turns
        if asked_into:
            time.sleep(0.5)
            before = len(talk.answers())
            begun, _ = talk.ask(QUESTIONS[(turn + 1) % len(QUESTIONS)])
            last = max(t for t in talk.answer_ear.loud if t < begun + 1.0)
            with talk.changed:
                assert talk.changed.wait_for(lambda: len(talk.answers()) > before, 10), "the answer was not stopped"
            told = talk.answers()[-1]
            if told["spoken"] != told["reply"]:
                stops.append(last - begun)
    talk.wait_for("listening")
    return latencies, stops


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rill", default="build/release/rill")
    parser.add_argument("--model", default="build/models/smollm2-135m-instruct.rill")
    parser.add_argument("--turns", type=int, default=10)
    arguments = parser.parse_args()
    for program in ("pulseaudio", "pactl", "parec", "pacat"):
        if shutil.which(program) is None:
            print(f"skipped: {program} is not installed; toolchains/install-packages.sh sound brings it")
            return SKIPPED
    if not os.path.exists(arguments.model):
        print("skipped: there is no model to talk with")
        return SKIPPED
    arguments.rill, arguments.model = os.path.abspath(arguments.rill), os.path.abspath(arguments.model)
    with tempfile.TemporaryDirectory() as folder, Room(folder) as room:
        talk = Talk(arguments, folder, room)
        latencies, stops = converse(talk, arguments.turns)
        talk.rill.terminate()
        assert talk.rill.wait(10) == 0
    answers = talk.answers()
    for line in answers:
        print(f"  {line['t']:7.2f}  {line['spoken']!r}{'' if line['spoken'] == line['reply'] else '  (interrupted)'}")
    print(f"{len(answers)} answers, {len(stops)} of 2 interruptions stopped one")
    print(f"end of a question to the answer's first loud sample: median {statistics.median(latencies) * 1000:.0f} ms, "
          f"worst {max(latencies) * 1000:.0f} ms")
    told = [line["latency"]["first_sample_s"] for line in answers if "latency" in line]
    print(f"of that by rill's own account, without what the devices keep: median {statistics.median(told) * 1000:.0f} ms")
    print("an interruption's first loud sample to silence: " + ", ".join(f"{stop * 1000:.0f} ms" for stop in stops))
    assert len(answers) == arguments.turns and len(stops) == 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
