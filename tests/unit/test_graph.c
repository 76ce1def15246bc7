/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/arena.h"
#include "core/base/buf.h"
#include "core/base/err.h"
#include "core/model/graph.h"
#include "tests/support/files.h"
#include "tests/support/tap.h"

#define REJECT "tests/reject/graph"
#define A "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-app-1"
#define B "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-lib-2"
#define C "/nix/store/cccccccccccccccccccccccccccccccc-libc-3"
#define HEX "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static int
parse(struct arena *a, const char *text, size_t n, bool dump, struct graph *g,
      struct err *e)
{
	return dump ? graph_parse_dump(a, text, n, "/nix/store", g, e)
		    : graph_parse_json(a, text, n, g, e);
}

static void
test_dump(void)
{
	static const char text[] = B "\n" HEX "\n20\n\n2\n" B "\n" C "\n" A
				     "\n" HEX "\n10\n/nix/store/x.drv\n2\n" C
				     "\n" B "\n" C "\n" HEX "\n30\n\n0\n";
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct graph g;
	char hex[DIGEST_HEX_CAP];
	size_t order[3];

	if (!ok(parse(&a, text, strlen(text), true, &g, &e) == 0,
		"what Nix dumps is read"))
		return;
	is_u64(g.n, 3, "three nodes");
	is_str(g.nodes[0].path, A, "nodes are sorted by path");
	is_u64(g.nodes[1].nar_size, 20, "a size");
	digest_hex(&g.nodes[2].nar_hash, hex);
	is_str(hex, HEX, "a hash");
	ok(g.nodes[0].n_refs == 2 && g.nodes[0].refs[0] == 1 &&
		   g.nodes[0].refs[1] == 2,
	   "references are sorted indices");
	ok(g.nodes[1].n_refs == 1 && g.nodes[1].refs[0] == 2,
	   "a reference to itself is left out");
	ok(graph_sort(&g, order, &e) == 0 && order[0] == 2 && order[1] == 1 &&
		   order[2] == 0,
	   "references come before referrers");
	is_str(graph_name_of(C), "libc-3", "the name of a path");
	ok(parse(&a, "", 0, true, &g, &e) == 0 && g.n == 0, "an empty closure");
}

static const char *const hashes[] = {
	("sha256:" HEX),
	"sha256:1b8m03r63zqhnjf7l5wnldhh7c134ap5vpj0850ymkq1iyzicy5s",
	"sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
};

static void
test_json(void)
{
	static const char object[] =
		"{\"exportReferencesGraph\":{\"x\":[\"" A "\"]},"
		"\"outputs\":{\"out\":\"/x\"},\"x\":["
		"{\"path\":\"" B "\",\"narSize\":2,\"closureSize\":5,"
		"\"references\":[]},{\"path\":\"" A "\",\"narSize\":3,"
		"\"references\":[\"" B "\",\"" A "\"]}]}";
	AUTO(arena) struct arena a = ARENA_INIT;
	struct err e = ERR_INIT;
	struct graph g;

	if (ok(parse(&a, object, strlen(object), false, &g, &e) == 0,
	       "the object of exportReferencesGraph is read")) {
		is_u64(g.n, 2, "two nodes");
		ok(g.n_roots == 1 && g.roots[0] == 0, "the root is known");
		is_u64(g.nodes[1].closure_size, 5, "a closure size");
		is_u64(g.nodes[0].n_refs, 1, "no reference to itself");
	}
	for (size_t i = 0; i < ARRAY_LEN(hashes); i++) {
		const char *text = arena_printf(
			&a,
			"[{\"path\":\"" A "\",\"narSize\":1,\"references\":[],"
			"\"narHash\":\"%s\"}]",
			hashes[i]);
		char hex[DIGEST_HEX_CAP] = "";

		if (parse(&a, text, strlen(text), false, &g, &e) == 0)
			digest_hex(&g.nodes[0].nar_hash, hex);
		is_str(hex, HEX, hashes[i]);
	}
}

static int
no_dots(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static void
test_reject(void)
{
	struct dirent **names;
	int n = scandir(REJECT, &names, no_dots, alphasort);

	ok(n > 40, "%d malformed closures", n);
	for (int i = 0; i < n; i++) {
		AUTO(arena) struct arena a = ARENA_INIT;
		AUTO(buf) struct buf text = BUF_INIT, path = BUF_INIT;
		struct err e = ERR_INIT;
		struct graph g;

		buf_printf(&path, "%s/%s", REJECT, names[i]->d_name);
		read_file(path.p, &text);
		ok(parse(&a, text.p, text.len, str_has_suffix(path.p, ".dump"),
			 &g, &e) < 0 &&
			   e.kind == ERR_INVALID && !strchr(e.msg, '\n'),
		   "%s: %s", names[i]->d_name, e.msg);
		free(names[i]);
	}
	if (n >= 0)
		free(names);
}

/* Texts that would be large files. */
static void
test_absurd(void)
{
	AUTO(arena) struct arena a = ARENA_INIT;
	AUTO(buf) struct buf text = BUF_INIT;
	struct err e = ERR_INIT;
	struct graph g;

	for (size_t i = 0; i < 10000000; i++)
		buf_addc(&text, '[');
	ok(parse(&a, text.p, text.len, false, &g, &e) < 0, "10 MB of [: %s",
	   e.msg);
	err_clear(&e);
	buf_clear(&text);
	for (size_t i = 0; i < 2000000; i++)
		buf_adds(&text, "{\"a\":");
	ok(parse(&a, text.p, text.len, false, &g, &e) < 0, "10 MB of {: %s",
	   e.msg);
	err_clear(&e);
	buf_clear(&text);
	for (size_t i = 0; i <= GRAPH_MAX_NODES; i++)
		buf_printf(&text, "/nix/store/%032zu-x\n" HEX "\n1\n\n0\n", i);
	ok(parse(&a, text.p, text.len, true, &g, &e) < 0, "many nodes: %s",
	   e.msg);
	err_clear(&e);
	buf_clear(&text);
	/* a chain that recursion would not survive */
	for (size_t i = 0; i < GRAPH_MAX_NODES; i++) {
		buf_printf(&text, "/nix/store/%032zu-x\n" HEX "\n1\n\n%d\n", i,
			   i > 0);
		if (i > 0)
			buf_printf(&text, "/nix/store/%032zu-x\n", i - 1);
	}
	ok(parse(&a, text.p, text.len, true, &g, &e) == 0,
	   "a chain of %u nodes is read", GRAPH_MAX_NODES);
}

int
main(void)
{
	test_dump();
	test_json();
	test_reject();
	test_absurd();
	return done_testing();
}
