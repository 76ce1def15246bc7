/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPDX 2.3, clauses 6 to 12 in the JSON form of its schema. The image is one
 * package, each store path another: the image CONTAINS all of them, and a
 * path DEPENDS_ON what it refers to.
 */
#include <ctype.h>
#include <string.h>

#include "core/base/digest.h"
#include "core/base/json.h"
#include "core/base/strmap.h"
#include "core/base/vec.h"
#include "core/model/graph.h"
#include "core/model/sbom_impl.h"

#define IMAGE_ID "SPDXRef-image"
#define DOCUMENT_ID "SPDXRef-DOCUMENT"
#define UNKNOWN "NOASSERTION"
#define LICENSE_REF "LicenseRef-"

/* Identifiers are letters, digits, "." and "-"; the hash keeps them apart. */
static void
path_id(const char *path, struct buf *to)
{
	buf_clear(to);
	buf_adds(to, "SPDXRef-path-");
	for (const char *p = sbom_base_name(path); *p; p++)
		buf_addc(to,
			 isalnum((unsigned char)*p) || *p == '.' ? *p : '-');
}

static void
put_annotation(struct json_out *o, const struct sbom_input *in,
	       const char *text)
{
	json_object(o);
	json_kstr(o, "annotationDate", in->created);
	json_kstr(o, "annotationType", "OTHER");
	json_kstr(o, "annotator", "Tool: " SBOM_TOOL);
	json_kstr(o, "comment", text);
	json_object_end(o);
}

static void
put_checksum(struct json_out *o, const struct digest *d)
{
	char hex[DIGEST_HEX_CAP];

	digest_hex(d, hex);
	json_key(o, "checksums");
	json_array(o);
	json_object(o);
	json_kstr(o, "algorithm", "SHA256");
	json_kstr(o, "checksumValue", hex);
	json_object_end(o);
	json_array_end(o);
}

/* What every package says, and where it is listed. */
static void
put_common(struct json_out *o, const char *license, const char *purl)
{
	json_kstr(o, "downloadLocation", UNKNOWN);
	json_key(o, "filesAnalyzed");
	json_bool(o, false);
	json_kstr(o, "licenseConcluded", UNKNOWN);
	json_kstr(o, "licenseDeclared", license ? license : UNKNOWN);
	json_kstr(o, "copyrightText", UNKNOWN);
	json_key(o, "externalRefs");
	json_array(o);
	json_object(o);
	json_kstr(o, "referenceCategory", "PACKAGE-MANAGER");
	json_kstr(o, "referenceType", "purl");
	json_kstr(o, "referenceLocator", purl);
	json_object_end(o);
	json_array_end(o);
}

static void
put_image(struct json_out *o, const struct sbom_input *in)
{
	AUTO(buf) struct buf purl = BUF_INIT;
	char text[DIGEST_TEXT_CAP];

	digest_text(in->image, text);
	sbom_image_purl(in, &purl);
	json_object(o);
	json_kstr(o, "SPDXID", IMAGE_ID);
	json_kstr(o, "name", in->name);
	json_kstr(o, "versionInfo", text);
	json_kstr(o, "primaryPackagePurpose", "CONTAINER");
	put_checksum(o, in->image);
	put_common(o, NULL, purl.p);
	json_object_end(o);
}

static void
put_path(struct json_out *o, const struct sbom_input *in, size_t i)
{
	AUTO(buf) struct buf text = BUF_INIT;
	const struct graph_node *n = &in->graph->nodes[i];
	const struct sbom_path *p = &in->paths[i];
	char layer[DIGEST_TEXT_CAP];
	struct sbom_name name;

	sbom_split_name(n->path, p->output, &name);
	json_object(o);
	path_id(n->path, &text);
	json_kstr(o, "SPDXID", text.p);
	sbom_put_slice(o, "name", name.name);
	if (name.version.n > 0)
		sbom_put_slice(o, "versionInfo", name.version);
	json_kstr(o, "packageFileName", n->path);
	if (sbom_has_hash(n))
		put_checksum(o, &n->nar_hash);
	buf_clear(&text);
	sbom_path_purl(n->path, &name, &text);
	put_common(o, p->license, text.p);
	json_key(o, "annotations");
	json_array(o);
	digest_text(p->layer, layer);
	buf_clear(&text);
	buf_printf(&text, "layer: %s", layer);
	put_annotation(o, in, text.p);
	if (p->attribute) {
		buf_clear(&text);
		buf_printf(&text, "asked for as: %s, output %s", p->attribute,
			   p->output);
		put_annotation(o, in, text.p);
	}
	json_array_end(o);
	json_object_end(o);
}

