/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Documents for a small closure against tests/golden/sbom, which
 * tests/support/sbom-check holds against the formats' schemas.
 */

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/model/artifact.h"
#include "core/model/graph.h"
#include "core/model/manifest.h"
#include "core/model/sbom.h"
#include "core/sys/fs.h"
#include "tests/support/must.h"
#include "tests/support/tap.h"

#define GOLDEN "tests/golden/sbom"
#define STORE "/nix/store/"

static const size_t bash_refs[] = {1}, git_refs[] = {0, 1, 3};
static struct graph_node nodes[] = {
	{.path = STORE "00000000000000000000000000000000-bash-interactive-5.2",
	 .nar_size = 1000,
	 .refs = bash_refs,
	 .n_refs = 1},
	{.path = STORE "11111111111111111111111111111111-glibc-2.36-lib",
	 .nar_size = 2000},
	{.path = STORE "22222222222222222222222222222222-git-2.39+a?b=c_d",
	 .nar_size = 3000,
	 .refs = git_refs,
	 .n_refs = 3},
	{.path = STORE "33333333333333333333333333333333-iana-etc",
	 .nar_size = 4000},
};
static const struct graph graph = {.nodes = nodes, .n = ARRAY_LEN(nodes)};

static struct digest layers[2], image;
static struct sbom_path paths[] = {
	{.layer = &layers[0],
	 .attribute = "bashInteractive",
	 .output = "out",
	 .license = "GPL-3.0-or-later AND LicenseRef-own"},
	{.layer = &layers[0]},
	{.layer = &layers[1],
	 .attribute = "git",
	 .output = "out",
	 .license = "LicenseRef-own AND (MIT OR LicenseRef-b.2)"},
	{.layer = &layers[1], .attribute = "iana-etc", .output = "out"},
};
static const struct sbom_input input = {
	.name = "shell/git",
	.image = &image,
	.arch = "amd64",
	.created = "2023-11-22T14:50:45Z",
	.graph = &graph,
	.paths = paths,
};

static void
fill_in(void)
{
	digest_of("layer 0", 7, &layers[0]);
	digest_of("layer 1", 7, &layers[1]);
	digest_of("image", 5, &image);
	for (size_t i = 0; i + 1 < ARRAY_LEN(nodes); i++)
		digest_of(nodes[i].path, strlen(nodes[i].path),
			  &nodes[i].nar_hash);
}

static void
test_names(void)
{
	static const struct {
		const char *in, *output, *want;
	} cases[] = {
		{"git-2.39.5", NULL, "git|2.39.5|"},
		{"bash-interactive-5.2p15", NULL, "bash-interactive|5.2p15|"},
		{"openssl-3.0.8-dev", NULL, "openssl|3.0.8|dev"},
		{"openssl-3.0.8-bin", "bin", "openssl|3.0.8|bin"},
		{"foo-1.0-terminfo", "terminfo", "foo|1.0|terminfo"},
		{"foo-1.0-terminfo", NULL, "foo|1.0-terminfo|"},
		{"foo-1.0-rc1", NULL, "foo|1.0-rc1|"},
		{"iana-etc", NULL, "iana-etc||"},
		{"ca-dev", NULL, "ca-dev||"},
		{"libx-dev-1", NULL, "libx-dev|1|"},
		{"a-1-dev", NULL, "a|1|dev"},
		{"a-", NULL, "a-||"},
		{"a--b", NULL, "a|-b|"},
		{"0ad-0.0.26", NULL, "0ad|0.0.26|"},
		{"x", NULL, "x||"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf) struct buf path = BUF_INIT, got = BUF_INIT;
		struct sbom_name n;

		buf_printf(&path, STORE "%032d-%s", 0, cases[i].in);
		sbom_split_name(path.p, cases[i].output, &n);
		buf_printf(&got, "%.*s|%.*s|%.*s", (int)n.name.n, n.name.p,
			   (int)n.version.n, n.version.p, (int)n.output.n,
			   n.output.p);
		is_str(got.p, cases[i].want, cases[i].in);
	}
}

static void
is_golden(const struct buf *got, const char *name)
{
	AUTO(buf) struct buf path = BUF_INIT, want = BUF_INIT;
	struct err e = ERR_INIT;

	buf_printf(&path, GOLDEN "/%s", name);
	must(fs_read_file(path.p, 1u << 20, &want, &e), &e);
	is_str(got->p, want.p, name);
}

