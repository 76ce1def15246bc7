# SPDX-License-Identifier: Apache-2.0
#
# What each unit test is linked with: no more than its room may know
# (tests/lint/layers.txt). Part of the Makefile.

$(B)/tests/test_accept: $(LIB_FCGI) $(LIB_BASE)
$(B)/tests/test_accept: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_base: $(LIB_BASE)
$(B)/tests/test_base: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_compression: $(LIB_MODEL) $(LIB_BASE)
$(B)/tests/test_compression: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_config: $(LIB_CORE) $(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_config: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_flight: $(LIB_CORE) $(LIB_BASE)
$(B)/tests/test_counts: $(LIB_CORE) $(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_counts: TEST_LIBS = -lcurl $(LIBS_BASE)
$(B)/tests/test_flight: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_failures: $(LIB_CORE) $(LIB_BASE)
$(B)/tests/test_failures: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_http: $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_http: TEST_LIBS = -lcurl $(LIBS_BASE)
$(B)/tests/test_graph: $(LIB_MODEL) $(LIB_BASE)
$(B)/tests/test_graph: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_image: $(LIB_MODEL) $(LIB_BASE)
$(B)/tests/test_image: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_jobs: $(LIB_CORE) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_jobs: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_keys: $(LIB_CORE) $(LIB_MODEL) $(LIB_BASE)
$(B)/tests/test_keys: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_layers: $(LIB_MODEL) $(LIB_BASE)
$(B)/tests/test_layers: TEST_LIBS = $(LIBS_BASE)
TESTS_NIX := $(addprefix $(B)/tests/,test_nix test_nix_faults)
$(TESTS_NIX): $(B)/tests/support/nix_set.o $(LIB_CORE) $(LIB_MODEL) \
	$(LIB_SYS) $(LIB_BASE)
$(TESTS_NIX): TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_nix_text: $(LIB_CORE) $(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_nix_text: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_popularity: $(LIB_MODEL) $(LIB_BASE)
$(B)/tests/test_popularity: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_proc: $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_proc: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_registry: $(B)/tests/support/fake_engine.o $(LIB_FCGI) \
	$(LIBS_FIRN)
$(B)/tests/test_registry: TEST_LIBS = -lfcgi $(LIBS_ALL)
$(B)/tests/test_sources: $(LIB_CORE) $(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_sources: TEST_LIBS = -lcurl $(LIBS_BASE)
$(B)/tests/test_respond: $(LIB_FCGI) $(LIB_BASE)
$(B)/tests/test_respond: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_route: $(LIB_FCGI) $(LIB_BASE)
$(B)/tests/test_route: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_sbom: $(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_sbom: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_server: $(LIB_FCGI) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_server: TEST_LIBS = -lfcgi $(LIBS_BASE)
$(B)/tests/test_sign: $(LIB_STORE) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_sign: TEST_LIBS = $(LIBS_BASE)
TESTS_CLOUD := $(addprefix $(B)/tests/,test_cloud test_cloud_faults \
	test_cloud_lost test_credentials)
$(TESTS_CLOUD): $(B)/tests/support/clouds.o $(LIB_STORE) \
	$(LIB_SYS) $(LIB_BASE)
$(TESTS_CLOUD): TEST_LIBS = -lcurl $(LIBS_BASE)
$(B)/tests/test_store: $(B)/tests/support/clouds.o \
	$(B)/tests/support/store_mem.o $(LIB_STORE) \
	$(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_store_fs: $(LIB_STORE) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_store $(B)/tests/test_store_fs: \
	TEST_LIBS = -lcurl $(LIBS_BASE)
TESTS_PACK := $(addprefix $(B)/tests/,test_compress test_members test_pack \
	test_pack_faults test_pool)
$(TESTS_PACK): $(LIB_PACK) $(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(TESTS_PACK): TEST_LIBS = $(LIBS_PACK) $(LIBS_BASE)
$(B)/tests/test_tar: $(LIB_PACK) $(LIB_BASE)
$(B)/tests/test_tar: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_manifest: $(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_manifest: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_forest: $(B)/tests/support/tree.o $(LIB_CORE) $(LIB_PACK) \
	$(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_forest: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_records: $(B)/tests/support/store_mem.o \
	$(B)/tests/support/tree.o $(LIB_CORE) $(LIB_STORE) $(LIB_MODEL) \
	$(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_records: TEST_LIBS = -lcurl $(LIBS_BASE)
$(B)/tests/test_names: $(B)/tests/support/store_mem.o \
	$(B)/tests/support/tree.o $(LIB_CORE) $(LIB_STORE) $(LIB_MODEL) \
	$(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_names: TEST_LIBS = -lcurl -lsqlite3 $(LIBS_BASE)
$(B)/tests/test_attach: $(B)/tests/support/store_mem.o \
	$(B)/tests/support/tree.o $(LIB_CORE) $(LIB_STORE) $(LIB_MODEL) \
	$(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_attach: TEST_LIBS = -lsqlite3 $(LIBS_BASE)
$(B)/tests/test_buildlog: $(B)/tests/support/tree.o $(LIB_CORE) $(LIB_SYS) \
	$(LIB_BASE)
$(B)/tests/test_buildlog: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_cache: $(B)/tests/support/store_mem.o \
	$(B)/tests/support/tree.o $(LIB_CORE) $(LIB_STORE) $(LIB_MODEL) \
	$(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_cache: TEST_LIBS = -lsqlite3 $(LIBS_BASE)
TESTS_STATE := $(addprefix $(B)/tests/,test_state test_state_damage \
	test_state_versions)
$(TESTS_STATE): $(B)/tests/support/rows.o $(B)/tests/support/tree.o \
	$(LIB_CORE) $(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(TESTS_STATE): TEST_LIBS = -lsqlite3 $(LIBS_BASE)
$(B)/tests/test_channel: $(B)/tests/support/tree.o $(LIB_CORE) \
	$(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_channel: TEST_LIBS = -lcurl $(LIBS_BASE)
$(B)/tests/test_resolve: $(B)/tests/support/tree.o $(LIB_CORE) \
	$(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_resolve: TEST_LIBS = -lcurl $(LIBS_BASE)
$(B)/tests/test_fingerprint: $(B)/tests/support/tree.o $(LIB_SYS) \
	$(LIB_BASE)
$(B)/tests/test_fingerprint: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_log: $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_log: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_fs: $(B)/tests/support/tree.o $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_fs: TEST_LIBS = $(LIBS_BASE)
$(B)/tests/test_assemble: $(B)/tests/support/store_mem.o \
	$(B)/tests/support/tree.o $(LIB_CORE) $(LIB_STORE) $(LIB_PACK) \
	$(LIB_MODEL) $(LIB_SYS) $(LIB_BASE)
$(B)/tests/test_assemble: TEST_LIBS = -lsqlite3 $(LIBS_PACK) $(LIBS_BASE)
