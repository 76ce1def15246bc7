/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "core/base/mem.h"
#include "core/base/vec.h"
#include "tests/bench/universe.h"

/* What people put into images, roughly the most wanted first. */
static const char *const wanted[] = {
	"curl",
	"bash",
	"git",
	"coreutils",
	"python3",
	"jq",
	"openssl",
	"nodejs",
	"vim",
	"wget",
	"htop",
	"nginx",
	"gcc",
	"make",
	"tar",
	"gzip",
	"unzip",
	"openssh-client",
	"findutils",
	"gawk",
	"grep",
	"sed",
	"less",
	"golang-go",
	"postgresql-client-15",
	"redis-server",
	"sqlite3",
	"rsync",
	"nano",
	"procps",
	"iproute2",
	"iputils-ping",
	"dnsutils",
	"socat",
	"strace",
	"gdb",
	"tcpdump",
	"nmap",
	"tmux",
	"screen",
	"zsh",
	"fish",
	"ripgrep",
	"fd-find",
	"fzf",
	"cmake",
	"ninja-build",
	"clang",
	"g++",
	"rustc",
	"cargo",
	"openjdk-17-jdk-headless",
	"maven",
	"php-cli",
	"ruby",
	"perl",
	"lua5.4",
	"r-base",
	"octave",
	"ghc",
	"ocaml",
	"erlang",
	"elixir",
	"python3-pip",
	"python3-numpy",
	"python3-scipy",
	"python3-pandas",
	"python3-matplotlib",
	"python3-requests",
	"python3-django",
	"ansible",
	"podman",
	"buildah",
	"skopeo",
	"mercurial",
	"git-lfs",
	"gnupg",
	"imagemagick",
	"graphviz",
	"ffmpeg",
	"ghostscript",
	"pandoc",
	"texlive-latex-base",
	"texlive-latex-extra",
	"libreoffice",
	"inkscape",
	"gimp",
	"blender",
	"chromium",
	"firefox-esr",
	"emacs",
	"neovim",
	"valgrind",
	"llvm",
	"gfortran",
	"shellcheck",
	"protobuf-compiler",
	"qemu-system-x86",
	"samba",
	"bind9",
	"postfix",
	"haproxy",
	"memcached",
	"rabbitmq-server",
	"prometheus",
	"mosquitto",
	"hugo",
	"apache2",
	"mariadb-server",
	"postgresql-15",
	"gnuplot",
	"wireshark",
	"kicad",
	"freecad",
	"jupyter-notebook",
	"mc",
	"sysstat",
	"lsof",
	"bc",
	"parallel",
	"mpv",
	"vlc",
	"mutt",
	"cowsay",
	"figlet",
	"hello",
	"sl",
	"tree",
	"moreutils",
	"xz-utils",
	"file",
	"texlive-full",
	"gnome",
	"kde-full",
};

static const char *const shell[] = {"bash", "coreutils", "moreutils", "nano"};
static const char *const base[] = {"ca-certificates", "netbase"};

