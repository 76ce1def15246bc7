#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# With socket activation a restart loses nobody: those who wait are sent to
# themselves, and the service manager holds the socket meanwhile.
engine=fake
. "$(dirname "$0")/lib.sh"
export FIRN_HOLD=2 FIRN_HOPS=9 FIRN_MAX_BUILDS=4
registry_start || { ok 1 "the registry starts"; finish; }
socket=$VAR/run/firn.sock
program=$(registry_pid)
kill -TERM "$program"
await ended "$program"

# A service manager of thirty lines: each SIGHUP restarts the program.
cat > "$tmp/manager.py" <<'P'
import os, signal, socket, sys
path, program, log = sys.argv[1:4]
os.unlink(path)
s = socket.socket(socket.AF_UNIX)
s.bind(path)
s.listen(1024)
notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
notify.bind(path + ".notify")
env = {k: v for k, v in os.environ.items() if k != "FIRN_LISTEN"}

def start():
    pid = os.fork()
    if pid:
        return pid
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    os.dup2(s.fileno(), 3)
    os.set_inheritable(3, True)
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
    env.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()),
               NOTIFY_SOCKET=path + ".notify")
    os.execve(program, [program], env)

signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP, signal.SIGTERM])
pid = start()
while True:
    print(notify.recv(100).decode(), flush=True)
    sig = signal.sigwait([signal.SIGHUP, signal.SIGTERM])
    os.kill(pid, signal.SIGTERM)
    print(notify.recv(100).decode(), flush=True)
    print("status", os.waitpid(pid, 0)[1], flush=True)
    if sig == signal.SIGTERM:
        break
    pid = start()
P
env FIRN_PKGS_PATH="$PKGS" FIRN_STORAGE_PATH="$VAR/storage" \
	FIRN_NIX_DIR="$top/nix" python3 "$tmp/manager.py" "$socket" \
	"$PROGRAM" "$VAR/firn.log" > "$tmp/manager.log" 2>&1 &
manager=$!
# shellcheck disable=SC2317 # await runs it
serves() { [ "$(http "$url/v2/")" = 200 ]; }
await serves
is "$(http "$url/v2/")" 200 "it serves on an inherited socket"
is "$(head -n 1 "$tmp/manager.log")" READY=1 "and says when it is ready"

curl -sS -L -Z --parallel-immediate --parallel-max 100 \
	--no-progress-meter -o /dev/null -w '%{http_code}\n' \
	"$url/v2/wait-3000/manifests/latest?i=[1-100]" \
	> "$tmp/codes" 2> "$tmp/errors" &
crowd=$!
# Some have been sent on as often as anybody is.
curl -sS -L -Z --parallel-immediate --parallel-max 50 \
	--no-progress-meter -o /dev/null -w '%{http_code}\n' \
	"$url/v2/wait-3000/manifests/latest?w=8&i=[1-50]" \
	> "$tmp/late" 2>> "$tmp/errors" &
late=$!
# shellcheck disable=SC2317 # await runs it
all_wait() { [ "$(metric firn_waiters)" -eq 150 ]; }
await all_wait
kill -HUP $manager
# Warm requests go on through the restart.
lost=0
for ((i = 0; i < 30; i++)); do
	[ "$(http "$url/v2/hello/manifests/latest")" = 200 ] ||
		lost=$((lost + 1))
	sleep 0.02
done
wait $crowd
is "$(sort "$tmp/codes" | uniq -c | xargs)" "100 200" \
	"100 who wait for a build all get it, through a restart" ||
	sed 's/^/# /' "$tmp/errors"
wait $late
is "$(sort "$tmp/late" | uniq -c | xargs)" "50 200" \
	"and so do 50 who are in their last hold"
is "$lost" 0 "no warm request is lost either"
kill -TERM $manager
wait $manager
is "$(grep -c '^status 0$' "$tmp/manager.log")" 2 "both ended well"
is "$(grep -c '^STOPPING=1$' "$tmp/manager.log")" 2 "and said so"
finish