static void
test_documents(void)
{
	for (int f = 0; f < SBOM_FORMATS; f++) {
		AUTO(buf) struct buf one = BUF_INIT, again = BUF_INIT;
		AUTO(buf) struct buf other = BUF_INIT;
		enum sbom_format format = (enum sbom_format)f;

		sbom_write(format, &input, &one);
		is_golden(&one, sbom_file_name(format));
		sbom_write(format, &input, &again);
		is_str(again.p, one.p, "  the same once more");
		paths[1].license = "MIT";
		sbom_write(format, &input, &other);
		paths[1].license = NULL;
		ok(strncmp(other.p, one.p, 300) != 0,
		   "  another document has another identifier");
	}
}

/* An empty closure is a document still. */
static void
test_empty(void)
{
	static const struct graph none = {.n = 0};
	struct sbom_input in = input;

	in.graph = &none;
	for (int f = 0; f < SBOM_FORMATS; f++) {
		AUTO(buf) struct buf text = BUF_INIT;

		sbom_write((enum sbom_format)f, &in, &text);
		ok(strstr(text.p, "shell/git"), "an empty closure");
	}
}

/* --- artifacts */

static const struct artifact artifact = {
	.type = "application/spdx+json",
	.file_name = "sbom.spdx.json",
	.created = "2023-11-22T14:50:45Z",
	.platform = "linux/amd64",
	.size = 1234,
};

static void
test_artifact(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct artifact_manifest subject = {MEDIA_TYPE_MANIFEST, image, 567};
	struct manifest_summary summary;
	struct err e = ERR_INIT;
	struct artifact back;

	artifact_write(&artifact, &subject, &text);
	is_golden(&text, "artifact.json");
	ok(artifact_read(&a, text.p, text.len, &back, &e) == 0 &&
		   digest_eq(&back.document, &artifact.document) &&
		   back.size == 1234,
	   "an artifact is read back %s", e.msg);
	is_str(back.type, artifact.type, "  its type");
	is_str(back.file_name, artifact.file_name, "  its file's name");
	is_str(back.created, artifact.created, "  its time");
	is_str(back.platform, artifact.platform, "  its platform");
	ok(manifest_read(&a, text.p, text.len, &summary, &e) == 0 &&
		   summary.n == 2,
	   "  and it is a manifest of two blobs");
}

static void
test_referrers(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct referrer list[] = {
		{.digest = layers[0],
		 .size = 10,
		 .type = "application/spdx+json",
		 .created = artifact.created,
		 .platform = "linux/amd64"},
		{.digest = layers[1],
		 .size = 20,
		 .type = "application/vnd.cyclonedx+json",
		 .created = artifact.created,
		 .platform = "linux/amd64"},
	};
	struct referrers in = {list, 2}, back = {.n = 0};
	struct err e = ERR_INIT;

	referrers_write(&in, &text);
	is_golden(&text, "referrers.json");
	ok(referrers_read(&a, text.p, text.len, &back, &e) == 0 && back.n == 2,
	   "a list is read back %s", e.msg);
	referrers_filter(&back, "application/vnd.cyclonedx+json");
	ok(back.n == 1 && digest_eq(&back.v[0].digest, &layers[1]) &&
		   back.v[0].size == 20,
	   "  one type of it");
	referrers_filter(&back, "application/none");
	is_u64(back.n, 0, "  a type that isn't there");
}

static void
test_refused(void)
{
	static const char *const texts[] = {
		"",
		"[]",
		"{}",
		"{\"manifests\":{}}",
		"{\"manifests\":[1]}",
		"{\"manifests\":[{\"digest\":\"sha256:00\",\"size\":1}]}",
		"{\"artifactType\":\"x\",\"layers\":[]}",
		"{\"artifactType\":\"x\",\"layers\":[{}],\"annotations\":{}}",
	};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		AUTO(arena) struct arena a = ARENA_INIT;
		struct err e = ERR_INIT, e2 = ERR_INIT;
		struct referrers list;
		struct artifact one;
		size_t n = strlen(texts[i]);

		ok(artifact_read(&a, texts[i], n, &one, &e) < 0 &&
			   referrers_read(&a, texts[i], n, &list, &e2) < 0,
		   "refused: %s", texts[i]);
	}
}

int
main(void)
{
	fill_in();
	test_names();
	test_documents();
	test_empty();
	test_artifact();
	test_referrers();
	test_refused();
	return done_testing();
}
