# SPDX-License-Identifier: Apache-2.0
#
# make            build/firn and build/firn-fcgi
# make run        install what is missing, build, serve on localhost:8080
# make test       install what is missing, run every test
# make help       the rest

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
VARIANT ?= release
B := build/$(VARIANT)

CC ?= gcc
AR ?= ar
PKG_CONFIG ?= pkg-config

# --- sources: listed, so that adding one is a decision that someone reviews

BASE_SRC := \
	core/base/arena.c \
	core/base/buf.c \
	core/base/crc32c.c \
	core/base/digest.c \
	core/base/err.c \
	core/base/json.c \
	core/base/mem.c \
	core/base/sink.c \
	core/base/strmap.c

SYS_SRC := \
	core/sys/cores.c \
	core/sys/fingerprint.c \
	core/sys/fs.c \
	core/sys/fsat.c \
	core/sys/http.c \
	core/sys/log.c \
	core/sys/proc.c

MODEL_SRC := \
	core/model/artifact.c \
	core/model/closures.c \
	core/model/compression.c \
	core/model/domtree.c \
	core/model/graph.c \
	core/model/image.c \
	core/model/layers.c \
	core/model/layers_firn.c \
	core/model/layers_nixery.c \
	core/model/manifest.c \
	core/model/narinfo.c \
	core/model/popularity.c \
	core/model/sbom.c \
	core/model/sbom_cyclonedx.c \
	core/model/sbom_spdx.c \
	core/model/source.c

PACK_SRC := \
	core/pack/compress.c \
	core/pack/members.c \
	core/pack/order.c \
	core/pack/pack.c \
	core/pack/pool.c \
	core/pack/tar.c \
	core/pack/walk.c

STORE_SRC := \
	core/store/cloud.c \
	core/store/credentials.c \
	core/store/gcs_token.c \
	core/store/known.c \
	core/store/layout.c \
	core/store/lease.c \
	core/store/open.c \
	core/store/sign.c \
	core/store/store.c \
	core/store/store_cloud.c \
	core/store/store_fs.c \
	core/store/store_gcs.c \
	core/store/store_s3.c \
	core/store/xml.c

CORE_SRC := \
	core/assemble.c \
	core/attach.c \
	core/build.c \
	core/build_forms.c \
	core/build_parts.c \
	core/build_tell.c \
	core/build_resolve.c \
	core/buildlog.c \
	core/cache.c \
	core/config.c \
	core/config_storage.c \
	core/counts.c \
	core/db.c \
	core/db_file.c \
	core/engine.c \
	core/failures.c \
	core/flight.c \
	core/forest.c \
	core/jobs.c \
	core/stages.c \
	core/keys.c \
	core/names.c \
	core/nix/answer.c \
	core/nix/errors.c \
	core/nix/errors_build.c \
	core/nix/eval.c \
	core/nix/flake.c \
	core/nix/index.c \
	core/nix/machine.c \
	core/nix/names.c \
	core/nix/offline.c \
	core/nix/open.c \
	core/nix/probe.c \
	core/nix/realise.c \
	core/nix/report.c \
	core/nix/roots.c \
	core/nix/run.c \
	core/nix/text.c \
	core/recent.c \
	core/records.c \
	core/resolve.c \
	core/resolve/channel.c \
	core/resolve/git.c \
	core/resolve/run.c \
	core/resolve/trees.c \
	core/resolve/worktree.c \
	core/state.c

FCGI_SRC := \
	fcgi/accept.c \
	fcgi/app.c \
	fcgi/attached.c \
	fcgi/listen.c \
	fcgi/lists.c \
	fcgi/park.c \
	fcgi/range.c \
	fcgi/registry.c \
	fcgi/request.c \
	fcgi/respond.c \
	fcgi/route.c \
	fcgi/server.c \
	fcgi/site.c

FCGI_MAIN := \
	fcgi/main.c

FIRN_SRC := \
	deploy/firn/build.c \
	deploy/firn/closure.c \
	deploy/firn/engine.c \
	deploy/firn/explain.c \
	deploy/firn/main.c \
	deploy/firn/options.c \
	deploy/firn/output.c \
	deploy/firn/pack.c \
	deploy/firn/popcount.c \
	deploy/firn/verify.c

