# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# For the tests with clients: each client behind the same few functions, and
# nginx with TLS before the registry. Source it first; end with `finish`.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/lib.sh"

all_clients=(skopeo podman buildah ctr ctr2 docker umoci crane oras regctl)
clients=() # those that are here
started=() # what we have to end, the last first
named=registry.test # a name for this machine, see with_name

clients_cleanup() {
	local i
	for ((i = ${#started[@]} - 1; i >= 0; i--)); do
		kill "${started[i]}" 2>/dev/null
		wait "${started[i]}" 2>/dev/null
	done
	cleanup
}
trap clients_cleanup EXIT

wait_for() { # COMMAND...
	await "$@" > /dev/null 2>&1
}

# --- which clients there are

# What the clients write is ours for this test, whoever runs it; what Go makes
# is kept.
user_home=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
cache_home=${XDG_CACHE_HOME:-$user_home/.cache}
export XDG_RUNTIME_DIR=$tmp/run HOME=$tmp/home
export REGCTL_CONFIG=$tmp/home/regctl.json
mkdir -p "$tmp/run" "$tmp/home"
chmod 700 "$tmp/run"

declare -A go_clients=(
	[crane]=github.com/google/go-containerregistry/cmd/crane@v0.20.6
	[oras]=oras.land/oras/cmd/oras@v1.2.3
	[regctl]=github.com/regclient/regclient/cmd/regctl@v0.8.3
)
declare -A go_path
go_client() { # PACKAGE@VERSION: prints its path
	HOME=$user_home XDG_CACHE_HOME=$cache_home \
		"$top/tests/support/go-tool" "$1"
}

# From 2.3 on, younger than Debian's, it waits 30 seconds for an answer and no
# longer.
containerd_2() { # prints its directory
	local dir=$cache_home/firn-tests/containerd-2.4.2
	local from=github.com/containerd/containerd/v2/cmd
	if [ ! -x "$dir/ctr" ] || [ ! -x "$dir/containerd" ]; then
		[ -n "${LONG:-}" ] || { echo "minutes to make (LONG=1)"; return 1; } >&2
		have go || { echo "there is no Go"; return 1; } >&2
		HOME=$user_home GOBIN=$dir \
			GOFLAGS="-mod=mod -tags=no_btrfs,no_devmapper,no_zfs" \
			go install $from/containerd@v2.4.2 $from/ctr@v2.4.2 ||
			return
	fi
	echo "$dir"
}

declare -A ctr_path=([ctr]=ctr)
start_containerd_2() {
	local dir
	dir=$(containerd_2) || return
	ctr_path[ctr2]=$dir/ctr
	containerd_start ctr2 "$dir/containerd" "$dir/ctr"
}

# A command before which this stands knows the registry as $named, too: some
# clients believe whatever is called localhost. For root. (Not a function: its
# process is to be the command's.)
with_name=(unshare -m sh -c 'mount --bind "$0" /etc/hosts && exec "$@"'
	"$tmp/hosts")
{ cat /etc/hosts; echo "127.0.0.1 $named"; } > "$tmp/hosts"

# An engine without networks, with a directory of its own for /etc/docker,
# where it looks for the CA.
start_docker() {
	have dockerd && have docker || { echo "not installed"; return 1; }
	[ "$(id -u)" -eq 0 ] || { echo "only root may run it"; return 1; }
	mkdir -p "$tmp/docker/etc/certs.d/$named:$h2_port" /etc/docker \
		"$tmp/docker/etc/certs.d/$named:$tls_port"
	for port in "$h2_port" "$tls_port"; do
		cp "$ca" "$tmp/docker/etc/certs.d/$named:$port/ca.crt"
	done
	"${with_name[@]}" sh -c 'mount --bind "$0" /etc/docker && exec "$@"' \
		"$tmp/docker/etc" dockerd --data-root "$tmp/docker/root" \
		--exec-root "$tmp/docker/exec" -H "unix://$tmp/docker/sock" \
		-p "$tmp/docker/pid" --bridge=none --iptables=false \
		--ip6tables=false --storage-driver vfs \
		--containerd "$tmp/ctr.sock" \
		> "$tmp/docker.log" 2>&1 &
	started+=($!)
	wait_for docker -H "unix://$tmp/docker/sock" version && return
	echo "no engine runs here: $(tail -n 1 "$tmp/docker.log")"
	return 1
}

# Find what is here, and start what runs as a service. After tls_start.
find_clients() { # [CLIENT...]
	local client why
	[ $# -gt 0 ] || set -- "${all_clients[@]}"
	for client; do
		why="not installed"
		case $client in
		ctr) containerd_start ctr containerd ctr > "$tmp/why" ;;
		ctr2) start_containerd_2 > "$tmp/why" 2>&1 ;;
		docker) start_docker > "$tmp/why" ;;
		umoci) have umoci && have skopeo && [ "$(id -u)" -eq 0 ] ;;
		crane | oras | regctl)
			go_path[$client]=$(go_client "${go_clients[$client]}" \
				2> "$tmp/why")
			;;
		*) have "$client" ;;
		esac && { clients+=("$client"); continue; }
		[ ! -s "$tmp/why" ] || why=$(tail -n 1 "$tmp/why")
		skip "$client" "$why"
		: > "$tmp/why"
	done
	[ "${#clients[@]}" -gt 0 ] || skip_all "there is no client"
}

