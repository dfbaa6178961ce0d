#!/usr/bin/env python3
"""A disk that stops answering: a file system (FUSE) with one file, whose reads wait while it is stalled.

    with StallingDisk("model.rill") as disk:   # disk.path is the same file behind it
        disk.stall()                           # from here on whoever reads waits, in the kernel
        drop_pages(process, disk.path)         # what a process had mapped of it must be read again
        disk.go_on()

The file system is a child process: this file, run with the Python that has the package fusepy (Debian:
python3-fusepy). Where that cannot be, NotPossible is raised: no fusepy, no /dev/fuse, or no right to mount.
"""

import ctypes
import errno
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading


class NotPossible(Exception):
    """This system cannot do it; the text says what it lacks."""


def python_with_fusepy():
    for python in (sys.executable, "/usr/bin/python3"):  # Debian's packages belong to Debian's Python
        if python and subprocess.run([python, "-c", "import fusepy"], stderr=subprocess.DEVNULL).returncode == 0:
            return python
    raise NotPossible("no Python with fusepy (Debian: python3-fusepy)")


class StallingDisk:
    def __init__(self, file):
        self.file = os.path.abspath(file)

    def __enter__(self):
        python = python_with_fusepy()
        self.folder = tempfile.mkdtemp(prefix="rill-disk-")
        self.server = subprocess.Popen([python, __file__, self.file, self.folder], stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.path = os.path.join(self.folder, os.path.basename(self.file))
        if self.server.stdout.readline() != "mounted\n":
            said = self.server.communicate()[1]
            shutil.rmtree(self.folder)
            raise NotPossible(f"no file system could be mounted: {said.strip()[-200:]}")
        return self

    def __exit__(self, *_):
        self.go_on()
        subprocess.run(["umount", "--lazy", self.folder], check=False)
        self.server.stdin.close()
        self.server.wait(timeout=10)
        os.rmdir(self.folder)

    def say(self, word):
        self.server.stdin.write(word + "\n")
        self.server.stdin.flush()
        self.server.stdout.readline()  # it has taken effect

    def stall(self):
        self.say("stall")

    def go_on(self):
        self.say("go on")


def drop_pages(process, path):
    """Takes the pages of a file that a process has mapped out of memory, as a system does that is short of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    pidfd_open, process_madvise, pageout = 434, 440, 21  # the same on all architectures
    with open(f"/proc/{process.pid}/maps") as maps:
        ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in maps if line.rstrip().endswith(path)]
    pidfd = libc.syscall(pidfd_open, process.pid, 0)
    for begin, end in ranges:
        vector = (ctypes.c_void_p * 2)(begin, end - begin)
        if libc.syscall(process_madvise, pidfd, vector, ctypes.c_size_t(1), pageout, 0) < 0:
            raise NotPossible(f"process_madvise: {os.strerror(ctypes.get_errno())}")
    os.close(pidfd)
    return len(ranges)


def serve(file, folder):
    import fusepy

    may_read = threading.Event()
    may_read.set()

    class Disk(fusepy.Operations):
        def init(self, path):
            print("mounted", flush=True)

        def getattr(self, path, fh=None):
            if path == "/":
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2}
            if path != "/" + os.path.basename(file):
                raise fusepy.FuseOSError(errno.ENOENT)
            return {"st_mode": stat.S_IFREG | 0o444, "st_nlink": 1, "st_size": os.stat(file).st_size}

        def read(self, path, size, offset, fh):
            may_read.wait()
            with open(file, "rb") as source:
                source.seek(offset)
                return source.read(size)

    def obey():
        for line in sys.stdin:
            (may_read.clear if line == "stall\n" else may_read.set)()
            print("done", flush=True)
        may_read.set()

    threading.Thread(target=obey, daemon=True).start()
    fusepy.FUSE(Disk(), folder, foreground=True, ro=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
