/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "core/base/buf.h"
#include "core/pack/tar.h"
#include "tests/support/tap.h"

/* A name of n bytes: parts of nine letters and a slash. */
static char *
long_name(size_t n)
{
	char *s = calloc(n + 1, 1);

	for (size_t i = 0; i < n; i++)
		s[i] = i % 10 == 9 && i + 1 < n ? '/' : 'a';
	return s;
}

static void
head(struct buf *b, enum tar_type type, const char *name, const char *target,
     uint64_t size)
{
	buf_clear(b);
	tar_head(b, &(struct tar_entry){.type = type,
					.mode = 0555,
					.name = name,
					.name_n = strlen(name),
					.target = target,
					.target_n = target ? strlen(target) : 0,
					.size = size});
}

static bool
sum_is_right(const char *block)
{
	unsigned sum = 8 * ' ';

	for (size_t i = 0; i < TAR_BLOCK; i++) {
		if (i < 148 || i >= 156)
			sum += (unsigned char)block[i];
	}
	return strtoul(block + 148, NULL, 8) == sum && block[154] == '\0' &&
	       block[155] == ' ';
}

static void
test_ustar(void)
{
	AUTO(buf) struct buf b = BUF_INIT;

	head(&b, TAR_FILE, "nix/store/x/f", NULL, 513);
	is_u64(b.len, TAR_BLOCK, "a plain file is one block");
	is_str(b.p, "nix/store/x/f", "name");
	is_str(b.p + 100, "0000555", "mode");
	is_str(b.p + 108, "0000000", "uid");
	is_str(b.p + 116, "0000000", "gid");
	is_str(b.p + 124, "00000001001", "size in octal");
	is_str(b.p + 136, "00000000001", "mtime is 1");
	ok(b.p[156] == '0', "type");
	ok(memcmp(b.p + 257, "ustar\00000", 8) == 0, "magic and version");
	is_str(b.p + 265, "", "no user");
	is_str(b.p + 297, "", "no group");
	ok(sum_is_right(b.p), "checksum");

	head(&b, TAR_SYMLINK, "l", "../target", 0);
	ok(b.p[156] == '2' && strcmp(b.p + 157, "../target") == 0, "a link");
	head(&b, TAR_DIR, "d/", NULL, 0);
	ok(b.p[156] == '5' && strcmp(b.p, "d/") == 0, "a directory");
	head(&b, TAR_FILE, "f", NULL, 077777777777);
	ok(b.len == TAR_BLOCK && memcmp(b.p + 124, "77777777777", 12) == 0,
	   "8 GiB less one byte fits");
	head(&b, TAR_FILE, "caf\xc3\xa9\n\xff", NULL, 0);
	ok(b.len == TAR_BLOCK && strcmp(b.p, "caf\xc3\xa9\n\xff") == 0,
	   "short names are bytes, whatever they are");
	is_u64(tar_padding(0) + tar_padding(512), 0, "nothing to pad");
	is_u64(tar_padding(513), 511, "padding");
}

static void
test_names(void)
{
	static const struct {
		const char *what;
		size_t n, prefix, len;
	} cases[] = {
		{"100 bytes fill the name", 100, 0, TAR_BLOCK},
		{"101 bytes are split at a slash", 101, 9, TAR_BLOCK},
		{"200 bytes are split at the first that does", 200, 99,
		 TAR_BLOCK},
		{"256 bytes need an extended header", 256, 0, 3 * TAR_BLOCK},
	};
	AUTO(buf) struct buf b = BUF_INIT;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(mem) char *name = long_name(cases[i].n);

		head(&b, TAR_FILE, name, NULL, 0);
		ok(b.len == cases[i].len &&
			   strnlen(b.p + b.len - TAR_BLOCK + 345, 155) ==
				   cases[i].prefix,
		   "%s", cases[i].what);
	}
}

static void
test_split(void)
{
	AUTO(buf) struct buf b = BUF_INIT;
	AUTO(buf) struct buf name = BUF_INIT;

	for (size_t i = 0; i < 155; i++)
		buf_addc(&name, 'p');
	buf_addc(&name, '/');
	for (size_t i = 0; i < 100; i++)
		buf_addc(&name, 'n');
	head(&b, TAR_FILE, name.p, NULL, 0);
	ok(b.len == TAR_BLOCK && b.p[345 + 154] == 'p' && b.p[99] == 'n',
	   "155 and 100 bytes are the most that ustar holds");
	buf_addc(&name, 'n');
	head(&b, TAR_FILE, name.p, NULL, 0);
	is_u64(b.len, 3 * TAR_BLOCK, "one more doesn't fit");

	buf_clear(&name);
	for (size_t i = 0; i < 101; i++)
		buf_addc(&name, 'd');
	buf_addc(&name, '/');
	head(&b, TAR_DIR, name.p, NULL, 0);
	is_u64(b.len, 3 * TAR_BLOCK,
	       "a directory's last slash is no place to split");
}

static void
test_pax(void)
{
	AUTO(buf) struct buf b = BUF_INIT;
	AUTO(mem) char *name = long_name(300);
	char target[4096];

	head(&b, TAR_FILE, name, NULL, 0);
	ok(b.p[156] == 'x' && sum_is_right(b.p), "the extended header");
	ok(memcmp(b.p + TAR_BLOCK, "310 path=aaaaaaaaa/", 19) == 0,
	   "its record counts itself");
	is_str(b.p + 124, "00000000466", "its size");
	ok(sum_is_right(b.p + 2 * TAR_BLOCK), "the header it is for");

	name[5] = '\xff';
	head(&b, TAR_FILE, name, NULL, 0);
	ok(b.p[156] == 'L' && strcmp(b.p + 124, "00000000455") == 0 &&
		   strcmp(b.p + TAR_BLOCK, name) == 0 && b.len == 3 * TAR_BLOCK,
	   "a long name that isn't ASCII");

	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = '\0';
	head(&b, TAR_SYMLINK, "l", target, 0);
	ok(memcmp(b.p + TAR_BLOCK, "4110 linkpath=tttt", 18) == 0,
	   "a long link");
	is_u64(b.len, TAR_BLOCK + 4608 + TAR_BLOCK, "and its padding");

	head(&b, TAR_FILE, "f", NULL, 077777777777u + 1ull);
	ok(memcmp(b.p + TAR_BLOCK, "19 size=8589934592\n", 19) == 0,
	   "8 GiB don't fit in octal");

	/* 99 and 100: the length's own digits change the length. */
	memset(target, 't', 101);
	target[101] = '\0';
	head(&b, TAR_SYMLINK, "l", target, 0);
	ok(memcmp(b.p + TAR_BLOCK, "115 linkpath=", 13) == 0,
	   "a length of three digits");
}

int
main(void)
{
	test_ustar();
	test_names();
	test_split();
	test_pax();
	return done_testing();
}
