# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# For the end-to-end tests: TAP, and a registry of one's own (real nginx, real
# Nix, the offline package set) on a free port with its data in a temporary
# directory. Source it first; end with `finish`.
set -uo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
tmp=$(mktemp -d "${TMPDIR:-/tmp}/firn-e2e-XXXXXX")
tap_n=0 tap_failed=0

ok() { # STATUS NAME: 0 passes
	tap_n=$((tap_n + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $tap_n - $2"
	else
		tap_failed=$((tap_failed + 1))
		echo "not ok $tap_n - $2"
	fi
	return "$1"
}

is() { # GOT WANT NAME
	[ "$1" = "$2" ]
	ok $? "$3" || printf '# got:  %s\n# want: %s\n' "$1" "$2"
}

like() { # GOT REGEX NAME
	[[ $1 =~ $2 ]]
	ok $? "$3" || printf '# got:  %s\n# want: %s\n' "${1:0:2000}" "$2"
}

skip() { # NAME WHY
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}

skip_all() { # WHY
	skip "$(basename "$0")" "$1"
	echo "1..$tap_n"
	exit 0
}

have() { command -v "$1" >/dev/null; }

# What comes by and by, on a slow machine too.
await() { # COMMAND...: until it succeeds, for at least a minute
	local i
	for ((i = 0; i < 600; i++)); do
		"$@" && return
		sleep 0.1
	done
	return 1
}

ended() { # PID: has it? (Whoever is to reap it may not have.)
	! grep -qs '^State:[[:space:]]*[^ZX]' "/proc/$1/status"
}

none_runs() { # PATTERN: of a command line
	! pgrep -f -- "$1" > /dev/null
}

containerd_pids=()

# Everything that a test started ends with it.
cleanup() {
	[ -z "${VAR:-}" ] || "$top/deploy/dev/serve" stop
	[ -z "${cloud_pid:-}" ] || kill -KILL "$cloud_pid" 2>/dev/null
	[ "${#containerd_pids[@]}" -eq 0 ] || {
		kill "${containerd_pids[@]}" 2>/dev/null
		wait "${containerd_pids[@]}" 2>/dev/null
	}
	chmod -R u+w "$tmp" 2>/dev/null
	rm -rf "$tmp"
}
trap cleanup EXIT

finish() {
	echo "1..$tap_n"
	[ "$tap_failed" -eq 0 ] || [ -z "${VAR:-}" ] || {
		echo "# the end of the log:"
		tail -n 20 "$VAR/firn.log" | sed 's/^/# /'
	}
	exit $((tap_failed > 0))
}

free_port() {
	python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])'
}

# A fake cloud (tests/support/fake_*.py) instead of the filesystem, when
# FIRN_STORAGE_BACKEND says so. Its objects are files in $VAR/storage, so that
# tests can look at them as they do at the filesystem backend's.
cloud_secret=e2e-cloud-secret
# shellcheck disable=SC2120
cloud_start() { # [PORT]
	local fake=fake_${FIRN_STORAGE_BACKEND}.py args=(e2e-key "$cloud_secret")
	local port=${1:-0}
	[ "$FIRN_STORAGE_BACKEND" != gcs ] || args=(firn@e2e "$(cloud_modulus)")
	mkdir -p "$VAR"
	mkfifo "$tmp/fifo"
	# exec: its pid is the one that we know.
	(exec python3 "$top/tests/support/$fake" "$VAR/storage" e2e-bucket \
		"${args[@]}" "$port" > "$tmp/fifo" 2> "$tmp/cloud.log") &
	cloud_pid=$! cloud_var=$VAR
	disown "$cloud_pid" # nobody needs to hear how it ends
	read -r cloud_port < "$tmp/fifo"
	rm "$tmp/fifo"
	cloud_url=http://127.0.0.1:$cloud_port
	export FIRN_STATE_PATH=$VAR/storage/state
	export FIRN_STORAGE_PATH=$VAR/nothing
	export FIRN_BLOB_DELIVERY=${FIRN_BLOB_DELIVERY:-proxy}
	export FIRN_S3_ENDPOINT=$cloud_url FIRN_S3_BUCKET=e2e-bucket
	export AWS_ACCESS_KEY_ID=e2e-key AWS_SECRET_ACCESS_KEY=$cloud_secret
	export FIRN_GCS_ENDPOINT=$cloud_url GCS_BUCKET=e2e-bucket
	[ "$FIRN_STORAGE_BACKEND" != gcs ] || cloud_key_file
}

# A key of our own; the fake knows its modulus.
cloud_modulus() {
	[ -e "$tmp/key.pem" ] || openssl genrsa -out "$tmp/key.pem" 2048 2>&-
	openssl rsa -in "$tmp/key.pem" -noout -modulus | sed 's/.*=//'
}
cloud_key_file() {
	export GOOGLE_APPLICATION_CREDENTIALS=$tmp/key.json
	jq -n --rawfile pem "$tmp/key.pem" --arg uri "$cloud_url/token" \
		'{type: "service_account", client_email: "firn@e2e",
		  private_key: $pem, token_uri: $uri}' > "$tmp/key.json"
}

cloud_kill() {
	kill -KILL "$cloud_pid"
	await ended "$cloud_pid"
	cloud_pid=
}

cloud_fault() { # JSON: see fake_cloud.py
	curl -sS -X POST -d "$1" "$cloud_url/-/faults"
}
cloud_heal() { curl -sS -X DELETE "$cloud_url/-/faults"; }

