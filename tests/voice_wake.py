#!/usr/bin/env python3
"""Wakes `rill voice` by a word: PocketSphinx's search for it, Wyoming services, and strangers in their place.

  tests/voice_wake.py built-in --rill build/release/rill --model build/models/smollm2-135m-instruct.rill
  tests/voice_wake.py service  ...   with the package `wyoming` as the peer; skipped without it
  tests/voice_wake.py hostile  ...

built-in  "hey computer" in flite's voice wakes it; questions before that, and other words, do not; a phrase that the
          dictionary does not have is refused.
service   A service that takes a tone for its word: asked by describe, by the word's name, a connection a stream. One that
          goes away is told of and found again; the question may follow in the same breath; an unknown word is refused.
hostile   Services that answer with garbage, with nothing, half an event, floods, impossible times, or never read: the
          audio's clock goes on, and each fault is a sentence. A speaker that does not end is ended.
"""

import argparse
import array
import asyncio
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from voice_end_to_end import RATE, SKIPPED, Stage, lines_of, read_wav, silence, states_of, write_wav

try:
    from wyoming.asr import Transcribe, Transcript
    from wyoming.audio import AudioChunk, AudioStart, AudioStop
    from wyoming.info import Attribution, Describe, Info, WakeModel, WakeProgram
    from wyoming.server import AsyncEventHandler, AsyncTcpServer
    from wyoming.wake import Detect, Detection, NotDetected
except ImportError:
    AsyncEventHandler = object

RILL = {"name": "Rill", "url": ""}
WAKE_INFO = {"wake": [{"name": "stranger", "attribution": RILL, "installed": True, "models": [
    {"name": "hey_tone_v0.1", "attribution": RILL, "installed": True, "languages": [], "phrase": None}]}]}


def tone(seconds):
    return array.array("h", (int(8000 * math.sin(2 * math.pi * 1000 * i / RATE)) for i in range(int(seconds * RATE))))


def wake_of(lines):
    return [line["wake"] for line in lines if "wake" in line]


def heard_of(lines):
    return [line["heard"] for line in lines if "heard" in line]


def speech(stage, text):
    path = stage.path("words.wav")
    subprocess.run([os.path.join(os.path.dirname(stage.rill), "rill-speech"), "--write", path, text], check=True)
    return read_wav(path)