UNIT_TESTS := \
	tests/unit/test_accept.c \
	tests/unit/test_assemble.c \
	tests/unit/test_attach.c \
	tests/unit/test_base.c \
	tests/unit/test_buildlog.c \
	tests/unit/test_cache.c \
	tests/unit/test_channel.c \
	tests/unit/test_cloud.c \
	tests/unit/test_cloud_faults.c \
	tests/unit/test_cloud_lost.c \
	tests/unit/test_compression.c \
	tests/unit/test_compress.c \
	tests/unit/test_config.c \
	tests/unit/test_counts.c \
	tests/unit/test_credentials.c \
	tests/unit/test_failures.c \
	tests/unit/test_fingerprint.c \
	tests/unit/test_flight.c \
	tests/unit/test_forest.c \
	tests/unit/test_fs.c \
	tests/unit/test_http.c \
	tests/unit/test_graph.c \
	tests/unit/test_image.c \
	tests/unit/test_jobs.c \
	tests/unit/test_keys.c \
	tests/unit/test_layers.c \
	tests/unit/test_log.c \
	tests/unit/test_manifest.c \
	tests/unit/test_members.c \
	tests/unit/test_names.c \
	tests/unit/test_nix.c \
	tests/unit/test_nix_faults.c \
	tests/unit/test_nix_text.c \
	tests/unit/test_pack.c \
	tests/unit/test_pack_faults.c \
	tests/unit/test_pool.c \
	tests/unit/test_popularity.c \
	tests/unit/test_proc.c \
	tests/unit/test_records.c \
	tests/unit/test_registry.c \
	tests/unit/test_resolve.c \
	tests/unit/test_respond.c \
	tests/unit/test_route.c \
	tests/unit/test_sbom.c \
	tests/unit/test_server.c \
	tests/unit/test_sign.c \
	tests/unit/test_sources.c \
	tests/unit/test_state.c \
	tests/unit/test_state_damage.c \
	tests/unit/test_state_versions.c \
	tests/unit/test_store.c \
	tests/unit/test_store_fs.c \
	tests/unit/test_tar.c

# tests/fuzz/fuzz_X.c: fuzzed by `make fuzz T=X`, replayed by `make unit`
FUZZ_TARGETS := \
	tests/fuzz/fuzz_answer.c \
	tests/fuzz/fuzz_config.c \
	tests/fuzz/fuzz_dump.c \
	tests/fuzz/fuzz_headers.c \
	tests/fuzz/fuzz_graph.c \
	tests/fuzz/fuzz_image.c \
	tests/fuzz/fuzz_json.c \
	tests/fuzz/fuzz_manifest.c \
	tests/fuzz/fuzz_narinfo.c \
	tests/fuzz/fuzz_nix.c \
	tests/fuzz/fuzz_records.c \
	tests/fuzz/fuzz_route.c

# --- flags

STD := -std=c17 -D_GNU_SOURCE -fno-common -fvisibility=hidden
WARN := -Wall -Wextra -Wpedantic -Wshadow -Wvla -Wformat=2 -Wundef \
	-Wwrite-strings -Wcast-qual -Wpointer-arith -Wstrict-prototypes \
	-Wmissing-prototypes -Wold-style-definition -Wconversion \
	-Wimplicit-fallthrough -Wswitch-enum -Wnull-dereference \
	-Wdouble-promotion \
	-Werror=implicit-function-declaration \
	-Werror=incompatible-pointer-types -Werror=int-conversion \
	-Werror=return-type -Werror=format-security
WARN_GCC := -Wlogical-op -Wduplicated-cond -Wduplicated-branches \
	-Wjump-misses-init -Walloc-zero -Wtrampolines
WARN_CLANG := -Wcomma -Wunreachable-code-aggressive

# $(call try,FLAG...): those that this compiler takes
try = $(foreach f,$(1),$(shell $(CC) -Werror $(f) -x c -c /dev/null \
	-o /dev/null 2>/dev/null && echo $(f)))

ifeq ($(findstring clang,$(shell $(CC) --version 2>/dev/null)),)
WARN += $(WARN_GCC)
else
WARN += $(WARN_CLANG)
endif
ifeq ($(WERROR),1)
WARN += -Werror
endif

HARDEN := -fstack-protector-strong -fstack-clash-protection \
	-fno-delete-null-pointer-checks -fno-strict-overflow
ifeq ($(VARIANT),release)
OPT := -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fPIE $(HARDEN) \
	$(call try,-fcf-protection=full -ftrivial-auto-var-init=zero \
	-fstrict-flex-arrays=3)
LINK := -pie -Wl,-z,relro,-z,now,-z,noexecstack,-z,defs,--as-needed
else ifeq ($(VARIANT),asan)
OPT := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all
LINK := -fsanitize=address,undefined
else ifeq ($(VARIANT),tsan)
OPT := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
LINK := -fsanitize=thread
else ifeq ($(VARIANT),valgrind)
OPT := -O1 -g
LINK :=
else ifeq ($(VARIANT),coverage)
OPT := -O0 -g --coverage
LINK := --coverage
else ifeq ($(VARIANT),fuzz)
OPT := -O1 -g -fno-omit-frame-pointer \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
LINK := -fsanitize=address,undefined
else
$(error VARIANT is one of release asan tsan valgrind coverage fuzz)
endif

