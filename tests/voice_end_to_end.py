#!/usr/bin/env python3
"""Speaks with `rill voice` through WAV files, and with Wyoming services in the place of its parts.

  tests/voice_end_to_end.py --rill build/release/rill --model build/models/smollm2-135m-instruct.rill

1. A question that flite asks is answered in a WAV file that can be heard, and in raw samples through pipes.
2. Speech over an answer stops it: silence within 200 ms of the audio; the conversation keeps a part of the reply.
3. The recogniser's process is killed while it works: the loop says so and answers the next question.
4. Hostile WAV files are refused in a sentence, exit 4; a budget that the voice does not fit into, exit 3.
5. ALSA's file and null plugins in the place of a sound card; skipped where the build has no ALSA.
6. On a terminal, the space bar begins and ends a question, and the level is shown; without one, both are off.
7. `rill plan --voice` plans what `rill voice` then says that it takes.
8. Wyoming services (the package `wyoming` as the peer, where it is installed) hear and speak instead of the built-in.
"""

import argparse
import array
import asyncio
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import wave

RATE = 16000
SKIPPED = 77


def read_wav(path):
    with wave.open(path, "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2), file.getparams()
        return array.array("h", file.readframes(file.getnframes()))


def write_wav(path, samples):
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def silence(seconds):
    return array.array("h", bytes(int(seconds * RATE) * 2))


def loudness(samples):
    return (sum(s * s for s in samples) / max(len(samples), 1)) ** 0.5


class Stage:
    def __init__(self, arguments, folder):
        self.rill, self.model, self.folder = arguments.rill, arguments.model, folder
        self.question = self.path("question.wav")
        speech = os.path.join(os.path.dirname(arguments.rill), "rill-speech")
        subprocess.run([speech, "--write", self.question, "What is the capital of France?"], check=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def command(self, *options):
        return [self.rill, "voice", self.model, "--temp", "0", "--window", "508", "--json", *options]

    def talk(self, *options, **keywords):
        done = subprocess.run(self.command(*options), capture_output=True, timeout=240, **keywords)
        assert done.returncode == 0, done.stderr
        return done


def lines_of(output):
    return [json.loads(line) for line in output.splitlines()]


def states_of(lines):
    states = []
    for line in lines:
        if not states or states[-1] != line["state"]:
            states.append(line["state"])
    return states


def test_question(stage):
    out = stage.path("answer.wav")
    lines = lines_of(stage.talk("--in", stage.question, "--out", out).stdout)
    assert states_of(lines) == ["listening", "hearing", "thinking", "speaking", "listening"], lines
    heard = next(line["heard"] for line in lines if "heard" in line)
    assert "capital" in heard, heard
    turn = next(line for line in lines if "reply" in line)
    assert turn["spoken"] == turn["reply"] != "", turn
    answer = read_wav(out)
    assert len(answer) > RATE / 2 and loudness(answer) > 300, "the answer cannot be heard"
    raw = stage.talk("--in", "-", "--out", "-", "--speaker", "espeak-ng",
                     input=(read_wav(stage.question) + silence(1)).tobytes())
    again = lines_of(raw.stderr)
    assert next(line["heard"] for line in again if "heard" in line) == heard, again
    assert loudness(array.array("h", raw.stdout)) > 100
    print("question:", heard, "->", turn["reply"], turn["latency"])


def test_interruption(stage):
    """Sample-exact: the clock is the files', which stands still while somebody is waited for."""
    question = read_wav(stage.question)
    asked = stage.path("asked.wav")
    write_wav(asked, question + silence(1.5))
    lines = lines_of(stage.talk("--in", asked, "--out", stage.path("a.wav")).stdout)
    begins = next(line["t"] for line in lines if line["state"] == "speaking")
    whole = read_wav(stage.path("a.wav"))
    assert len(whole) / RATE > 1.2, "the answer is too short to be interrupted"

    onset = begins + 0.7
    first = next(i for i, s in enumerate(question) if abs(s) > 1000)
    pause = silence(onset - len(question) / RATE - first / RATE)
    write_wav(asked, question + pause + question + silence(4))
    lines = lines_of(stage.talk("--in", asked, "--out", stage.path("b.wav")).stdout)
    turns = [line for line in lines if "spoken" in line]
    assert len(turns) == 2 and turns[1]["spoken"] == turns[1]["reply"], turns
    assert turns[0]["reply"].startswith(turns[0]["spoken"]) and turns[0]["spoken"] != turns[0]["reply"], turns[0]
    both = read_wav(stage.path("b.wav"))  # the first answer until it was cut, then the second
    cut = next(i for i, (left, right) in enumerate(zip(whole, both)) if left != right) / RATE
    latency = cut - (onset - begins)
    print(f"interruption: the reply stopped {latency * 1000:.0f} ms after the speech began; said: {turns[0]['spoken']!r}")
    assert 0 <= latency < 0.2, latency


def children(process):
    with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def test_crash(stage):
    two = stage.path("two.wav")
    question = read_wav(stage.question)
    write_wav(two, question + silence(6) + question + silence(1))
    process = subprocess.Popen(stage.command("--in", two, "--out", stage.path("c.wav"), "--paced"),
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if lines[-1]["state"] == "hearing" and sum(one["state"] == "hearing" for one in lines) == 1:
            for child in children(process.pid):
                with open(f"/proc/{child}/cmdline", encoding="ascii") as file:
                    if "pocketsphinx" in file.read():
                        os.kill(child, signal.SIGKILL)
    errors = process.stderr.read()
    assert process.wait() == 0 and "pocketsphinx: " in errors and "it is started anew" in errors, errors
    heard = [line["heard"] for line in lines if "heard" in line]
    assert heard[0] == "" and "capital" in heard[-1], heard
    print("crash:", errors.strip())


def test_refusals(stage):
    bad = stage.path("bad.wav")
    head = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0"
    for content in (b"", b"RIFF", b"x" * 1000, head, head + struct.pack("<HHIIHH", 1, 1, 0, 0, 2, 16) + b"data\0\0\0\0",
                    head + struct.pack("<HHIIHH", 85, 1, 16000, 0, 2, 16) + b"data\0\0\0\0"):
        with open(bad, "wb") as file:
            file.write(content)
        done = subprocess.run(stage.command("--in", bad, "--out", stage.path("d.wav")), capture_output=True, text=True,
                              timeout=60)
        assert done.returncode == 4 and bad in done.stderr, done
    done = subprocess.run(stage.command("--in", stage.question, "--out", stage.path("d.wav"), "--budget", "400M"),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 3 and "recognizer" in done.stderr, done
    print("refusals: bad files and a small budget are refused in a sentence")


def test_alsa(stage):
    said, heard, devices = stage.path("said.raw"), stage.path("heard.raw"), stage.path("asound.conf")
    with open(said, "wb") as file:
        file.write((read_wav(stage.question) + silence(10)).tobytes())
    with open(devices, "w", encoding="utf-8") as file:
        file.write(f"""
pcm.microphone {{ type file slave.pcm {{ type null }} file "/dev/null" infile "{said}" format "raw" }}
pcm.loudspeaker {{ type file slave.pcm {{ type null }} file "{heard}" format "raw" }}
""")
    # The null plugin has no clock, --paced is one.
    done = subprocess.run(stage.command("--in", "alsa:microphone", "--out", "alsa:loudspeaker", "--paced", "--idle", "3"),
                          env=dict(os.environ, ALSA_CONFIG_PATH=devices), capture_output=True, timeout=120, check=False)
    if b"has no sound devices" in done.stderr:
        print("alsa: skipped, this build has no ALSA")
        return
    assert done.returncode == 0, done.stderr
    lines = lines_of(done.stdout)
    assert states_of(lines) == ["listening", "hearing", "thinking", "speaking", "listening"], lines
    assert "capital" in next(line["heard"] for line in lines if "heard" in line), lines
    with open(heard, "rb") as file:
        answer = array.array("h", file.read())
    speaks = int(next(line["t"] for line in lines if line["state"] == "speaking") * RATE)
    assert loudness(answer[:speaks - RATE // 10]) == 0, "silence until it speaks"
    assert loudness(answer[speaks:speaks + RATE]) > 300, "the answer cannot be heard"
    gone = subprocess.run(stage.command("--in", "alsa:nowhere", "--out", stage.path("f.wav")),
                          env=dict(os.environ, ALSA_CONFIG_PATH=devices), capture_output=True, timeout=60, check=False)
    assert gone.returncode == 1 and b"alsa:nowhere: the sound device cannot be used" in gone.stderr, gone.stderr
    print(f"alsa: {len(answer) / RATE:.1f} s played into a file")


def test_terminal(stage):
    asked = stage.path("asked.wav")
    write_wav(asked, silence(1) + read_wav(stage.question) + silence(8))
    ours, theirs = pty.openpty()
    command = [word for word in stage.command("--in", asked, "--out", stage.path("g.wav"), "--push-to-talk", "--idle", "4")
               if word != "--json"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=dict(os.environ, TERM="xterm"))
    os.close(theirs)
    shown, presses = b"", [(b"listening ", 0.2), (b"hearing #", 3.0)]
    while True:
        try:
            shown += os.read(ours, 4096)
        except OSError:  # what a terminal without anybody at its other side answers
            break
        if presses and presses[0][0] in shown:
            time.sleep(presses.pop(0)[1])
            os.write(ours, b" ")
    assert process.wait(30) == 0, shown
    text = shown.decode()
    assert "capital" in text and "[speaking]" in text, text
    assert "audio rings" in text and " dB" in text, text
    os.close(ours)
    refused = subprocess.run([*command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2 and "no terminal" in refused.stderr, refused
    piped = subprocess.run([word for word in command if word != "--push-to-talk"], stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, timeout=120, check=False)
    assert piped.returncode == 0 and "[speaking]" in piped.stdout and "dB" not in piped.stdout + piped.stderr, piped
    print("terminal: asked by a key, level shown; neither in a pipe")


def test_plan(stage):
    taken = lines_of(stage.talk("--in", stage.question, "--out", stage.path("h.wav")).stdout)[0]["items"]

    def plan(*options):
        return subprocess.run([stage.rill, "plan", stage.model, "--window", "508", "--voice", *options],
                              capture_output=True, text=True, timeout=60, check=False)

    planned = json.loads(plan("--json").stdout)
    assert planned["besides"] == [{"name": item["name"], "bytes": item["bytes"]} for item in taken[1:]], (planned, taken)
    total = planned["total_bytes"]
    assert total == sum(item["bytes"] for item in taken), (total, taken)
    assert plan("--budget", str(total)).returncode == 0
    tight = plan("--budget", "600000000")  # no chunk is small enough for that
    assert tight.returncode == 3 and "speaker, at most" in tight.stdout and "600000000" in tight.stderr, tight
    print(f"plan: {total} bytes, as taken")


def test_wyoming_parts(stage):
    try:
        from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
        from wyoming.audio import AudioChunk, AudioStart, AudioStop
        from wyoming.server import AsyncEventHandler, AsyncTcpServer
        from wyoming.tts import Synthesize
    except ImportError:
        print("wyoming parts: skipped, the Python package `wyoming` is not here")
        return

    seen = {"audio": 0, "heard": 0, "said": [], "closes": False, "delay": 0}

    class Service(AsyncEventHandler):
        async def handle_event(self, event):
            if Transcribe.is_type(event.type):
                seen["audio"] = 0
            elif AudioChunk.is_type(event.type):
                seen["audio"] += AudioChunk.from_event(event).samples
            elif AudioStop.is_type(event.type):
                seen["heard"] += 1
                await asyncio.sleep(seen["delay"])
                if seen["heard"] > 1:  # a streaming service, whose first answer to a question leaves the whole out
                    await self.write_event(TranscriptStart().event())
                    await self.write_event(TranscriptChunk("Say hello ").event())
                    await self.write_event(TranscriptChunk("to Wyoming.").event())
                if seen["heard"] != 2:
                    await self.write_event(Transcript("Say hello to Wyoming.").event())
                await self.write_event(TranscriptStop().event())
                return not seen["closes"]  # after each transcript, as wyoming-faster-whisper
            elif Synthesize.is_type(event.type):
                seen["said"].append(Synthesize.from_event(event).text)
                await self.write_event(AudioStart(22050, 2, 1).event())
                second = struct.pack("<h", 5000) * 22050
                for begin in range(0, len(second), 4409):  # in pieces that end within a sample
                    await self.write_event(AudioChunk(22050, 2, 1, second[begin:begin + 4409]).event())
                await self.write_event(AudioStop().event())
                return not seen["closes"]
            return True

    port = 20000 + os.getpid() % 20000

    def serve():
        asyncio.run(AsyncTcpServer("127.0.0.1", port).run(Service))

    threading.Thread(target=serve, daemon=True).start()
    time.sleep(0.5)
    out = stage.path("e.wav")
    address = f"wyoming:127.0.0.1:{port}"
    twice = stage.path("twice.wav")
    write_wav(twice, read_wav(stage.question) + silence(15) + read_wav(stage.question) + silence(1))
    for seen["closes"] in (False, True):
        seen.update(heard=0, said=[])
        lines = lines_of(stage.talk("--in", twice, "--out", out, "--recognizer", address, "--speaker", address).stdout)
        assert [line["heard"] for line in lines if "heard" in line] == ["Say hello to Wyoming."] * 2, lines
        assert seen["audio"] > RATE and len(seen["said"]) > 1, seen
        samples = read_wav(out)
        sentences = len(seen["said"]) - 1  # the first one only warmed it up
        assert abs(len(samples) / RATE - sentences) < 0.1 * sentences, (len(samples), seen)
        assert max(samples) < 6000 and min(samples) > -1000, "the samples were taken apart"
        assert all(line["latency"]["speaker_s"] >= 0 for line in lines if line.get("latency")), lines
        print(f"wyoming parts: heard {seen['audio']} samples, said {seen['said'][1:]}")
    # A service that takes so long that the next question is no longer there to be given to it: that question had no end.
    seen.update(heard=0, said=[], closes=False, delay=3)
    late = read_wav(stage.question) + silence(1) + read_wav(stage.question) + silence(60)
    lines = lines_of(stage.talk("--in", "-", "--out", out, "--recognizer", address, "--speaker", address,
                                input=late.tobytes()).stdout)
    assert seen["heard"] >= 1 and states_of(lines)[-1] == "listening", lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rill", required=True)
    parser.add_argument("--model", required=True)
    arguments = parser.parse_args()
    if not os.path.exists(arguments.model):
        print("skipped: there is no model to talk with")
        return SKIPPED
    parts = subprocess.run([os.path.join(os.path.dirname(arguments.rill), "rill-speech"), "--list"],
                           capture_output=True, text=True, check=True).stdout.split()
    if "flite" not in parts or "pocketsphinx" not in parts:
        print("skipped: this build has no flite or no pocketsphinx")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(arguments, folder)
        for test in (test_question, test_interruption, test_crash, test_refusals, test_alsa, test_terminal, test_plan,
                     test_wyoming_parts):
            test(stage)
    return 0


if __name__ == "__main__":
    sys.exit(main())
