/* SPDX-License-Identifier: Apache-2.0 */
#include "core/model/sbom.h"

#include <ctype.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/json.h"
#include "core/model/graph.h"
#include "core/model/sbom_impl.h"

static const struct {
	const char *media_type, *file_name, *id;
	void (*write)(const struct sbom_input *in, struct buf *to);
} formats[SBOM_FORMATS] = {
	[SBOM_SPDX] = {"application/spdx+json", "sbom.spdx.json", "spdx-2.3",
		       sbom_write_spdx},
	[SBOM_CYCLONEDX] = {"application/vnd.cyclonedx+json", "sbom.cdx.json",
			    "cyclonedx-1.5", sbom_write_cyclonedx},
};

const char *
sbom_media_type(enum sbom_format format)
{
	return formats[format].media_type;
}

const char *
sbom_file_name(enum sbom_format format)
{
	return formats[format].file_name;
}

void
sbom_write(enum sbom_format format, const struct sbom_input *in, struct buf *to)
{
	formats[format].write(in, to);
}

/* --- names */

/* Where the dash before the version is; n when there is none. */
static size_t
find_version(const char *s, size_t n)
{
	for (size_t i = 0; i + 1 < n; i++)
		if (s[i] == '-' && !isalpha((unsigned char)s[i + 1]))
			return i;
	return n;
}

/* The names that nixpkgs gives to outputs (its manual, "Multiple outputs"). */
static bool
is_output_name(struct str s)
{
	static const char *const names[] = {
		"bin", "data",   "debug", "dev", "devdoc", "devman", "dist",
		"doc", "getent", "info",  "lib", "man",    "static",
	};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (str_eq(s, names[i]))
			return true;
	return false;
}

/* What stands behind the last dash. */
static struct str
last_part(const char *s, size_t n)
{
	size_t i = n;

	while (i > 0 && s[i - 1] != '-')
		i--;
	return (struct str){s + i, n - i};
}

void
sbom_split_name(const char *path, const char *output, struct sbom_name *ret)
{
	const char *s = graph_name_of(path);
	size_t n = strlen(s), at = find_version(s, n);
	struct str last = last_part(s, n);

	memset(ret, 0, sizeof(*ret));
	/* The version is before it: there is more than one dash. */
	if (at < n && last.p > s + at + 1 &&
	    (is_output_name(last) || (output && str_eq(last, output)))) {
		ret->output = last;
		n -= last.n + 1;
	}
	ret->name = (struct str){s, at < n ? at : n};
	if (at < n)
		ret->version = (struct str){s + at + 1, n - at - 1};
}

const char *
sbom_base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* --- package URLs (ECMA-427): all but a few characters as percent codes */

static void
add_encoded(struct buf *to, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s[i];

		if (isalnum(c) || (c && strchr("-._~", c)))
			buf_addc(to, s[i]);
		else
			buf_printf(to, "%%%02X", c);
	}
}

/*
 * The form that syft writes and scanners read: the hash of the store path
 * tells builds of one version apart.
 */
void
sbom_path_purl(const char *path, const struct sbom_name *name, struct buf *to)
{
	const char *base = sbom_base_name(path);
	const char *dash = strchr(base, '-');

	buf_adds(to, "pkg:nix/");
	add_encoded(to, name->name.p, name->name.n);
	if (name->version.n > 0) {
		buf_addc(to, '@');
		add_encoded(to, name->version.p, name->version.n);
	}
	buf_addc(to, '?');
	if (name->output.n > 0) {
		buf_adds(to, "output=");
		add_encoded(to, name->output.p, name->output.n);
		buf_addc(to, '&');
	}
	buf_adds(to, "outputhash=");
	add_encoded(to, base, dash ? (size_t)(dash - base) : strlen(base));
}

/* Of type "oci": the name is the last part of the repository's. */
void
sbom_image_purl(const struct sbom_input *in, struct buf *to)
{
	const char *name = sbom_base_name(in->name);
	char text[DIGEST_TEXT_CAP];

	digest_text(in->image, text);
	buf_adds(to, "pkg:oci/");
	add_encoded(to, name, strlen(name));
	buf_addc(to, '@');
	add_encoded(to, text, strlen(text));
	buf_adds(to, "?arch=");
	add_encoded(to, in->arch, strlen(in->arch));
}

/* --- what identifies a document */

static void
add_path(struct hasher *h, const struct graph_node *n,
	 const struct sbom_path *p)
{
	hasher_field_str(h, n->path);
	hasher_field(h, n->nar_hash.b, DIGEST_SIZE);
	hasher_field_u64(h, n->nar_size);
	hasher_field(h, p->layer->b, DIGEST_SIZE);
	hasher_field_str(h, p->attribute);
	hasher_field_str(h, p->output);
	hasher_field_str(h, p->license);
	hasher_field_u64(h, n->n_refs);
	for (size_t i = 0; i < n->n_refs; i++)
		hasher_field_u64(h, n->refs[i]);
}

void
sbom_uuid(enum sbom_format format, const struct sbom_input *in,
	  char ret[SBOM_UUID_CAP])
{
	AUTO(hasher) struct hasher h;
	char hex[DIGEST_HEX_CAP];
	struct digest d;

	hasher_init(&h);
	hasher_field_str(&h, "sbom");
	hasher_field_u64(&h, SBOM_FORMAT);
	hasher_field_str(&h, formats[format].id);
	hasher_field_str(&h, in->name);
	hasher_field(&h, in->image->b, DIGEST_SIZE);
	hasher_field_str(&h, in->arch);
	hasher_field_str(&h, in->created);
	for (size_t i = 0; i < in->graph->n; i++)
		add_path(&h, &in->graph->nodes[i], &in->paths[i]);
	hasher_finish(&h, &d);
	d.b[6] = (unsigned char)(0x80 | (d.b[6] & 0x0f));
	d.b[8] = (unsigned char)(0x80 | (d.b[8] & 0x3f));
	digest_hex(&d, hex);
	(void)snprintf(ret, SBOM_UUID_CAP, "%.8s-%.4s-%.4s-%.4s-%.12s", hex,
		       hex + 8, hex + 12, hex + 16, hex + 20);
}

bool
sbom_has_hash(const struct graph_node *n)
{
	static const struct digest none;

	return !digest_eq(&n->nar_hash, &none);
}

void
sbom_put_slice(struct json_out *o, const char *key, struct str s)
{
	json_key(o, key);
	json_strn(o, s.p, s.n);
}
