/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Golden bytes are in tests/golden/manifest: they were written by another
 * program from the specification, and their digests are in SHA256SUMS there.
 */

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/base/json.h"
#include "core/model/image.h"
#include "core/model/manifest.h"
#include "core/sys/fs.h"
#include "tests/support/must.h"
#include "tests/support/tap.h"

#define GOLDEN "tests/golden/manifest"
#define REJECT "tests/reject/manifest"

static const char *const glibc[] = {
	"/nix/store/00000000000000000000000000000000-glibc-2.36"};
static const char *const bash_git[] = {
	"/nix/store/11111111111111111111111111111111-bash-5.2",
	"/nix/store/22222222222222222222222222222222-git-2.39"};

static struct manifest_layer shell_layers[] = {
	{.layer = {.size = 1000}, .paths = glibc, .n_paths = 1},
	{.layer = {.size = UINT64_MAX, .compression = COMPRESSION_ZSTD},
	 .paths = bash_git,
	 .n_paths = 2},
	{.layer = {.size = 77}, .comment = "links and base files"},
};
static struct manifest_layer plain_layers[] = {
	{.layer = {.size = 1}, .paths = glibc, .n_paths = 1},
};

static struct {
	const char *name, *arch;
	struct manifest_input in;
} cases[] = {
	{"shell",
	 "arm64",
	 {.layers = shell_layers,
	  .n_layers = 3,
	  .created = 1700665445,
	  .revision = "0123456789abcdef",
	  .path = "/bin:/sbin:/usr/bin",
	  .cert_file = "/etc/ssl/certs/ca-bundle.crt",
	  .command = "bash"}},
	{"plain",
	 "amd64",
	 {.layers = plain_layers, .n_layers = 1, .path = "/bin:/usr/bin"}},
	{"empty",
	 "amd64",
	 {.created = UINT64_MAX,
	  .revision = "r\"\\\xC3\xA9",
	  .path = "/bin:/usr/bin"}},
};

/* The digests that the golden files name: of "blob 0", "diff 0" and so on. */
static void
set_digests(struct manifest_layer *l, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char text[16];
		int k = snprintf(text, sizeof(text), "blob %zu", i);

		digest_of(text, (size_t)k, &l[i].layer.digest);
		memcpy(text, "diff", 4);
		digest_of(text, (size_t)k, &l[i].layer.diff_id);
	}
}

static void
read_golden(const char *name, struct buf *to)
{
	AUTO(buf) struct buf path = BUF_INIT;
	struct err e = ERR_INIT;

	buf_printf(&path, "%s/%s", GOLDEN, name);
	must(fs_read_file(path.p, 1u << 20, to, &e), &e);
}

/* Compare with the golden file and with its line in SHA256SUMS. */
static void
is_golden(const struct buf *got, const char *name, const char *part)
{
	AUTO(buf) struct buf want = BUF_INIT, sums = BUF_INIT, line = BUF_INIT;
	AUTO(buf) struct buf file = BUF_INIT;
	char hex[DIGEST_HEX_CAP];
	struct digest d;

	buf_printf(&file, "%s.%s.json", name, part);
	read_golden(file.p, &want);
	read_golden("SHA256SUMS", &sums);
	is_str(got->p, want.p, file.p);
	digest_of(got->p, got->len, &d);
	digest_hex(&d, hex);
	buf_printf(&line, "%s  %s\n", hex, file.p);
	ok(strstr(sums.p, line.p), "  and its digest is %s", hex);
}

/* What was written is read back: config first, then the layers. */
static void
test_read_back(const struct manifest_input *in, const struct digest *config,
	       const struct buf *text)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	struct manifest_summary s = {.n = 0};
	struct err e = ERR_INIT;
	bool good;

	if (!ok(manifest_read(&a, text->p, text->len, &s, &e) == 0,
		"  it is read back %s", e.msg))
		return;
	is_str(s.media_type, MEDIA_TYPE_MANIFEST, "  as a manifest");
	good = s.n == in->n_layers + 1 && digest_eq(&s.blobs[0], config);
	for (size_t i = 0; good && i < in->n_layers; i++)
		good = digest_eq(&s.blobs[i + 1],
				 &in->layers[i].layer.digest) &&
		       s.sizes[i + 1] == in->layers[i].layer.size;
	ok(good, "  with all its blobs");
}