CPPFLAGS_ALL := -I. -include core/base/banned.h \
	-DFIRN_VERSION='"$(VERSION)"' $(CPPFLAGS)
CFLAGS_ALL := $(STD) $(WARN) $(OPT) -pthread $(CFLAGS)
LDFLAGS_ALL := $(LINK) -pthread $(LDFLAGS)

LIBS_BASE := -lyajl -lcrypto
LIBS_PACK := -ldeflate -lzstd -lz
LIBS_ALL := $(LIBS_PACK) -lsqlite3 -lcurl $(LIBS_BASE)

# --- objects, one static library a directory, so that the linker proves who
#     depends on whom

obj = $(patsubst %.c,$(B)/%.o,$(1))

LIB_BASE := $(B)/libbase.a
LIB_SYS := $(B)/libsys.a
LIB_MODEL := $(B)/libmodel.a
LIB_PACK := $(B)/libpack.a
LIB_STORE := $(B)/libstore.a
LIB_CORE := $(B)/libcore.a
LIB_FCGI := $(B)/libfcgi_firn.a
# in link order: each needs only what stands behind it
LIBS_FIRN := $(LIB_CORE) $(LIB_STORE) $(LIB_PACK) $(LIB_MODEL) $(LIB_SYS) \
	$(LIB_BASE)

UNIT_BIN := $(patsubst tests/unit/%.c,$(B)/tests/%,$(UNIT_TESTS))
ALL_SRC := $(BASE_SRC) $(SYS_SRC) $(MODEL_SRC) $(PACK_SRC) $(STORE_SRC) \
	$(CORE_SRC) $(FCGI_SRC) $(FCGI_MAIN) $(FIRN_SRC)
ALL_HDR = $(shell git ls-files -co --exclude-standard '*.h')

.DEFAULT_GOAL := all
.PHONY: all
all: build/firn build/firn-fcgi

build/firn build/firn-fcgi build/firn-fcgi-fake: build/%: $(B)/%
	@ln -sfn $(VARIANT)/$* $@

# objects are made anew when the flags change
$(B)/flags: FORCE
	@mkdir -p $(B)
	@echo '$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL)' | cmp -s - $@ || \
		echo '$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL)' > $@
.PHONY: FORCE
FORCE:

$(B)/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) $(CPPFLAGS_$*) $(CFLAGS_ALL) -MMD -MP -c $< -o $@

# where the program will find its Nix expressions
CPPFLAGS_core/config := -DFIRN_NIX_DIR='"$(PREFIX)/share/firn/nix"'
$(B)/core/config.o: $(B)/prefix
$(B)/prefix: FORCE
	@mkdir -p $(B)
	@echo '$(PREFIX)' | cmp -s - $@ || echo '$(PREFIX)' > $@

$(LIB_BASE): $(call obj,$(BASE_SRC))
$(LIB_SYS): $(call obj,$(SYS_SRC))
$(LIB_MODEL): $(call obj,$(MODEL_SRC))
$(LIB_PACK): $(call obj,$(PACK_SRC))
$(LIB_STORE): $(call obj,$(STORE_SRC))
$(LIB_CORE): $(call obj,$(CORE_SRC))
$(LIB_FCGI): $(call obj,$(FCGI_SRC))
$(B)/%.a:
	@rm -f $@
	$(AR) rcs $@ $^

$(B)/firn-fcgi: $(call obj,$(FCGI_MAIN)) $(LIB_FCGI) $(LIBS_FIRN)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lfcgi $(LIBS_ALL)

$(B)/firn: $(call obj,$(FIRN_SRC)) $(LIBS_FIRN)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_ALL)

# the same program on an engine without Nix, for tests of HTTP
$(B)/firn-fcgi-fake: $(call obj,$(FCGI_MAIN) tests/support/fake_engine.c) \
		$(LIB_FCGI) $(LIBS_FIRN)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lfcgi $(LIBS_ALL)

# --- unit tests

$(B)/tests/%: $(B)/tests/unit/%.o
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(TEST_LIBS)

.PRECIOUS: $(B)/%.o $(B)/tests/unit/%.o

-include tests/unit/link.mk

# --- fuzz targets, which may know everything