def test_built_in(stage):
    question = read_wav(stage.question)
    asked = stage.path("asked.wav")
    options = ["--in", asked, "--out", stage.path("answer.wav"), "--wake-part", "pocketsphinx-wake", "--wake"]
    write_wav(asked, silence(0.5) + question + silence(1.5) + speech(stage, "Hey computer!") + silence(1.2) + question +
              silence(6))
    lines = lines_of(stage.talk(*options, "hey computer").stdout)
    assert wake_of(lines) == ["hey computer"], lines
    assert len(heard_of(lines)) == 1 and "capital" in heard_of(lines)[0], heard_of(lines)
    assert states_of(lines) == ["listening", "hearing", "thinking", "speaking", "listening"], lines

    write_wav(asked, silence(0.5) + speech(stage, "The weather is nice, and the car is new.") + silence(1) + question +
              silence(1))
    lines = lines_of(stage.talk(*options, "hey computer").stdout)
    assert not wake_of(lines) and not heard_of(lines), lines

    for phrase, sentence in (("hey xyzzyq", "hey xyzzyq"), ("", "no phrase to listen for")):
        done = subprocess.run(stage.command(*options, phrase), capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 2 and sentence in done.stderr, done
    print("built-in: woken by its phrase, by nothing else")


class ToneService(AsyncEventHandler):
    """Takes 200 ms of 1 kHz for its word, as openWakeWord does: once a stream, whose end closes the connection."""
    names, streams, drops = [], 0, 0

    async def handle_event(self, event):
        if Describe.is_type(event.type):
            us = Attribution("Rill", "")
            model = WakeModel(name="hey_tone_v0.1", attribution=us, installed=True, description=None, version=None,
                              languages=[], phrase=None)
            await self.write_event(Info(wake=[WakeProgram(name="tone", attribution=us, installed=True, description=None,
                                                          version=None, models=[model])]).event())
        elif Detect.is_type(event.type):
            ToneService.names.append(Detect.from_event(event).names)
        elif AudioStart.is_type(event.type):
            start = AudioStart.from_event(event)
            assert (start.rate, start.width, start.channels) == (RATE, 2, 1), start
            ToneService.streams += 1
            self.heard, self.is_done, self.last = 0, False, 0
        elif AudioChunk.is_type(event.type):
            return await self.hear(AudioChunk.from_event(event))
        elif AudioStop.is_type(event.type):
            if not self.is_done:
                await self.write_event(NotDetected().event())
            return False
        return True

    async def hear(self, chunk):
        assert chunk.timestamp is not None and chunk.timestamp >= self.last, (chunk.timestamp, self.last)
        self.last = chunk.timestamp
        samples = array.array("h", chunk.audio)
        crossings = sum(1 for a, b in zip(samples, samples[1:]) if (a < 0) != (b < 0)) / len(samples) * RATE / 2
        is_tone = max(map(abs, samples)) > 4000 and 900 < crossings < 1100
        self.heard = self.heard + len(samples) if is_tone else 0
        if self.heard > RATE // 5 and not self.is_done:
            self.is_done = True
            await asyncio.sleep(0.15)  # a network, a neural net
            await self.write_event(Detection(name="hey_tone_v0.1", timestamp=chunk.timestamp).event())
        if ToneService.drops > 0 and chunk.timestamp > 300:
            ToneService.drops -= 1
            return False
        return True


def test_service(stage):
    port = 20000 + os.getpid() % 20000
    threading.Thread(target=lambda: asyncio.run(AsyncTcpServer("127.0.0.1", port).run(ToneService)), daemon=True).start()
    time.sleep(0.5)
    question = read_wav(stage.question)
    asked = stage.path("asked.wav")
    options = ["--in", asked, "--out", stage.path("answer.wav"), "--wake-part", f"wyoming:127.0.0.1:{port}"]
    ToneService.drops = 1
    write_wav(asked, silence(0.3) + question + silence(1.5) + tone(0.4) + silence(0.8) + question + silence(6))
    done = stage.talk(*options, "--wake", "Hey Tone")
    lines = lines_of(done.stdout)
    assert wake_of(lines) == ["hey_tone_v0.1"] and len(heard_of(lines)) == 1 and "capital" in heard_of(lines)[0], lines
    assert b"wyoming:" in done.stderr and b"started anew" in done.stderr, done.stderr
    assert ToneService.names == [["hey_tone_v0.1"]] * 2 and ToneService.streams == 2, vars(ToneService)

    ToneService.names = []
    write_wav(asked, silence(0.5) + tone(0.4) + question + silence(6))
    lines = lines_of(stage.talk(*options).stdout)
    assert len(wake_of(lines)) == 1 and "capital" in heard_of(lines)[0], lines
    assert ToneService.names == [None], ("without a name any word will do", ToneService.names)

    done = subprocess.run(stage.command(*options, "--wake", "hey other"), capture_output=True, text=True, timeout=60,
                          check=False)
    assert done.returncode == 2 and "hey_tone_v0.1" in done.stderr and "hey other" in done.stderr, done
    print("service: woken by its word, found again, in one breath as well; an unknown word is refused")


def event(kind, data=None, **fields):
    body = json.dumps(data).encode() if data is not None else b""
    return json.dumps({"type": kind, "data_length": len(body), **fields}).encode() + b"\n" + body


def flood(link, what):
    try:
        while True:
            link.sendall(what)
    except OSError:
        pass


# What each does once it is told to detect; whether it is a fault that must be told of.
STRANGERS = {
    "goes away": (lambda link: link.shutdown(socket.SHUT_RDWR), True),
    "talks garbage": (lambda link: link.sendall(b"garbage\n" * 100), True),
    "never ends a line": (lambda link: flood(link, b"x" * 65536), True),
    "claims 2^64 bytes": (lambda link: link.sendall(b'{"type":"detection","data_length":18446744073709551615}\n'), True),
    "sends errors": (lambda link: link.sendall(event("error", {"text": "no such model"})), True),
    "sends half an event": (lambda link: link.sendall(b'{"type":"detec'), False),
    "floods with pongs": (lambda link: flood(link, event("pong", {"text": "y" * 1000}) * 50), False),
    "floods with audio": (lambda link: flood(link, event("audio-chunk", None, payload_length=60000) + bytes(60000)), False),
    "reads nothing": (lambda link: time.sleep(20), False),
}


def kinds_of(link):
    """Which events the program sends, one by one."""
    with link.makefile("rb") as file:
        while line := file.readline():
            head = json.loads(line)
            file.read(head.get("data_length", 0) + head.get("payload_length", 0))
            yield head["type"]


class Stranger:
    """A service for one program after the other that is polite until it is asked to detect."""

    def __init__(self, behave, info=WAKE_INFO):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"wyoming:127.0.0.1:{self.listener.getsockname()[1]}"
        self.behave, self.info, self.connections, self.sentences = behave, info, 0, 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            link, _ = self.listener.accept()
            self.connections += 1
            threading.Thread(target=self.talk, args=(link,), daemon=True).start()

    def talk(self, link):
        with suppress(OSError, ValueError), link:
            for kind in kinds_of(link):
                if kind == "describe":
                    link.sendall(event("info", self.info))
                if kind == "audio-start":
                    self.behave(link)
                if kind == "synthesize":
                    self.speak(link)

    def speak(self, link):
        """The first sentence as it should be, the second without an end."""
        second = event("audio-chunk", {"rate": RATE, "width": 2, "channels": 1}, payload_length=2 * RATE) + tone(1).tobytes()
        link.sendall(event("audio-start", {"rate": RATE, "width": 2, "channels": 1}) + second)
        self.sentences += 1
        if self.sentences > 1:
            flood(link, second)
        link.sendall(event("audio-stop"))


class EndlessRecognizer(Stranger):
    """A recogniser that answers the first utterance as it should, which is the one at the start, and no other ever."""

    def __init__(self, what):
        self.what, self.utterances = what, 0
        super().__init__(None)

    def talk(self, link):
        with suppress(OSError, ValueError), link:
            for kind in kinds_of(link):
                if kind != "audio-stop":
                    continue
                self.utterances += 1
                if self.utterances > 1:
                    link.sendall(event("transcript-start"))
                    flood(link, self.what)
                link.sendall(event("transcript", {"text": "hello"}))


def test_hostile(stage):
    asked = stage.path("asked.wav")
    write_wav(asked, silence(0.3) + read_wav(stage.question) + silence(2))

    def run(stranger):
        answer = stage.path(f"answer-{stranger.address.rpartition(':')[2]}.wav")
        return subprocess.run(stage.command("--in", asked, "--out", answer, "--wake-part", stranger.address),
                              capture_output=True, text=True, timeout=120, check=False)

    def meet(name):
        behave, is_fault = STRANGERS[name]
        stranger = Stranger(behave)
        done = run(stranger)
        assert done.returncode == 0, (name, done)
        lines = lines_of(done.stdout)
        assert not wake_of(lines) and not heard_of(lines), (name, lines)
        assert ("started anew" in done.stderr) == is_fault, (name, done.stderr)
        assert stranger.connections < 12, (name, stranger.connections)  # 2.8 s at 100, 200, 400, ... ms
        print(f"  {name}: {stranger.connections} connections, {done.stderr.splitlines()[:1]}")

    def detect_at(at):
        done = run(Stranger(lambda link: link.sendall(event("detection", {"name": 5, "timestamp": at}) * 3)))
        assert done.returncode == 0 and wake_of(lines_of(done.stdout)) == [""], (at, done)

    def tell(info):
        done = run(Stranger(lambda link: None, info))
        assert done.returncode == 1 and "tells of no wake word" in done.stderr, (info, done)

    with ThreadPoolExecutor(max_workers=4) as together:  # each waits for its audio's clock
        for _ in together.map(lambda case: case[0](case[1]), [
                *((meet, name) for name in STRANGERS),
                *((detect_at, at) for at in (-1, 2**63, 2**64 - 1, 1e300, "now", None, [1])),
                *((tell, info) for info in ({}, {"wake": 3}, {"wake": [3, {}, {"models": 1}, {"models": [1, {"name": 2}]}]}))]):
            pass
    for what, fault in ((event("transcript-start") * 1000, ""),
                        (event("transcript-chunk", {"text": "x" * 60000}), "a transcript that does not end")):
        endless = EndlessRecognizer(what)
        process = subprocess.Popen(stage.command("--in", asked, "--out", stage.path("answer.wav"), "--recognizer",
                                                 endless.address), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                   text=True)
        deadline = time.monotonic() + 30
        while endless.utterances < 2 and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(2)
        begin = time.monotonic()
        process.terminate()
        _, errors = process.communicate(timeout=20)
        taken = time.monotonic() - begin
        assert endless.utterances >= 2 and process.returncode == 0 and taken < 5 and fault in errors, (taken, errors)
    endless = Stranger(lambda link: None)
    done = subprocess.run(stage.command("--in", asked, "--out", stage.path("answer.wav"), "--speaker", endless.address),
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "about one sentence" in done.stderr, done
    print("hostile: every stranger was survived")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("built-in", "service", "hostile"))
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
    if arguments.what == "service" and AsyncEventHandler is object:
        print("skipped: the Python package `wyoming` is not here (toolchains/fetch-wyoming.sh)")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        {"built-in": test_built_in, "service": test_service, "hostile": test_hostile}[arguments.what](
            Stage(arguments, folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
