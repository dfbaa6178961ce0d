#!/usr/bin/env python3
"""Measures the voice: README's figures ("Talk to it"). Nothing is asserted; an idle machine gives the best ones.

  tests/voice_measure.py --rill build/release/rill --model build/models/smollm2-135m-instruct.rill [--trials 100]

latency   paced: from the end of a question to the first sample of its answer, median and 95th percentile, by part
barge-in  on the audio's own clock: from the first loud sample of the interruption to the last frame of the reply
memory    the most that each process had resident
words     word error rate of the recogniser on clips of flite and espeak-ng, clean and with white noise
answers   how many answers to the same clips have a word that a right one has, and to the same questions typed
--soak S  instead of these: S seconds of conversation on the audio's own clock, every fourth question asked into an answer;
          the resident memory of every process after each tenth of it
"""

import argparse
import array
import json
import os
import random
import re
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
import wave

RATE = 16000
# Each with what an answer that is about it has in it: relevance, not truth, as far as a pattern can tell.
ASKED = {"What is the capital of France?": "paris", "How many days are in a week?": "seven|7", "Tell me about the moon.": "moon",
         "What do cows drink?": "milk|water|grass", "Who wrote Romeo and Juliet?": "shakespeare",
         "What color is the sky?": "blue|sky", "How do I boil an egg?": "egg|boil|water",
         "What is the largest ocean?": "pacific|ocean", "Why do birds sing?": "bird|sing|song|mate",
         "Can you help me sleep?": "sleep|relax|bed|rest",
         "What should I have for dinner?": "dinner|eat|food|chicken|salad|meal|recipe|pasta",
         "How far away is the sun?": "mile|kilomet|light|sun"}
QUESTIONS = list(ASKED)
SYSTEM = ("You are a helpful voice assistant. Everything you say is read aloud. Answer in one or two short sentences of "
          "plain words, without lists.")
VOICES = ["flite slt", "espeak-ng en-us", "espeak-ng en-gb", "espeak-ng en-us+f3"]


