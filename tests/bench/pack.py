#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Packing, side by side with what one would have instead.

usage: pack.py [--rounds N] [--tree DIR] [--out DIR] BUILD
BUILD holds firn and tests/bench/floor. Every contender packs the same tree
into a file, once a round, the page cache warm; ratios are taken within a
round, and their median is printed. With --tree, DIR/paths lists the store
paths below DIR. Nothing but the installed programs is run; those that are
missing are said to be.
"""
import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def say_machine():
    with open("/proc/cpuinfo") as f:
        cpu = next((l.split(":")[1].strip() for l in f if "model name" in l),
                   platform.machine())
    print("machine: %s, %d cores for us, %s %s, load %.1f" % (
        cpu, len(os.sched_getaffinity(0)), platform.system(),
        platform.release(), os.getloadavg()[0]))
    for argv in (["go", "version"], ["gzip", "--version"],
                 ["pigz", "--version"], ["zstd", "--version"],
                 ["tar", "--version"]):
        if shutil.which(argv[0]):
            r = subprocess.run(argv, capture_output=True, text=True)
            print("  " + (r.stdout + r.stderr).strip().split("\n")[0])


def run(argv):
    """Run it to its end; seconds of wall and of CPU, peak KiB, output."""
    start = time.perf_counter()
    p = subprocess.Popen(argv, stdout=subprocess.PIPE)
    out = p.stdout.read()
    _, status, used = os.wait4(p.pid, 0)
    wall = time.perf_counter() - start
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode != 0:
        sys.exit("%s: exit status %d" % (argv[0], p.returncode))
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss, out


class Contender:
    def __init__(self, name, argv, before=None):
        self.name, self.argv, self.before = name, argv, before
        self.rounds, self.size, self.said = [], 0, None

    def round(self, out):
        if os.path.exists(out):
            os.unlink(out)
        if self.before:
            self.before()
        wall, cpu, peak, said = run(self.argv)
        self.rounds.append((wall, cpu, peak))
        self.size = os.path.getsize(out)
        if self.said not in (None, said):
            sys.exit(self.name + ": not the same result twice")
        self.said = said

    def median(self, i):
        return statistics.median(r[i] for r in self.rounds)


def contenders(a, root, paths, out, work):
    firn = os.path.join(a.build, "firn")
    pipe = "tar --sort=name -C %s -cf - %s | %%s > %s" % (
        root, " ".join(p[1:] for p in paths), out)

    def sh(name, command):
        if not shutil.which(command.split()[0]):
            print("not installed: " + name)
            return []
        return [Contender(name, ["sh", "-c", pipe % command])]

    def pack(name, *options, before=None):
        return [Contender(name, [firn, "pack", "--root", root, "-o", out,
                                 *options, *paths], before)]

    cs = []
    if shutil.which("go"):
        go = os.path.join(work, "gopack")
        subprocess.run(["go", "build", "-o", go,
                        os.path.join(HERE, "gopack.go")], check=True,
                       env=dict(os.environ, GO111MODULE="off"))
        cs += [Contender("Go tar, gzip", [go, root, out, *paths])]
    else:
        print("not installed: Go")
    cs += sh("tar | gzip -6", "gzip -6")
    cs += sh("tar | pigz", "pigz")
    cs += sh("tar | zstd -T0", "zstd -q -T0")
    for c in ("gzip:1", "gzip:3", "gzip:6", "zstd:1", "zstd:3"):
        cs += pack("firn " + c, "--compression", c)
    members = os.path.join(work, "members")

    def known():
        """The members of the paths, from layers of another grouping."""
        shutil.rmtree(members, ignore_errors=True)
        for k in range(7):
            run([firn, "pack", "--root", root, "--members", members,
                 *paths[k::7]])

    cs += pack("firn gzip:1, known", "--members", members, before=known)
    cs += [Contender("floor", [os.path.join(a.build, "tests/bench/floor"),
                               root, out, *paths])]
    return cs


def report(cs, tar_size, n_paths):
    base = cs[0]
    floor = next(c for c in cs if c.name == "floor")
    print("\n%d store paths, %.1f MB of archive; the base is \"%s\"" % (
        n_paths, tar_size / 1e6, base.name))
    print("wall: how many times the base's speed, floor: the floor's time;"
          "\nCPU: how many times less of it, which others on the machine "
          "disturb less")
    print("%-20s %7s %6s %6s %7s %7s %7s %7s %8s" % (
        "", "wall s", "CPU s", "MB/s", "x wall", "x floor", "x CPU", "size",
        "peak"))

    def ratio(x, y, i=0):
        return statistics.median(
            p[i] / q[i] for p, q in zip(x.rounds, y.rounds))

    for c in cs:
        print("%-20s %7.2f %6.2f %6.0f %7.2f %7.2f %7.2f %7.4f %4d MiB" % (
            c.name, c.median(0), c.median(1), tar_size / 1e6 / c.median(0),
            ratio(base, c), ratio(c, floor), ratio(base, c, 1),
            c.size / base.size, c.median(2) / 1024))
    same = {json.loads(c.said)["digest"] for c in cs
            if c.name.startswith("firn gzip:1")}
    print("gzip:1 with and without known members: %s" % (
        "the same digest" if len(same) == 1 else "DIGESTS DIFFER"))
    return len(same) == 1


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--tree")
    p.add_argument("--out")
    p.add_argument("build")
    a = p.parse_args()
    work = os.path.join(a.build, "bench")
    os.makedirs(work, exist_ok=True)
    root = a.tree or os.path.join(work, "tree")
    if not a.tree:
        subprocess.run([os.path.join(HERE, "make-tree"), root], check=True)
    with open(os.path.join(root, "paths")) as f:
        paths = sorted(f.read().split())
    # The disk's speed is not what is measured.
    out_dir = a.out or ("/dev/shm" if os.path.isdir("/dev/shm") else work)
    out = os.path.join(out_dir, "firn-bench-%d" % os.getpid())
    say_machine()
    cs = contenders(a, root, paths, out, work)
    try:
        cs[-1].round(out)  # warms the page cache
        tar_size = cs[-1].size
        cs[-1].rounds.clear()
        for i in range(a.rounds):
            print("round %d, load %.1f" % (i + 1, os.getloadavg()[0]),
                  flush=True)
            for c in cs[i % len(cs):] + cs[:i % len(cs)]:
                c.round(out)
    finally:
        if os.path.exists(out):
            os.unlink(out)
        shutil.rmtree(os.path.join(work, "members"), ignore_errors=True)
    sys.exit(0 if report(cs, tar_size, len(paths)) else 1)


main()
