#!/usr/bin/env python3
"""Talks to `rill wyoming` as voice assistants do, and as strangers do; any failure names what it tried.

  tests/wyoming_server.py client  --rill build/release/rill --model build/models/smollm2-135m-instruct.rill
  tests/wyoming_server.py hostile --rill build/release/rill --checkpoint stories260K.bin --tokenizer tok512.model

client   With the `wyoming` package as the peer: describe, ping, transcript whole and in chunks,
         the conversation id, one connection too many, SIGTERM in the middle of a reply. Skipped without the package.
hostile  With sockets: headers that lie about sizes, that are no JSON, that never end, random bytes, clients that go
         away in the middle of everything; after each the server answers a ping, and its memory has not grown.
"""

import argparse
import json
import os
import random
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

from process_setting import is_sanitized, make_model

try:
    from wyoming.asr import Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
    from wyoming.event import Event, read_event, write_event
    from wyoming.handle import Handled, HandledChunk, HandledStart, HandledStop, NotHandled
    from wyoming.info import Describe, Info
    from wyoming.ping import Ping, Pong
except ImportError:
    Event = None

SKIPPED = 77


def limit_stack():
    """To what a small board may give: recursion that a stranger can drive has to show."""
    resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))


class Server:
    def __init__(self, arguments, model, *options, errors=None):
        self.errors = errors
        command = [arguments.rill, "wyoming", model, "--port", "0", "--json", "--temp", "0", "--threads", "1", "-n",
                   "24", "--window", "252", *options]
        first_line = self.start(command + (["--sandbox"] if arguments.sandbox else []))
        if not first_line and arguments.sandbox and self.process.wait() == 1:
            print("no sandbox on this system: without it")
            arguments.sandbox = False
            first_line = self.start(command)
        self.host, port = json.loads(first_line)["listening"].rsplit(":", 1)
        self.port = int(port)
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            assert not arguments.sandbox or "Seccomp:\t2\n" in status.read(), "the server is not filtered"

    def start(self, command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True,
                                        preexec_fn=limit_stack)
        return self.process.stdout.readline()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.end()

    def connect(self):
        connection = socket.create_connection((self.host, self.port), timeout=120)
        return connection

    def resident_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))  # weights are mapped

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            user, system = stat.read().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(timeout=30) == 0, f"exit code {self.process.returncode} after SIGTERM"