# --- TLS

# nginx once more before the same program: HTTP/1.1 alone on $tls_port, HTTP/2
# too on $h2_port. $ca has signed its certificate.
tls_start() {
	local dir=$tmp/tls
	ca=$tmp/ca/ca.crt tls_port=$(free_port) h2_port=$(free_port)
	mkdir -p "$dir" "$tmp/ca"
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 \
		-nodes -keyout "$dir/ca.key" -out "$ca" -days 2 \
		-subj "/CN=the CA of a test" 2> /dev/null
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
		-keyout "$dir/key.pem" -out "$dir/csr" -subj /CN=localhost \
		2> /dev/null
	openssl x509 -req -in "$dir/csr" -CA "$ca" -CAkey "$dir/ca.key" \
		-CAcreateserial -days 2 -out "$dir/chain.pem" -extfile <(
		echo "subjectAltName=DNS:localhost,DNS:$named"
	) 2> /dev/null
	ln -s "$top/nginx" "$dir/firn"
	sed -e "s|/run/firn/fcgi.sock|$VAR/run/firn.sock|" \
		-e "s|/var/cache/nginx-firn|$dir/cache|" \
		"$top/nginx/upstream.conf" > "$dir/upstream.conf"
	{
		[ "$(id -u)" -ne 0 ] || echo "user $(id -un);"
		cat <<C
daemon off;
pid $dir/pid;
error_log $dir/error.log;
worker_rlimit_nofile 4096;
events { worker_connections 2048; }
http {
	client_body_temp_path $dir/b;
	fastcgi_temp_path $dir/f;
	proxy_temp_path $dir/p;
	uwsgi_temp_path $dir/u;
	scgi_temp_path $dir/s;
	log_format protocol '\$server_port \$server_protocol '
		'\$request_method \$request_uri \$status \$http_user_agent';
	access_log $dir/access.log protocol;
	ssl_certificate $dir/chain.pem;
	ssl_certificate_key $dir/key.pem;
	include $dir/upstream.conf;
	server {
		listen 127.0.0.1:$tls_port ssl;
		set \$firn_storage $VAR/storage;
		include firn/registry.conf;
	}
	server {
		listen 127.0.0.1:$h2_port ssl http2;
		set \$firn_storage $VAR/storage;
		include firn/registry.conf;
	}
}
C
	} > "$dir/nginx.conf"
	nginx -p "$dir" -c "$dir/nginx.conf" 2> "$dir/out" &
	started+=($!)
	wait_for curl -fsS --cacert "$ca" "https://localhost:$h2_port/v2/"
}

# --- references

# The host under which CLIENT finds the registry by http, tls (HTTP/1.1 alone)
# or h2.
host_of() { # CLIENT TRANSPORT
	local name=localhost
	case $1:$2 in
	*:http) ;;
	ctr:* | ctr2:* | docker:* | oras:*) name=$named ;;
	esac
	case $2 in
	http) echo "$name:$PORT" ;;
	tls) echo "$name:$tls_port" ;;
	h2) echo "$name:$h2_port" ;;
	esac
}

# --- pulling: pull_CLIENT http|tls|h2 REFERENCE DIRECTORY. No client is told
#     to take any certificate; each is given the CA in its own way.

skopeo_copy() { # TRANSPORT REFERENCE DIRECTORY
	local how=--src-cert-dir=$tmp/ca
	[ "$1" = http ] && how=--src-tls-verify=false
	skopeo copy -q "$how" "docker://$2" "oci:$3:latest"
}
pull_skopeo() { skopeo_copy "$@"; }

containers_pull() { # podman|buildah TRANSPORT REFERENCE
	local how=--cert-dir=$tmp/ca
	[ "$2" = http ] && how=--tls-verify=false
	"$1" --root "$tmp/$1" --runroot "$tmp/run/$1" --storage-driver vfs \
		pull -q "$how" "$3"
}
pull_podman() { containers_pull podman "$@"; }
pull_buildah() { containers_pull buildah "$@"; }