FUZZ_LIBS := $(B)/tests/support/store_mem.o $(LIB_FCGI) $(LIBS_FIRN)
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_TARGETS))
REPLAY_BIN := $(patsubst %,$(B)/tests/replay_%,$(FUZZ_NAMES))
T ?= $(FUZZ_NAMES)
TIME ?= 60

$(B)/tests/replay_%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o \
		$(FUZZ_LIBS)
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_ALL)

$(B)/fuzz_%: $(B)/tests/fuzz/fuzz_%.o $(FUZZ_LIBS)
	$(CC) $(LDFLAGS_ALL) -fsanitize=fuzzer -o $@ $^ $(LIBS_ALL)

.PHONY: fuzz fuzz-run
fuzz:
	$(MAKE) VARIANT=fuzz CC=clang fuzz-run
fuzz-run: $(patsubst %,$(B)/fuzz_%,$(T))
	tests/fuzz/run $(B) $(TIME) $(T)

.PHONY: unit unit-build
unit-build: $(UNIT_BIN)
unit: $(UNIT_BIN) $(REPLAY_BIN)
	tests/support/run-tap $(UNIT_BIN) $(REPLAY_BIN)

# --- for people: each installs what it needs, and asks for root only then

.PHONY: help run start stop test bench pkgs
# what README.md says under "Development"
help:
	@awk -F ' *[|] *' '$$2 ~ /^`make/ { gsub("`", ""); \
		printf "%-34s %s\n", $$2, $$3 }' README.md
run start:
	@deploy/dev/install build run
	@$(MAKE) --no-print-directory all
	@deploy/dev/serve $@
stop:
	@deploy/dev/serve stop
test:
	@deploy/dev/install build run test
	@$(MAKE) --no-print-directory all
	@tests/pkgs/prepare
	@tests/run lint unit e2e
bench:
	@deploy/dev/install build run test
	@$(MAKE) --no-print-directory all
	@tests/pkgs/prepare
	@tests/bench/http
	@tests/bench/nix
# storage: the contract on each backend, then clouds end to end (`make test`
# has the contract too, and pulls from clouds that are made up)
.PHONY: test-storage
test-storage:
	@deploy/dev/install build run test
	@$(MAKE) --no-print-directory all
	@tests/pkgs/prepare
	@FIRN_TEST_LONG=1 LONG=1 tests/run contract clouds
# the official conformance suite, and every client there is
# (test-patience: and a build of four minutes, for which each of them waits)
.PHONY: conformance test-patience
conformance test-patience:
	@deploy/dev/install build run test clients
	@$(MAKE) --no-print-directory all
	@tests/pkgs/prepare
	@LONG=$(filter test-patience,$@) tests/run clients
pkgs:
	@deploy/dev/install run
	@tests/pkgs/prepare

# --- checks

.PHONY: check-headers check-layers check-auto check-config check-manual \
	check-install format format-check
check-headers:
	tests/lint/check-headers '$(CC)' '$(CPPFLAGS_ALL) $(STD)' $(ALL_HDR)
check-layers:
	tests/lint/check-layers tests/lint/layers.txt

check-auto:
	tests/lint/check-auto $(filter %.c,$(FORMATTED))

CONFIG_TABLE := $(B)/tests/lint/config_table
$(CONFIG_TABLE): $(CONFIG_TABLE).o $(LIBS_FIRN)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_BASE)
check-config: $(CONFIG_TABLE)
	tests/lint/check-config $< $(PREFIX) deploy/man/firn.env.5 \
		deploy/example.env README.md
check-manual: $(B)/firn
	tests/lint/check-manual $< deploy/man/firn.8
check-install: $(CONFIG_TABLE)
	tests/lint/check-install '$(MAKE)' $(PREFIX) $<

FORMATTED = $(shell git ls-files -co --exclude-standard '*.c' '*.h')
format:
	clang-format -i $(FORMATTED)
format-check:
	clang-format --dry-run --Werror $(FORMATTED)

.PHONY: tidy
tidy:
	tests/lint/tidy

.PHONY: asan tsan
asan tsan:
	$(MAKE) VARIANT=$@ unit

# It does not know pidfd_open, so what starts processes can't run; leaks, and
# inputs by the hundred, are for asan, which is ten times as fast.
VALGRIND := valgrind -q --error-exitcode=99 --leak-check=no
VALGRIND_NOT := $(patsubst %,$(B)/tests/test_%,channel nix nix_faults \
	proc sources)
.PHONY: valgrind
valgrind:
	$(MAKE) VARIANT=$@ valgrind-run
.PHONY: valgrind-run
valgrind-run: $(filter-out $(VALGRIND_NOT),$(UNIT_BIN))
	RUN='$(VALGRIND)' tests/support/run-tap $^