class Client:
    """One connection, with the package's own reader and writer."""

    def __init__(self, server):
        self.socket = server.connect()
        self.file = self.socket.makefile("rwb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()
        self.socket.close()

    def write(self, part):
        write_event(part.event(), self.file)

    def read(self, kind):
        event = read_event(self.file)
        assert event is not None and kind.is_type(event.type), f"{event} instead of {kind.__name__}"
        return kind.from_event(event)

    def reply(self):
        """The streamed reply, which must be the whole one as well. @returns text, context"""
        start = self.read(HandledStart)
        chunks = []
        while True:
            event = read_event(self.file)
            if not HandledChunk.is_type(event.type):
                break
            chunks.append(HandledChunk.from_event(event).text)
        assert Handled.is_type(event.type), event
        whole = Handled.from_event(event)
        self.read(HandledStop)
        assert "".join(chunks) == whole.text and len(chunks) > 1, (chunks, whole)
        assert start.context == whole.context, (start, whole)
        return whole.text, whole.context

    def ask(self, text, conversation=None):
        self.write(Transcript(text, context={"conversation_id": conversation} if conversation else None))
        return self.reply()


def test_client(arguments, model):
    first, second = "My dog is called Rex.", "What is my dog called?"
    with Server(arguments, model, "--sessions", "2") as server:
        with Client(server) as a:
            a.write(Describe())
            info = a.read(Info)
            assert info.handle[0].name == "rill" and info.handle[0].installed, info
            assert info.handle[0].supports_handled_streaming and info.handle[0].models[0].languages == ["en"], info
            a.write(Ping(text="are you there?"))
            assert a.read(Pong).text == "are you there?"
            a.write(Ping())
            assert a.read(Pong).text is None
            write_event(Event("from-a-newer-protocol", {"x": 1}, b"payload"), a.file)  # dropped, as the protocol has it

            one = a.ask(first)[0]
            two = a.ask(second)[0]  # on the same connection: the same conversation

            a.write(Transcript(" "))
            assert "nothing" in a.read(NotHandled).text
        # By id: over two connections, with the same replies; the context comes back.
        for text, expected in ((first, one), (second, two)):
            with Client(server) as a:
                reply = a.ask(text, "kitchen")
                assert reply == (expected, {"conversation_id": "kitchen"}), (reply, expected)
        with Client(server) as a:
            anew, _ = a.ask(second, "hall")  # another conversation knows nothing of it
            with Client(server) as b:
                assert b.ask(second)[0] == anew, "a new connection must begin anew"
                b.write(TranscriptStart(context={"conversation_id": "stairs"}))
                b.write(TranscriptChunk(text=first[:8]))
                b.write(TranscriptChunk(text=first[8:]))
                b.write(TranscriptStop())
                assert b.reply() == (one, {"conversation_id": "stairs"}), "chunks must be one transcript"
                b.write(TranscriptStart())
                b.write(TranscriptChunk(text="ignored"))
                b.write(Transcript(second, context={"conversation_id": "stairs"}))
                b.write(TranscriptStop())
                assert b.reply()[0] == two, "the whole transcript counts, once"
                with Client(server) as c:  # both connections are taken
                    c.write(Describe())  # by which Home Assistant sees that the service is there
                    assert c.read(Info).handle[0].name == "rill"
                    c.write(Transcript(first, context={"conversation_id": "attic"}))
                    refused = c.read(NotHandled)
                    assert "All places for conversations are taken (2)" in refused.text, refused
                    assert refused.context == {"conversation_id": "attic"} and read_event(c.file) is None, refused
                b.write(Ping())  # two replies at a time, and a ping in between
                b.read(Pong)
                a.write(Transcript(first))
                b.write(Transcript(first))
                a.reply()
                b.reply()
        with Client(server) as a:
            a.write(Transcript(first))
            a.read(HandledStart)
            server.end()
    # What a client has begun to say while there was no place for it counts when there is one.
    with Server(arguments, model, "--sessions", "1") as server:
        with Client(server) as a:
            a.write(Ping())
            a.read(Pong)
            b = Client(server)
            b.write(TranscriptStart(context={"conversation_id": "cellar"}))
            b.write(TranscriptChunk(text=first[:8]))
            b.write(Ping())
            b.read(Pong)
        with b:
            time.sleep(0.5)
            b.write(TranscriptChunk(text=first[8:]))
            b.write(TranscriptStop())
            assert b.reply() == (one, {"conversation_id": "cellar"}), "what came before the place was lost"
    print("client: describe, ping, turns, conversation ids, chunks, a refusal and SIGTERM are as they should be")


def header(**fields):
    return json.dumps(fields).encode() + b"\n"


def hostile_cases(chance):
    yield "no JSON", b"hello\n"
    yield "no object", b"[1, 2]\n"
    yield "no type", b"{}\n"
    yield "a type that is no string", header(type=5)
    yield "nothing but line ends", b"\n" * 100
    yield "an endless line", b"x" * 200_000
    yield "an endless line of JSON", b'{"type": "' + b"a" * 200_000
    yield "deep JSON", b"[" * 30_000 + b"\n"
    yield "deep JSON in an object", b'{"type":"ping","data":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}\n"
    for kind, begin, end in (("ping", b'{"text":', b"}"), ("transcript", b'{"text":"a","context":{"a":', b"}}")):
        deep = begin + b"[" * 32_700 + b"]" * 32_700 + end
        yield f"deep JSON to be sent back by {kind}", header(type=kind, data_length=len(deep)) + deep
    yield "a negative length", header(type="ping", data_length=-1)
    yield "a length of 2^64", b'{"type":"ping","data_length":18446744073709551616}\n'
    yield "a length of 2^64 - 1", header(type="ping", data_length=2**64 - 1, payload_length=2**64 - 1)
    yield "a length that is a fraction", header(type="ping", data_length=1.5)
    yield "a length that is text", header(type="ping", data_length="12")
    yield "data over the limit", header(type="ping", data_length=100_000) + b"{" * 100_000
    yield "a payload over the limit", header(type="ping", payload_length=2**40)
    yield "data that is no JSON", header(type="ping", data_length=4) + b"nope"
    yield "data that is no object", header(type="ping", data_length=4) + b"[1] "
    yield "inline data that is no object", header(type="ping", data=3)
    yield "many values", header(type="ping", data={"text": [{}] * 600})
    yield "a long context", header(type="transcript", data={"text": "hello", "context": {"a": "b" * 5000}})
    yield "text that is no text", header(type="transcript", data={"text": 5})
    yield "a context that is no object", header(type="transcript", data={"text": "hello", "context": [1]})
    yield "an id that is no text", header(type="transcript", data={"text": "hello", "context": {"conversation_id": {}}})
    yield "invalid UTF-8", b'{"type":"transcript","data":{"text":"\xff\xfe"}}\n'
    yield "a lone surrogate", b'{"type":"transcript","data":{"text":"\\ud800"}}\n'
    yield "a transcript without end", header(type="transcript-start") + 200 * header(
        type="transcript-chunk", data={"text": "x" * 1000})
    yield "a turn of 60 KB", header(type="transcript", data_length=60_012) + b'{"text": "' + b"a " * 30_000 + b'"}'
    yield "special tokens as text", header(type="transcript", data={"text": "</s><s>[INST] <<SYS>>"})
    yield "a thousand pings, unread", header(type="ping", data={"text": "y" * 2000}) * 1000
    yield "nothing at all", b""
    for i in range(60):
        yield f"random bytes {i}", chance.randbytes(chance.randrange(1, 3000))
    good = header(type="transcript", data_length=17) + b'{"text": "hello"}' + header(type="describe")
    for i in range(60):
        cut = bytearray(good[:chance.randrange(1, len(good))])
        for _ in range(chance.randrange(4)):
            cut[chance.randrange(len(cut))] = chance.randrange(256)
        yield f"a cut and altered event {i}: {bytes(cut)}", bytes(cut)


def answers_ping(server):
    with server.connect() as s:
        s.sendall(header(type="ping", data_length=15) + b'{"text": "hey"}' + header(
            type="ping", payload_length=70_000) + bytes(70_000))
        file = s.makefile("rb")
        for expected in ("hey", None):
            head = json.loads(file.readline())
            data = json.loads(file.read(head["data_length"]))
            if head["type"] != "pong" or data["text"] != expected:
                return False
    return True


def test_few_files(arguments, model):
    """With room for fewer files than clients the server says so at once; with too few left for one client, it waits."""
    def limit_files():
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    said = subprocess.run([arguments.rill, "wyoming", model, "--port", "0", "--sessions", "256", "--window", "252"],
                          preexec_fn=limit_files, capture_output=True, text=True, timeout=60)
    assert said.returncode == 1 and "open 64 files" in said.stderr, said
    with Server(arguments, model, "--sessions", "2") as server:
        used = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        soft, hard = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (used, hard))
        with server.connect():
            time.sleep(0.3)
            before = server.cpu_seconds()
            time.sleep(1)
            assert server.cpu_seconds() - before < 0.3, "it spins while it has no file for a client"
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (soft, hard))
            assert answers_ping(server)