def read_wav(path):
    with wave.open(path, "rb") as file:
        samples = array.array("h", file.readframes(file.getnframes()))
        rate = file.getframerate()
    if rate == RATE:
        return samples
    out = array.array("h")  # linear: good enough for a clip that a recogniser with 6.8 kHz hears
    for i in range(len(samples) * RATE // rate):
        x = i * rate / RATE
        left = int(x)
        right = samples[min(left + 1, len(samples) - 1)]
        out.append(int(samples[left] + (right - samples[left]) * (x - left)))
    return out


def write_wav(path, samples):
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def silence(seconds):
    return array.array("h", bytes(int(seconds * RATE) * 2))


class Measure:
    def __init__(self, arguments, folder):
        self.arguments, self.folder = arguments, folder
        self.speech = os.path.join(os.path.dirname(arguments.rill), "rill-speech")
        self.chance = random.Random(1)

    def path(self, name):
        return os.path.join(self.folder, name)

    def clip(self, text, voice="flite slt"):
        out = self.path("clip.wav")
        engine, name = voice.split()
        if engine == "flite":
            subprocess.run([self.speech, "--write", out, text], check=True)
        else:
            subprocess.run(["espeak-ng", "-v", name, "-w", out, text], check=True)
        return read_wav(out)

    def talk(self, samples, *options):
        """@returns the reports, and the most resident kilobytes of each process"""
        write_wav(self.path("in.wav"), samples)
        process = subprocess.Popen([self.arguments.rill, "voice", self.arguments.model, "--json", "--temp", "0",
                                    "--window", "508", "--in", self.path("in.wav"), "--out", self.path("out.wav"), *options],
                                   stdout=subprocess.PIPE, text=True)
        lines, memory = [], {}
        for line in process.stdout:
            lines.append(json.loads(line))
            if len(lines) % 5 == 0:
                self.look_at_memory(process.pid, memory)
        assert process.wait() == 0
        return lines, memory

    @staticmethod
    def look_at_memory(parent, memory):
        try:
            with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
                processes = [parent, *map(int, file.read().split())]
            for process in processes:
                with open(f"/proc/{process}/cmdline", encoding="ascii") as file:
                    name = " ".join(file.read().split("\0")[:2])
                name = "rill" if process == parent else name
                with open(f"/proc/{process}/status", encoding="ascii") as file:
                    peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
                memory[name] = max(peak, memory.get(name, 0))
        except (OSError, StopIteration):
            pass  # one of them has just ended

    def latency(self, count, *options):
        samples = array.array("h")
        for i in range(count):
            samples += self.clip(QUESTIONS[i % len(QUESTIONS)]) + silence(9)
        lines, memory = self.talk(samples, "--paced", "-n", "40", *options)
        found = [line["latency"] for line in lines if "latency" in line]
        print(f"latency{' '.join(('', *options))}: {len(found)} answers of {count} questions, seconds")
        for part in found[0]:
            values = sorted(one[part] for one in found)
            print(f"  {part:15} median {statistics.median(values):.3f}  p95 {values[int(0.95 * (len(values) - 1) + 0.5)]:.3f}")
        print("memory: " + ", ".join(f"{name} {peak / 1024:.0f} MiB" for name, peak in memory.items()))

    def barge_in(self, count):
        samples = array.array("h")
        onsets = []
        for i in range(count + 1):
            clip = self.clip(QUESTIONS[i % len(QUESTIONS)])
            onsets.append((len(samples) + next(k for k, s in enumerate(clip) if abs(s) > 500)) / RATE)
            samples += clip + silence(self.chance.uniform(0.9, 1.6))
        lines, _ = self.talk(samples)
        found, state = [], ""
        for line in lines:
            if "heard" in line or "reply" in line:
                continue
            if line["state"] == "hearing" and state == "speaking":
                found.append(min((line["t"] - onset for onset in onsets if line["t"] >= onset), default=0) * 1000)
            state = line["state"]
        found.sort()
        print(f"barge-in: {len(found)} of {count} questions met a reply; milliseconds to silence: median "
              f"{statistics.median(found):.0f}, p95 {found[int(0.95 * (len(found) - 1))]:.0f}, worst {found[-1]:.0f}")

    def soak(self, seconds):
        """The questions come through a pipe, so that hours of them need no disk."""
        clips = [self.clip(text) for text in QUESTIONS]
        pipe = self.path("in.wav")
        os.mkfifo(pipe)
        process = subprocess.Popen([self.arguments.rill, "voice", self.arguments.model, "--json", "--temp", "0",
                                    "--window", "508", "--in", pipe, "--out", "/dev/null"],
                                   stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.keep_asking, args=(pipe, clips, seconds), daemon=True).start()
        begun, answers, interrupted, table = time.monotonic(), 0, 0, []
        for line in map(json.loads, process.stdout):
            answers += "reply" in line
            interrupted += "reply" in line and line["reply"] != line["spoken"]
            # The first look is after a minute of talk, when everything has been used once.
            if line["t"] >= 60 + len(table) * (seconds - 60) / 10:
                table.append((line["t"], resident(process.pid)))
        assert process.wait() == 0
        print(f"soak: {line['t']:.0f} s of audio in {time.monotonic() - begun:.0f} s, {answers} answers, {interrupted} "
              "interrupted; resident KiB:")
        for t, memory in table:
            print(f"  {t:7.0f} s  " + "  ".join(f"{name} {size}" for name, size in sorted(memory.items())))

    def keep_asking(self, pipe, clips, seconds):
        with open(pipe, "wb") as file:
            file.write(b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, 2 * RATE, 2, 16) + b"data\0\0\0\0")
            written, asked = 0, 0
            while written < seconds * RATE:
                samples = clips[asked % len(clips)] + silence(1.2 if asked % 4 == 3 else self.chance.uniform(6, 10))
                file.write(samples.tobytes())
                written += len(samples)
                asked += 1

    def recognize(self, link, samples):
        def send(kind, payload=b""):
            link.sendall(json.dumps({"type": kind, "payload_length": len(payload)}).encode() + b"\n" + payload)
        send("audio-start")
        for i in range(0, len(samples), 3200):
            send("audio-chunk", samples[i:i + 3200].tobytes())
        send("audio-stop")
        head, rest = b"", b""
        while b"\n" not in head:
            head += link.recv(4096)
        head, rest = head.split(b"\n", 1)
        length = json.loads(head)["data_length"]
        while len(rest) < length:
            rest += link.recv(4096)
        return json.loads(rest)["text"]

    def words(self):
        ours, theirs = socket.socketpair()
        process = subprocess.Popen([self.speech, "pocketsphinx"], stdin=theirs)
        theirs.close()
        print("words: error rate of pocketsphinx, " + str(len(QUESTIONS)) + " questions a voice")
        for voice in VOICES:
            clips = [silence(0.3) + self.clip(text, voice) + silence(0.3) for text in QUESTIONS]
            rates = []
            for noise in (None, 20, 10):
                errors = total = 0
                for text, clip in zip(QUESTIONS, clips):
                    said = re.sub(r"[^a-z ]", "", text.lower()).split()
                    errors += distance(said, self.recognize(ours, self.noisy(clip, noise)).split())
                    total += len(said)
                rates.append(errors / total)
            print(f"  {voice:20} clean {rates[0]:.0%}, 20 dB {rates[1]:.0%}, 10 dB {rates[2]:.0%}")
        ours.close()
        process.wait()

    def answers(self):
        def relevant(replies):
            return sum(bool(re.search(ASKED[text], reply.lower())) for text, reply in replies.items())

        typed = subprocess.run([self.arguments.rill, "chat", self.arguments.model, "--json", "--temp", "0", "--window", "508",
                                "--system", SYSTEM, "-n", "40"], input="\n".join(QUESTIONS), capture_output=True, text=True,
                               check=True).stdout
        replies = (json.loads(line)["reply"] for line in typed.splitlines() if "reply" in line)
        print(f"answers: about the question, of {len(QUESTIONS)}: typed {relevant(dict(zip(QUESTIONS, replies)))}")
        for voice in VOICES:
            clips = [self.clip(text, voice) for text in QUESTIONS]
            counts = [relevant(self.replies(clips, noise)) for noise in (None, 20, 10)]
            print(f"  {voice:20} clean {counts[0]}, 20 dB {counts[1]}, 10 dB {counts[2]}")

    def replies(self, clips, noise):
        """@returns the last reply to each question that had one"""
        samples, ends, replies = array.array("h"), [], {}
        for clip in clips:
            samples += silence(0.5) + self.noisy(clip, noise) + silence(15)
            ends.append(len(samples) / RATE)
        for line in self.talk(samples, "--system", SYSTEM, "-n", "40")[0]:
            if line.get("reply"):
                replies[QUESTIONS[next((i for i, end in enumerate(ends) if line["t"] < end), -1)]] = line["reply"]
        return replies

    def noisy(self, samples, decibels):
        if decibels is None:
            return samples
        power = sum(s * s for s in samples) / len(samples)
        deviation = (power / 10 ** (decibels / 10)) ** 0.5
        return array.array("h", (max(-32768, min(32767, int(s + self.chance.gauss(0, deviation)))) for s in samples))