static void
test_golden(size_t i)
{
	AUTO(buf) struct buf config = BUF_INIT, manifest = BUF_INIT;
	struct manifest_input in = cases[i].in;
	struct digest d;

	in.platform = platform_find(cases[i].arch);
	manifest_write_config(&in, &config);
	digest_of(config.p, config.len, &d);
	manifest_write(&in, &d, config.len, &manifest);
	is_golden(&config, cases[i].name, "config");
	is_golden(&manifest, cases[i].name, "manifest");
	test_read_back(&in, &d, &manifest);
}

/* buildah and others refuse an image whose history is shorter or longer. */
static void
test_history(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf config = BUF_INIT;
	struct manifest_input in = cases[0].in;
	const struct json *v = NULL, *history, *ids;
	struct err e = ERR_INIT;

	in.platform = platform_find("arm64");
	manifest_write_config(&in, &config);
	if (!ok(json_parse(&a, config.p, config.len, NULL, &v, &e) == 0,
		"the config is JSON"))
		return;
	history = json_get(v, "history");
	ids = json_get(json_get(v, "rootfs"), "diff_ids");
	ok(json_is(history, JSON_ARRAY) && json_is(ids, JSON_ARRAY) &&
		   history->n == in.n_layers && ids->n == in.n_layers,
	   "one entry of the history for each layer");
	is_str(json_get_str(history->kids->next, "comment"),
	       "/nix/store/11111111111111111111111111111111-bash-5.2 "
	       "/nix/store/22222222222222222222222222222222-git-2.39",
	       "it names the store paths");
	is_str(json_get_str(history->kids->next->next, "comment"),
	       "links and base files", "or says what else is in it");
}

static void
test_appends(void)
{
	AUTO(buf) struct buf b = BUF_INIT;
	struct manifest_input in = cases[1].in;

	in.platform = platform_find("amd64");
	buf_adds(&b, "before");
	manifest_write_config(&in, &b);
	ok(str_has_prefix(b.p, "before{"), "what is in the buffer stays");
}

/* Docker's form of a manifest says the same under other names. */
static void
test_docker(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf oci = BUF_INIT, docker = BUF_INIT;
	struct manifest_summary s = {.n = 0}, t = {.n = 0};
	struct err e = ERR_INIT;
	struct digest config;
	struct manifest_layer zstd = {
		.layer = {.compression = COMPRESSION_ZSTD}};
	const struct manifest_input in = {.layers = &zstd, .n_layers = 1};

	digest_of("config", 6, &config);
	manifest_write(&cases[1].in, &config, 6, &oci);
	ok(manifest_write_docker(oci.p, oci.len, &docker, &e) == 0 &&
		   manifest_read(&a, oci.p, oci.len, &s, &e) == 0 &&
		   manifest_read(&a, docker.p, docker.len, &t, &e) == 0,
	   "Docker's form is made and read %s", e.msg);
	is_str(t.media_type, MEDIA_TYPE_DOCKER_MANIFEST, "  with its type");
	ok(s.n == t.n && memcmp(s.blobs, t.blobs, s.n * sizeof(*s.blobs)) == 0,
	   "  and the same blobs");
	ok(strstr(docker.p, MEDIA_TYPE_DOCKER_CONFIG) &&
		   strstr(docker.p, MEDIA_TYPE_DOCKER_LAYER) &&
		   !strstr(docker.p, "oci"),
	   "  and no word of OCI");
	buf_clear(&oci);
	buf_clear(&docker);
	manifest_write(&in, &config, 6, &oci);
	ok(manifest_write_docker(oci.p, oci.len, &docker, &e) < 0 &&
		   e.kind == ERR_INVALID && docker.len == 0,
	   "  but not of zstd layers: %s", e.msg);
	err_clear(&e);
	ok(manifest_write_docker("[]", 2, &docker, &e) < 0,
	   "  nor of something else: %s", e.msg);
}

