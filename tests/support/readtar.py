# SPDX-License-Identifier: Apache-2.0
"""Lists the archive on standard input, or a tree, as readtar.go does.

usage: readtar.py < LAYER       as Python's tarfile reads it
       readtar.py ROOT [PATH]   what a layer of the paths must say, from disk
"""
import hashlib
import io
import os
import stat
import sys
import tarfile


def line(name, kind, mode, size, mtime, target, data):
    digest = hashlib.sha256(data).hexdigest()
    print(name.hex(), kind, "%o" % mode, size, mtime, "0:0",
          target.hex() or "-", digest)


def of_archive(stream):
    # Not "r|gz": that mode reads the first of several gzip members and takes
    # it for the whole.
    with tarfile.open(fileobj=io.BytesIO(stream.read()), mode="r:gz") as tar:
        for m in tar:
            name = os.fsencode(m.name) + (b"/" if m.isdir() else b"")
            data = tar.extractfile(m).read() if m.isfile() else b""
            if m.uid or m.gid or m.uname or m.gname:
                sys.exit("an owner: " + m.name)
            line(name, m.type.decode(), m.mode, m.size, m.mtime,
                 os.fsencode(m.linkname), data)


def of_path(root, path):
    real = root + path
    st = os.lstat(real)
    name = path[1:]
    if stat.S_ISDIR(st.st_mode):
        line(name + b"/", "5", 0o555, 0, 1, b"", b"")
        for e in sorted(os.listdir(real), key=lambda n: n + (
                b"/" if stat.S_ISDIR(os.lstat(real + b"/" + n).st_mode)
                else b"")):
            of_path(root, path + b"/" + e)
    elif stat.S_ISLNK(st.st_mode):
        line(name, "2", 0o777, 0, 1, os.readlink(real), b"")
    else:
        with open(real, "rb") as f:
            data = f.read()
        mode = 0o555 if st.st_mode & stat.S_IXUSR else 0o444
        line(name, "0", mode, len(data), 1, b"", data)


if len(sys.argv) == 1:
    of_archive(sys.stdin.buffer)
else:
    line(b"nix/", "5", 0o755, 0, 1, b"", b"")
    line(b"nix/store/", "5", 0o755, 0, 1, b"", b"")
    for p in sys.argv[2:]:
        of_path(os.fsencode(sys.argv[1]), os.fsencode(p))