/* splitmix64 */
uint64_t
random_next(struct random *r)
{
	uint64_t z = r->state += 0x9E3779B97F4A7C15u;

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

size_t
random_below(struct random *r, size_t n)
{
	return (size_t)(random_next(r) % n);
}

static void
shuffle(struct random *r, size_t *v, size_t n)
{
	for (size_t i = n; i > 1; i--) {
		size_t k = random_below(r, i), t = v[i - 1];

		v[i - 1] = v[k];
		v[k] = t;
	}
}

struct list {
	VEC(size_t);
};

/* A number in proportion to its weight; sums are ascending. */
static size_t
draw(struct random *r, const uint64_t *sums, size_t n)
{
	uint64_t x = random_next(r) % sums[n - 1];
	size_t lo = 0, hi = n - 1;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (sums[mid] > x)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static void
add_candidate(const struct universe *u, struct list *to, size_t v, size_t lo,
	      size_t hi)
{
	size_t n, *c = universe_reach(u, &u->deps, &v, 1, &n);

	free(c);
	if (n >= lo && n < hi)
		vec_push(to, v);
}

/* The wanted ones, a little shaken, then everything else in any order. */
static void
candidates(const struct universe *u, struct random *r, struct list *to,
	   size_t lo, size_t hi)
{
	struct list common = VEC_INIT, rest = VEC_INIT;
	bool *known = xcalloc(u->n, sizeof(*known));

	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		size_t v = universe_find(u, wanted[i]);

		if (v == SIZE_MAX)
			continue;
		known[v] = true;
		vec_push(&common, v);
	}
	for (size_t i = 0; i + 40 < common.n; i += 20)
		shuffle(r, common.v + i, 40);
	for (size_t v = 0; v < u->n; v++)
		if (!known[v] && !u->hidden[v] && u->csz[v] > 8192 &&
		    u->deps.at[v + 1] > u->deps.at[v])
			vec_push(&rest, v);
	shuffle(r, rest.v, rest.n);
	for (size_t i = 0; i < common.n; i++)
		add_candidate(u, to, common.v[i], lo, hi);
	for (size_t i = 0; i < rest.n && to->n < 4000; i++)
		add_candidate(u, to, rest.v[i], lo, hi);
	vec_release(&common);
	vec_release(&rest);
	free(known);
}

static void
add_named(const struct universe *u, struct list *to, const char *const *names,
	  size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (universe_find(u, names[i]) != SIZE_MAX)
			vec_push(to, universe_find(u, names[i]));
}

static void
make_images(struct trace *t, const struct universe *u, struct random *r,
	    const struct list *from, bool large)
{
	static const uint64_t many[] = {35, 60, 75, 85, 93, 100};
	static const uint64_t few[] = {75, 100};
	uint64_t *sums = xcalloc(from->n, sizeof(*sums)), sum = 0;
	struct list roots = VEC_INIT;

	for (size_t i = 0; i < from->n; i++)
		sums[i] = sum += 1000000 / (i + 1);
	for (size_t i = 0; i < t->n_images; i++) {
		size_t k = 1 + (large ? draw(r, few, 2) : draw(r, many, 6));

		roots.n = 0;
		add_named(u, &roots, base, ARRAY_LEN(base));
		for (; k > 0; k--)
			vec_push(&roots, from->v[draw(r, sums, from->n)]);
		if (random_below(r, 10) < 3)
			add_named(u, &roots, shell, ARRAY_LEN(shell));
		t->images[i].paths = universe_reach(u, &u->deps, roots.v,
						    roots.n, &t->images[i].n);
	}
	vec_release(&roots);
	free(sums);
}

/* Each node pulls images; a few are wanted by many nodes. */
static void
make_pulls(struct trace *t, struct random *r)
{
	uint64_t *sums = xcalloc(t->n_images, sizeof(*sums)), sum = 0;
	size_t *order = xcalloc(t->n_images, sizeof(*order));

	for (size_t i = 0; i < t->n_images; i++) {
		sums[i] = sum += 1000000 / (i + 10);
		order[i] = i;
	}
	shuffle(r, order, t->n_images);
	for (size_t k = 0; k < TRACE_NODES; k++) {
		bool *has = xcalloc(t->n_images, sizeof(*has));

		for (size_t i = 0; i < TRACE_PULLS && i < t->n_images;) {
			size_t im = order[draw(r, sums, t->n_images)];

			if (!has[im])
				t->pulls[k][i++] = im;
			has[im] = true;
		}
		free(has);
	}
	free(order);
	free(sums);
}

/* Packages of sources that a test picks. */
static void
add_sources(const struct universe *u, struct list *to, const bool *picked)
{
	for (size_t v = 0; v < u->n; v++)
		if (picked[u->source[v]])
			vec_push(to, v);
}

/*
 * 'w'eekly: one source in a hundred. 's'ecurity: six libraries that more than
 * a few use. 'l'eaf: 1,500 packages that hardly anything uses.
 */
static bool *
make_update(const struct universe *u, struct random *r, char kind)
{
	bool *picked = xcalloc(u->n_sources, sizeof(*picked));
	bool *changed = xcalloc(u->n, sizeof(*changed));
	struct list first = VEC_INIT;
	size_t want = kind == 'w' ? u->n_sources / 100 : kind == 's' ? 6 : 1500;
	size_t n, *all;

	while (want > 0) {
		size_t v = random_below(r, u->n);
		size_t users = u->users.at[v + 1] - u->users.at[v];

		if (kind == 'w')
			picked[random_below(r, u->n_sources)] = true;
		else if (kind == 's' && users >= 5 && users < 500)
			picked[u->source[v]] = true;
		else if (kind == 'l' && users <= 2)
			vec_push(&first, v);
		else
			continue;
		want--;
	}
	add_sources(u, &first, picked);
	all = universe_reach(u, &u->users, first.v, first.n, &n);
	for (size_t i = 0; i < n; i++)
		changed[all[i]] = true;
	free(all);
	free(picked);
	vec_release(&first);
	return changed;
}

void
trace_make(struct trace *t, const struct universe *u, uint64_t seed,
	   size_t n_images, size_t lo, size_t hi, bool large)
{
	static const char kinds[TRACE_UPDATES + 1] = "wswwslw";
	struct random r = {.state = seed * 0x2545F4914F6CDD1Du};
	struct list from = VEC_INIT;

	t->n_images = n_images;
	t->images = xcalloc(n_images, sizeof(*t->images));
	candidates(u, &r, &from, lo, hi);
	make_images(t, u, &r, &from, large);
	make_pulls(t, &r);
	for (size_t i = 0; i < TRACE_UPDATES; i++)
		t->changed[i] = make_update(u, &r, kinds[i]);
	vec_release(&from);
}

void
trace_free(struct trace *t)
{
	for (size_t i = 0; i < t->n_images; i++)
		free(t->images[i].paths);
	free(t->images);
	for (size_t i = 0; i < TRACE_UPDATES; i++)
		free(t->changed[i]);
}
