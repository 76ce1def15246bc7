#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The contract of storage against S3 servers that others wrote, where they can
# be had:
#
#   versitygw    checks every signature. From Go's module proxy, where Go is.
#   moto_server  accepts any. From PyPI, into a directory of its own.
#
# For Google's storage no server is maintained that checks anything; the fakes
# in tests/support, which check all, are run by the unit tests.
alone=1 . "$(dirname "$0")/../e2e/lib.sh"
test=$top/build/release/tests/test_store
[ -x "$test" ] || skip_all "the unit tests are not built"
bucket=firn-test pid=
trap '[ -z "$pid" ] || kill "$pid" 2>/dev/null; cleanup' EXIT

wait_for() { # URL: until something answers
	local i
	for ((i = 0; i < 1200; i++)); do
		curl -s -o /dev/null "$1" && return
		sleep 0.1
	done
	return 1
}

contract() { # NAME PORT REGION
	FIRN_TEST_S3="$1 http://127.0.0.1:$2 $bucket $3 test-key test-secret" \
		"$test" > "$tmp/$1.tap" 2> "$tmp/$1.err"
	ok $? "$1: $(grep -c ^ok "$tmp/$1.tap") promises hold" ||
		grep -A3 '^not ok' "$tmp/$1.tap" | sed 's/^/# /'
}

# How it says that an upload is lost: Firn begins it again then. (moto fails
# with 500.)
lost_upload() { # NAME PORT REGION
	local at=http://127.0.0.1:$2/$bucket/lost id
	local call=(curl -sS -u test-key:test-secret -w '%{http_code}'
		--aws-sigv4 "aws:amz:$3:s3"
		-H x-amz-content-sha256:UNSIGNED-PAYLOAD)
	id=$("${call[@]}" -X POST "$at?uploads=" |
		sed -n 's|.*<UploadId>\(.*\)</UploadId>.*|\1|p')
	is "$("${call[@]}" -o "$tmp/body" -X DELETE "$at?uploadId=$id")" 204 \
		"$1: an upload is aborted"
	is "$("${call[@]}" -o "$tmp/body" -X PUT -d part \
		"$at?partNumber=1&uploadId=$id")" 404 "$1: a part that comes too late"
	like "$(cat "$tmp/body")" NoSuchUpload "  belongs to no upload"
	is "$("${call[@]}" -o "$tmp/body" -X POST \
		-d '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"0123456789abcdef0123456789abcdef"</ETag></Part></CompleteMultipartUpload>' \
		"$at?uploadId=$id")" 404 "$1: and its end"
	like "$(cat "$tmp/body")" NoSuchUpload "  too"
}

go_tool=$top/tests/support/go-tool
if versitygw=$("$go_tool" github.com/versity/versitygw/cmd/versitygw@v1.8.0 \
	2> "$tmp/why"); then
	port=$(free_port)
	mkdir -p "$tmp/data/$bucket"
	"$versitygw" --access test-key --secret test-secret \
		--region eu-test-1 --port "127.0.0.1:$port" posix "$tmp/data" \
		> "$tmp/versitygw.log" 2>&1 &
	pid=$!
	if wait_for "http://127.0.0.1:$port/"; then
		contract versitygw "$port" eu-test-1
		lost_upload versitygw "$port" eu-test-1
		# It may well give up at once.
		(ulimit -c 0; FIRN_TEST_S3="wrong http://127.0.0.1:$port $bucket eu-test-1 test-key wrong" \
			"$test" > "$tmp/wrong.tap"; true) 2>/dev/null
		grep -q '^not ok.*SignatureDoesNotMatch' "$tmp/wrong.tap"
		ok $? "versitygw: another secret is refused"
	else
		ok 1 "versitygw starts"
	fi
	kill "$pid"
	wait "$pid" 2>/dev/null
	pid=
else
	skip versitygw "$(tail -n 1 "$tmp/why")"
fi

# Prints its path; it is kept for the next run.
moto_server() {
	local dir=${XDG_CACHE_HOME:-$HOME/.cache}/firn-tests/moto-1
	if [ ! -e "$dir/complete" ]; then
		rm -rf "$dir"
		python3 -m venv "$dir" && "$dir/bin/pip" -q install \
			--disable-pip-version-check 'moto[server]==5.2.1' &&
			touch "$dir/complete" || return
	fi >&2
	echo "$dir/bin/moto_server"
}
if moto=$(moto_server 2> "$tmp/why"); then
	port=$(free_port)
	"$moto" -H 127.0.0.1 -p "$port" > "$tmp/moto.log" 2>&1 &
	pid=$!
	if wait_for "http://127.0.0.1:$port/"; then
		curl -sS -o /dev/null -X PUT -u test-key:test-secret \
			--aws-sigv4 aws:amz:us-east-1:s3 \
			"http://127.0.0.1:$port/$bucket"
		contract moto "$port" us-east-1
	else
		ok 1 "moto_server starts"
	fi
else
	skip moto_server "$(tail -n 1 "$tmp/why")"
fi
finish