containerd_decided() { # PID CTR SOCKET: does it answer, or won't it?
	ended "$1" || "$2" -a "$3" version > /dev/null 2>&1
}

# A containerd of our own, for CTR -a $tmp/NAME.sock. Says why there is none.
containerd_start() { # NAME PROGRAM CTR
	have "$2" && have "$3" || { echo "not installed"; return 1; }
	[ "$(id -u)" -eq 0 ] || { echo "only root may run it"; return 1; }
	cat > "$tmp/$1.toml" <<C
version = 2
root = "$tmp/$1"
state = "$tmp/$1-state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$tmp/$1.sock"
[ttrpc]
  address = "$tmp/$1.ttrpc"
C
	"$2" -c "$tmp/$1.toml" > "$tmp/$1.log" 2>&1 &
	containerd_pids+=($!)
	await containerd_decided $! "$3" "$tmp/$1.sock" && ! ended $! && return
	echo "containerd does not start: $(tail -n 1 "$tmp/$1.log")"
	return 1
}

# The offline set at $tmp/set, in a repository (see git_set), with one package
# more, whose contents are in the file $tmp/set/word.
word_set() {
	cp -r "$top/tests/pkgs" "$tmp/set"
	mv "$tmp/set/default.nix" "$tmp/set/base.nix"
	cat > "$tmp/set/default.nix" <<-'END'
		args: import ./base.nix (args // {
		  overlays = (args.overlays or [ ]) ++ [
		    (final: prev: {
		      word = prev.stdenv.mkDerivation {
		        name = "word";
		        PATH = "${prev.stdenv.tools}/bin";
		        args = [ "-euc" "echo ${builtins.readFile ./word} >$out" ];
		      };
		    })
		  ];
		})
	END
	echo one > "$tmp/set/word"
	git_set init -q -b trunk
}
git_set() { git -C "$tmp/set" -c user.name=n -c user.email=e@example.org "$@"; }

# Start a registry; what is set in the environment (FIRN_*) counts. Starting
# again after registry_stop or a crash keeps the data.
registry_start() {
	export VAR=${VAR:-$tmp/var} PORT=${PORT:-$(free_port)}
	# The offline set, unless there is another source.
	[ -n "${CHANNEL:-}${REPO:-}${FIRN_PKGS_FLAKE:-}" ] ||
		export PKGS=${PKGS:-$top/tests/pkgs}
	host=localhost:$PORT
	url=http://$host
	if [ "${FIRN_STORAGE_BACKEND:-filesystem}" != filesystem ]; then
		# Another directory is another storage.
		[ -z "${cloud_pid:-}" ] || [ "$cloud_var" = "$VAR" ] ||
			cloud_kill
		# shellcheck disable=SC2119
		[ -n "${cloud_pid:-}" ] || cloud_start
	fi
	"$top/deploy/dev/serve" start 2> "$tmp/serve.log" ||
		{ sed 's/^/# /' "$tmp/serve.log"; return 1; }
}

registry_stop() { "$top/deploy/dev/serve" stop; }

registry_pid() { cut -d' ' -f1 "$VAR/run/firn.pid"; }

# The value of one of our metrics. One with labels is 0 until it counts; else
# what isn't there has no value that is anything's.
metric() { # NAME
	curl -fsS "$url/metrics" | awk -v name="$1" -v none="absent-$RANDOM" '
		$1 == name { v = $2; found = 1 }
		END { print found || name ~ /\{/ ? v + 0 : none }'
}

# Header HEADER of the last answer in $tmp/headers (see http).
header() {
	tr -d '\r' < "$tmp/headers" | awk -F': ' -v h="$1" \
		'tolower($1) == tolower(h) { print $2; exit }'
}

# curl, following redirects of our own; prints the status, leaves headers in
# $tmp/headers and the body in $tmp/body.
http() {
	curl -sS -L --max-redirs 10 -D "$tmp/headers" -o "$tmp/body" \
		-w '%{http_code}' "$@"
}

manifest_digest() { # NAME[:TAG]
	local name=${1%%:*} tag=latest
	[[ $1 == *:* ]] && tag=${1##*:}
	http "$url/v2/$name/manifests/$tag" >/dev/null
	header Docker-Content-Digest
}

# Every blob's bytes match its name; prints those that don't.
check_blobs() { # STORAGE
	(cd "$1/blobs/sha256" && find . -type f -printf '%f\n' | sort |
		while read -r f; do
			[ "$(sha256sum < "$f" | cut -d' ' -f1)" = "$f" ] ||
				echo "$f"
		done)
}

# A test sets this before it sources this file:
#	alone=1      it starts no registry
#	engine=fake  its registry has tests/support/fake_engine.c instead of Nix
if [ "${engine:-}" = fake ]; then
	export PROGRAM=$top/build/firn-fcgi-fake PKGS=$top/tests
	[ -x "$PROGRAM" ] || skip_all "build/firn-fcgi-fake is not built"
	have nginx || skip_all "nginx is not installed"
elif [ -z "${alone:-}" ]; then
	[ -x "$top/build/firn-fcgi" ] || skip_all "build/firn-fcgi is not built"
	have nginx || skip_all "nginx is not installed"
	have nix-store || skip_all "Nix is not installed"
	[ -d "$top/tests/pkgs/generated" ] || skip_all \
		"the offline package set is not there (tests/pkgs/prepare)"
fi