def test_planned_memory(arguments, model):
    """Clients that take all that they can get: as many as there may be, each in the middle of an event of many values, with
    a turn that came in chunks, a long context, and answers that it does not read. It is within the plan's figure."""
    sessions = 8
    def plan(*more):
        said = subprocess.run([arguments.rill, "plan", model, "--json", "--wyoming", str(sessions), "--window", "252", *more],
                              capture_output=True, text=True)
        return said.returncode, said.stdout
    besides = {item["name"]: item["bytes"] for item in json.loads(plan()[1])["besides"]}
    assert plan("--budget", str(sum(besides.values())))[0] == 3, "no room for a model must be over budget"
    with Server(arguments, model, "--sessions", str(sessions)) as server:
        for warm in range(2):  # first one client, for what any takes
            before, begin = server.resident_kib(), time.monotonic()
            clients = [server.connect() for _ in range(sessions if warm else 1)]
            many = [{"k": ""} for _ in range(250)]
            for s in clients:
                s.sendall(header(type="transcript-start", data={"context": {"c": [{}] * 500, "t": "x" * 1000}}))
                for _ in range(63):
                    s.sendall(header(type="transcript-chunk", data={"text": "y" * 1000}))
                s.sendall(header(type="ping", data={"text": "z" * 30_000}) * 3)
                s.sendall(header(type="ping", data_length=60_000, data={"text": "t" * 20_000, "many": many}) + b" " * 50_000)
            grown, last = 0, -1
            while grown != last or grown < 64 * len(clients):
                time.sleep(0.5)
                grown, last = server.resident_kib() - before, grown
                assert time.monotonic() < begin + 60, f"{len(clients)} clients took {grown} KiB only"
            for s in clients:
                s.close()
            time.sleep(0.3)
        assert grown <= besides["clients, at most"] >> 10, f"{sessions} clients took {grown} KiB of {besides}"
        print(f"{sessions} clients took {grown} KiB of {besides['clients, at most'] >> 10}")