static void
test_index_forms(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf b = BUF_INIT;
	struct manifest_summary s = {.n = 0};
	struct err e = ERR_INIT;
	struct manifest_child c[2] = {
		{.platform = platform_find("amd64"),
		 .size = 3,
		 .media_type = MEDIA_TYPE_MANIFEST},
		{.platform = platform_find("arm64"),
		 .size = 4,
		 .media_type = MEDIA_TYPE_MANIFEST},
	};

	digest_of("one", 3, &c[0].digest);
	digest_of("two", 3, &c[1].digest);
	manifest_write_index(MANIFEST_OCI, c, 2, "linux/arm64: \"no\"", &b);
	ok(manifest_read(&a, b.p, b.len, &s, &e) == 0 && s.n == 2 &&
		   digest_eq(&s.blobs[1], &c[1].digest),
	   "an index is written and read %s", e.msg);
	is_str(s.missing, "linux/arm64: \"no\"", "  with what is missing");
	buf_clear(&b);
	manifest_write_index(MANIFEST_DOCKER, c, 1, "x", &b);
	ok(manifest_read(&a, b.p, b.len, &s, &e) == 0 && s.n == 1 &&
		   !s.missing && manifest_is_index(s.media_type),
	   "and a Docker list %s", e.msg);
}

static void
test_index(void)
{
	static const char text[] =
		"{\"schemaVersion\":2,\"mediaType\":\"" MEDIA_TYPE_INDEX
		"\",\"manifests\":[{\"digest\":\"sha256:ba7816bf8f01cfea414140d"
		"e5dae2223b00361a396177a9cb410ff61f20015ad\",\"size\":3}]}";
	AUTO(arena) struct arena a = ARENA_INIT;
	struct manifest_summary s = {.n = 0};
	struct err e = ERR_INIT;
	struct digest abc;

	digest_of("abc", 3, &abc);
	ok(manifest_read(&a, text, strlen(text), &s, &e) == 0 && s.n == 1 &&
		   digest_eq(&s.blobs[0], &abc),
	   "an index and its children %s", e.msg);
	is_str(s.media_type, MEDIA_TYPE_INDEX, "  as an index");
}

static void
test_reject(void)
{
	struct fs_names names = {.n = 0};
	struct err e = ERR_INIT;

	ok(fs_list(REJECT, &names, &e) == 0 && names.n > 20,
	   "%zu texts to be refused %s", names.n, e.msg);
	for (size_t i = 0; i < names.n; i++) {
		AUTO(arena) struct arena a = ARENA_INIT;
		AUTO(buf) struct buf path = BUF_INIT, text = BUF_INIT;
		struct manifest_summary s = {.n = 0};

		err_clear(&e);
		buf_printf(&path, "%s/%s", REJECT, names.v[i]);
		ok(fs_read_file(path.p, 1u << 20, &text, &e) == 0 &&
			   manifest_read(&a, text.p, text.len, &s, &e) < 0 &&
			   e.kind == ERR_INVALID,
		   "refused: %s (%s)", names.v[i], e.msg);
	}
	fs_names_free(&names);
}

static void
test_too_many(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct manifest_summary s = {.n = 0};
	char digest[DIGEST_TEXT_CAP];
	struct err e = ERR_INIT;
	struct digest d;

	digest_of("abc", 3, &d);
	digest_text(&d, digest);
	buf_printf(&text,
		   "{\"schemaVersion\":2,\"mediaType\":\"%s\","
		   "\"manifests\":[",
		   MEDIA_TYPE_INDEX);
	for (int i = 0; i < 4097; i++)
		buf_printf(&text, "%s{\"digest\":\"%s\",\"size\":1}",
			   i ? "," : "", digest);
	buf_adds(&text, "]}");
	ok(manifest_read(&a, text.p, text.len, &s, &e) < 0 &&
		   e.kind == ERR_INVALID,
	   "refused: 4097 descriptors (%s)", e.msg);
}

int
main(void)
{
	set_digests(shell_layers, ARRAY_LEN(shell_layers));
	set_digests(plain_layers, ARRAY_LEN(plain_layers));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		test_golden(i);
	test_history();
	test_appends();
	test_index();
	test_docker();
	test_index_forms();
	test_reject();
	test_too_many();
	return done_testing();
}