# of core and fcgi by the unit tests; build/coverage/html/index.html
.PHONY: coverage
coverage:
	find build/coverage -name '*.gcda' -delete 2>/dev/null || true
	$(MAKE) VARIANT=$@ unit
	tests/support/coverage build/coverage

# --- installing: what goes where, as MODE:FILE:PLACE below PREFIX. Text has
#     @PREFIX@ replaced.

INSTALLED = \
	755:$(B)/firn:bin/firn \
	755:$(B)/firn-fcgi:bin/firn-fcgi \
	$(foreach f,$(wildcard nix/*.nix),644:$(f):share/firn/$(f)) \
	$(foreach f,$(wildcard nginx/*.conf),644:$(f):share/firn/$(f)) \
	644:deploy/man/firn.8:share/man/man8/firn.8 \
	644:deploy/man/firn-fcgi.8:share/man/man8/firn-fcgi.8 \
	644:deploy/man/firn.env.5:share/man/man5/firn.env.5 \
	644:deploy/example.env:share/doc/firn/example.env \
	644:deploy/clients/hosts.toml:share/doc/firn/clients/hosts.toml \
	644:deploy/clients/registries.conf:share/doc/firn/clients/registries.conf \
	644:README.md:share/doc/firn/README.md \
	644:LICENSE:share/doc/firn/LICENSE \
	644:deploy/systemd/firn.service.in:lib/systemd/system/firn.service \
	644:deploy/systemd/firn.socket:lib/systemd/system/firn.socket \
	644:deploy/sysusers.d/firn.conf:lib/sysusers.d/firn.conf \
	644:deploy/tmpfiles.d/firn.conf:lib/tmpfiles.d/firn.conf

.PHONY: install uninstall dist
install: all
	@set -e; umask 022; for i in $(INSTALLED); do \
		mode=$${i%%:*}; i=$${i#*:}; \
		from=$${i%%:*}; to='$(DESTDIR)$(PREFIX)'/$${i#*:}; \
		mkdir -p "$${to%/*}"; \
		if [ $$mode = 755 ]; then \
			install -m 755 "$$from" "$$to"; \
		else \
			sed 's|@PREFIX@|$(PREFIX)|g' "$$from" > "$$to"; \
			chmod 644 "$$to"; \
		fi; \
	done
uninstall:
	@for i in $(INSTALLED); do \
		rm -f '$(DESTDIR)$(PREFIX)'/"$${i##*:}"; \
	done
	@for d in firn/nix firn/nginx firn doc/firn/clients doc/firn; do \
		rmdir '$(DESTDIR)$(PREFIX)/share/'$$d 2>/dev/null; \
	done; true
dist:
	@mkdir -p build
	git archive --prefix=firn-$(VERSION)/ HEAD | gzip -9n \
		> build/firn-$(VERSION).tar.gz

# --- measurements; nothing depends on them. BENCH="--rounds 9 --tree DIR"

# what layers cost those who pull, and what planning them takes
BENCH_LAYERS := $(B)/tests/bench/layers
BENCH_LAYERS_OBJ := $(patsubst %,$(B)/tests/bench/%.o,bench_layers trace \
	universe)
$(BENCH_LAYERS): $(BENCH_LAYERS_OBJ) $(LIB_MODEL) $(LIB_BASE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ -lz $(LIBS_BASE)
.PHONY: bench-layers
bench-layers: $(BENCH_LAYERS)
	@sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sort | uniq -c
	@$(CC) --version | head -n 1; uname -sr; echo 'firn $(VERSION)'
	@$< replay tests/bench/universe.tsv.gz
	@$< time tests/bench/universe.tsv.gz

.PHONY: bench-pack
bench-pack: $(B)/firn $(B)/tests/bench/floor
	tests/bench/pack.py $(BENCH) $(B)
$(B)/tests/bench/floor: $(B)/tests/bench/floor.o $(LIB_PACK) $(LIB_SYS) \
	$(LIB_BASE)
	$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS_BASE)

# a new image in a warm store, beside nix-build and (NIXERY_DIR=) Nixery
.PHONY: bench-nix
bench-nix: all
	@tests/pkgs/prepare
	@tests/bench/nix

# The Nix side against the Nix of four Debian releases; needs root.
.PHONY: test-nix-versions
test-nix-versions: $(TESTS_NIX)
	TESTS_NIX='$(abspath $^)' tests/nix/versions $(SUITES)

.PHONY: clean
clean:
	rm -rf build

-include $(patsubst %.o,%.d,$(call obj,$(ALL_SRC)))
-include $(wildcard $(B)/tests/*/*.d)