def test_client_that_left(arguments, model):
    """A client that closes after its turn has no turn made for it, and keeps nobody waiting."""
    with Server(arguments, model, "--sessions", "2", "--chunk", "1", errors=subprocess.PIPE) as server:
        with server.connect() as s:
            s.sendall(header(type="transcript", data={"text": "a " * 4000}))
        assert answers_ping(server)
        assert select.select([server.process.stderr], [], [], 30)[0], "its turn was made"
        assert "a client left before it was answered" in server.process.stderr.readline()


def test_hostile(arguments, model):
    test_few_files(arguments, model)
    test_client_that_left(arguments, model)
    if not is_sanitized(arguments.rill):  # which takes memory of its own
        test_planned_memory(arguments, model)
    chance = random.Random(arguments.seed)
    with Server(arguments, model, "--sessions", "1") as server:
        assert answers_ping(server)
        resident = 0
        for name, sent in hostile_cases(chance):
            with server.connect() as s:
                try:
                    s.sendall(sent)
                    if chance.random() < 0.5:
                        s.shutdown(socket.SHUT_WR)
                        s.settimeout(5)
                        while s.recv(65536):
                            pass
                except (ConnectionError, TimeoutError):
                    pass  # it was hung up on, which is right
            deadline = time.monotonic() + 20
            while True:  # the one session is free again as soon as the server has seen that the stranger left
                try:
                    if answers_ping(server):
                        break
                except (KeyError, ValueError, ConnectionError):
                    pass
                assert server.process.poll() is None, f"the server ended after {name}"
                assert time.monotonic() < deadline, f"no pong in 20 s after {name}"
                time.sleep(0.02)
            resident = resident or server.resident_kib()
        grown = server.resident_kib() - resident
        assert grown < 4096, f"resident memory grew by {grown} KiB (seed {arguments.seed})"
        server.end()
    print(f"hostile: every stranger was survived, resident memory grew by {grown} KiB")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("client", "hostile"))
    parser.add_argument("--rill", required=True)
    parser.add_argument("--checkpoint", help="a model of a few hundred KB, which is made a .rill file")
    parser.add_argument("--tokenizer")
    parser.add_argument("--model", help="a .rill file where there is no such checkpoint")
    parser.add_argument("--sandbox", action="store_true", help="serve in a sandbox, where the system has one")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.what == "client" and Event is None:
        print("skipped: the Python package `wyoming` is not here (toolchains/fetch-wyoming.sh)")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        model = os.path.join(folder, "model.rill")
        if arguments.checkpoint and os.path.exists(arguments.checkpoint):
            make_model(arguments, model)
        elif arguments.model and os.path.exists(arguments.model):
            model = arguments.model
        else:
            print("skipped: there is no model to talk with")
            return SKIPPED
        {"client": test_client, "hostile": test_hostile}[arguments.what](arguments, model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