ctr_() { # ctr|ctr2 ARGUMENT...
	"${ctr_path[$1]}" -a "$tmp/$1.sock" "${@:2}"
}
ctr_pull() { # ctr|ctr2 OPTION... REFERENCE
	local where=()
	[ "$1" = ctr ] || where=(--local)
	"${with_name[@]}" "${ctr_path[$1]}" -a "$tmp/$1.sock" images pull \
		"${where[@]}" --snapshotter native "${@:2}"
}
pull_ctr() {
	local how=--tlscacert=$ca
	[ "$1" = http ] && how=--plain-http
	ctr_pull "${4:-ctr}" "$how" "$2"
}
pull_ctr2() { pull_ctr "$1" "$2" "$3" ctr2; }

docker_() { docker -H "unix://$tmp/docker/sock" "$@"; }
pull_docker() { docker_ pull -q "$2"; }

# It knows no registry: what skopeo has fetched is unpacked.
pull_umoci() {
	skopeo_copy "$1" "$2" "$3" &&
		umoci unpack --image "$3:latest" "$3/bundle"
}

pull_crane() { SSL_CERT_FILE=$ca "${go_path[crane]}" pull --format oci "$2" "$3"; }

pull_oras() {
	local how=(--from-ca-file "$ca" --from-resolve "${2%%/*}:127.0.0.1")
	[ "$1" = http ] && how=(--from-plain-http)
	"${go_path[oras]}" copy "${how[@]}" --to-oci-layout "$2" "$3:latest"
}

pull_regctl() {
	local registry=${2%%/*}
	if [ "$1" = http ]; then
		set -- --tls disabled "$@"
	else
		set -- --cacert "$(cat "$ca")" "$@"
	fi
	"${go_path[regctl]}" registry set --skip-check "$1" "$2" "$registry" &&
		"${go_path[regctl]}" image copy "$4" "ocidir://$5:latest"
}

pull() { # CLIENT TRANSPORT NAME[:TAG|@DIGEST] DIRECTORY
	"pull_$1" "$2" "$(host_of "$1" "$2")/$3" "$4"
}

# --- what was pulled

# Does CLIENT have the image whose config is CONFIG, and as its digests say?
has() { # CLIENT DIRECTORY CONFIG
	case $1 in
	podman | buildah)
		"$1" --root "$tmp/$1" --runroot "$tmp/run/$1" \
			--storage-driver vfs inspect --type image \
			"${3#sha256:}" > /dev/null
		;;
	docker) docker_ image inspect "$3" > /dev/null ;;
	ctr | ctr2)
		ctr_ "$1" content get "$3" |
			sha256sum | grep -q "^${3#sha256:}"
		;;
	*)
		[ -e "$2/blobs/sha256/${3#sha256:}" ] &&
			[ -z "$(check_blobs "$2")" ] || return
		[ "$1" != umoci ] || find "$2/bundle/rootfs/nix/store" \
			-path '*/bin/*' -type f | grep . > /dev/null
		;;
	esac
}

# So that the next pull fetches all anew.
forget() { # CLIENT DIRECTORY
	case $1 in
	podman | buildah)
		"$1" --root "$tmp/$1" --runroot "$tmp/run/$1" \
			--storage-driver vfs rmi -a -f
		;;
	docker) docker_ image prune -a -f ;;
	ctr | ctr2)
		ctr_ "$1" images ls -q | while read -r ref; do
			ctr_ "$1" images rm --sync "$ref"
		done
		;;
	*) rm -rf "$2" ;;
	esac > /dev/null 2>&1
}

# --- many clients at once. FUNCTION CLIENT runs for each in a process of its
#     own; what it says with note and quote is told when all are done.

note() { # CLIENT STATUS NAME: fails with STATUS
	printf '%s\t%s\n' "$2" "$1 $3" >> "$tmp/notes.$1"
	return "$2"
}
quote() { # CLIENT TEXT
	printf '#\t%s\n' "$2" >> "$tmp/notes.$1"
}

each_client() { # FUNCTION
	local client pids=() status what
	for client in "${clients[@]}"; do
		: > "$tmp/notes.$client"
		"$1" "$client" &
		pids+=($!)
	done
	wait "${pids[@]}"
	for client in "${clients[@]}"; do
		[ -s "$tmp/notes.$client" ] || ok 1 "$client says something"
		while IFS=$'\t' read -r status what; do
			if [ "$status" = "#" ]; then
				echo "# $what"
			else
				ok "$status" "$what"
			fi
		done < "$tmp/notes.$client"
	done
}