static void
put_relationship(struct json_out *o, const char *from, const char *type,
		 const char *to)
{
	json_object(o);
	json_kstr(o, "spdxElementId", from);
	json_kstr(o, "relationshipType", type);
	json_kstr(o, "relatedSpdxElement", to);
	json_object_end(o);
}

static void
put_relationships(struct json_out *o, const struct graph *g)
{
	AUTO(buf) struct buf from = BUF_INIT, to = BUF_INIT;

	json_key(o, "relationships");
	json_array(o);
	put_relationship(o, DOCUMENT_ID, "DESCRIBES", IMAGE_ID);
	for (size_t i = 0; i < g->n; i++) {
		const struct graph_node *n = &g->nodes[i];

		path_id(n->path, &from);
		put_relationship(o, IMAGE_ID, "CONTAINS", from.p);
		for (size_t k = 0; k < n->n_refs; k++) {
			path_id(g->nodes[n->refs[k]].path, &to);
			put_relationship(o, from.p, "DEPENDS_ON", to.p);
		}
	}
	json_array_end(o);
}

/* --- licences that are not on SPDX's list have to be described (clause 10) */

static void
put_license(struct json_out *o, const char *id)
{
	AUTO(buf) struct buf text = BUF_INIT;
	const char *name = id + strlen(LICENSE_REF);

	buf_printf(&text,
		   "The package set calls this licence \"%s\". Its text is "
		   "the package's.",
		   name);
	json_object(o);
	json_kstr(o, "licenseId", id);
	json_kstr(o, "name", name);
	json_kstr(o, "extractedText", text.p);
	json_object_end(o);
}

struct ids {
	VEC(char *);
};

/* The LicenseRef identifiers of an expression that were not seen yet. */
static void
note_licenses(const char *expression, struct strmap *seen, struct ids *ids)
{
	const char *p = expression;

	while ((p = strstr(p, LICENSE_REF)) != NULL) {
		size_t n = strcspn(p, " ()");
		char *id = xstrndup(p, n);
		size_t at;

		if (strmap_get(seen, id, &at)) {
			free(id);
		} else {
			(void)strmap_put(seen, id, ids->n, NULL);
			vec_push(ids, id);
		}
		p += n;
	}
}

static void
put_licenses(struct json_out *o, const struct sbom_input *in)
{
	AUTO(strmap) struct strmap seen = STRMAP_INIT;
	struct ids ids = VEC_INIT;

	for (size_t i = 0; i < in->graph->n; i++)
		if (in->paths[i].license)
			note_licenses(in->paths[i].license, &seen, &ids);
	if (ids.n > 0) {
		json_key(o, "hasExtractedLicensingInfos");
		json_array(o);
		for (size_t i = 0; i < ids.n; i++)
			put_license(o, ids.v[i]);
		json_array_end(o);
	}
	for (size_t i = 0; i < ids.n; i++)
		free(ids.v[i]);
	vec_release(&ids);
}

static void
put_creation(struct json_out *o, const struct sbom_input *in)
{
	json_key(o, "creationInfo");
	json_object(o);
	json_kstr(o, "created", in->created);
	json_key(o, "creators");
	json_array(o);
	json_str(o, "Tool: " SBOM_TOOL);
	json_array_end(o);
	json_object_end(o);
}

void
sbom_write_spdx(const struct sbom_input *in, struct buf *to)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};
	AUTO(buf) struct buf space = BUF_INIT;
	char uuid[SBOM_UUID_CAP];

	sbom_uuid(SBOM_SPDX, in, uuid);
	buf_printf(&space, "https://spdx.org/spdxdocs/firn-%s", uuid);
	json_out_init(&o, to);
	json_object(&o);
	json_kstr(&o, "spdxVersion", "SPDX-2.3");
	json_kstr(&o, "dataLicense", "CC0-1.0");
	json_kstr(&o, "SPDXID", DOCUMENT_ID);
	json_kstr(&o, "name", in->name);
	json_kstr(&o, "documentNamespace", space.p);
	json_kstr(&o, "comment",
		  "Every store path of the image is a package here. The "
		  "checksum of a path is that of its NAR, Nix's archive of "
		  "it.");
	put_creation(&o, in);
	json_key(&o, "packages");
	json_array(&o);
	put_image(&o, in);
	for (size_t i = 0; i < in->graph->n; i++)
		put_path(&o, in, i);
	json_array_end(&o);
	put_licenses(&o, in);
	put_relationships(&o, in->graph);
	json_object_end(&o);
}