def resident(parent):
    """@returns the resident kibibytes of a process and its children, by name"""
    processes = [parent]
    for thread in os.listdir(f"/proc/{parent}/task"):  # the mouth's thread starts the speaker anew after a barge-in
        with open(f"/proc/{parent}/task/{thread}/children", encoding="ascii") as file:
            processes += map(int, file.read().split())
    memory = {}
    for process in processes:
        with open(f"/proc/{process}/cmdline", encoding="ascii") as file:
            words = file.read().split("\0")
        name = "rill" if process == parent else words[1]
        with open(f"/proc/{process}/status", encoding="ascii") as file:
            memory[name] = next((int(line.split()[1]) for line in file if line.startswith("VmRSS")), 0)
    return memory


def distance(a, b):
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rill", default="build/release/rill")
    parser.add_argument("--model", default="build/models/smollm2-135m-instruct.rill")
    parser.add_argument("--trials", type=int, default=100, help="of barge-in")
    parser.add_argument("--questions", type=int, default=12, help="of latency")
    parser.add_argument("--soak", type=float, metavar="S", help="seconds of conversation, instead of all else")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure = Measure(arguments, folder)
        if arguments.soak:
            measure.soak(arguments.soak)
            return
        measure.latency(arguments.questions)
        measure.latency(arguments.questions, "--no-guess")
        measure.barge_in(arguments.trials)
        measure.words()
        measure.answers()


if __name__ == "__main__":
    main()
