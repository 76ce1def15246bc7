/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CycloneDX 1.5 in JSON. The image is the component that the document is
 * about; each store path is a component. The image depends on the paths that
 * were asked for, a path on what it refers to.
 */
#include <inttypes.h>

#include "core/base/digest.h"
#include "core/base/json.h"
#include "core/model/graph.h"
#include "core/model/sbom_impl.h"

#define IMAGE_REF "image"

static void
put_hash(struct json_out *o, const struct digest *d)
{
	char hex[DIGEST_HEX_CAP];

	digest_hex(d, hex);
	json_key(o, "hashes");
	json_array(o);
	json_object(o);
	json_kstr(o, "alg", "SHA-256");
	json_kstr(o, "content", hex);
	json_object_end(o);
	json_array_end(o);
}

static void
put_property(struct json_out *o, const char *name, const char *value)
{
	json_object(o);
	json_kstr(o, "name", name);
	json_kstr(o, "value", value);
	json_object_end(o);
}

static void
put_properties(struct json_out *o, const struct graph_node *n,
	       const struct sbom_path *p)
{
	char layer[DIGEST_TEXT_CAP], size[32];

	digest_text(p->layer, layer);
	(void)snprintf(size, sizeof(size), "%" PRIu64, n->nar_size);
	json_key(o, "properties");
	json_array(o);
	put_property(o, "nix:output_path", n->path);
	put_property(o, "nix:nar_size", size);
	put_property(o, "oci:layer", layer);
	if (p->attribute) {
		put_property(o, "nix:attribute", p->attribute);
		put_property(o, "nix:output", p->output);
	}
	json_array_end(o);
}

static void
put_path(struct json_out *o, const struct graph_node *n,
	 const struct sbom_path *p)
{
	AUTO(buf) struct buf purl = BUF_INIT;
	struct sbom_name name;

	sbom_split_name(n->path, p->output, &name);
	sbom_path_purl(n->path, &name, &purl);
	json_object(o);
	json_kstr(o, "bom-ref", sbom_base_name(n->path));
	json_kstr(o, "type", p->attribute ? "application" : "library");
	sbom_put_slice(o, "name", name.name);
	if (name.version.n > 0)
		sbom_put_slice(o, "version", name.version);
	if (sbom_has_hash(n))
		put_hash(o, &n->nar_hash);
	if (p->license) {
		json_key(o, "licenses");
		json_array(o);
		json_object(o);
		json_kstr(o, "expression", p->license);
		json_object_end(o);
		json_array_end(o);
	}
	json_kstr(o, "purl", purl.p);
	put_properties(o, n, p);
	json_object_end(o);
}

static void
put_metadata(struct json_out *o, const struct sbom_input *in)
{
	AUTO(buf) struct buf purl = BUF_INIT;
	char text[DIGEST_TEXT_CAP];

	digest_text(in->image, text);
	sbom_image_purl(in, &purl);
	json_key(o, "metadata");
	json_object(o);
	json_kstr(o, "timestamp", in->created);
	json_key(o, "tools");
	json_object(o);
	json_key(o, "components");
	json_array(o);
	json_object(o);
	json_kstr(o, "type", "application");
	json_kstr(o, "name", SBOM_TOOL);
	json_object_end(o);
	json_array_end(o);
	json_object_end(o);
	json_key(o, "component");
	json_object(o);
	json_kstr(o, "bom-ref", IMAGE_REF);
	json_kstr(o, "type", "container");
	json_kstr(o, "name", in->name);
	json_kstr(o, "version", text);
	put_hash(o, in->image);
	json_kstr(o, "purl", purl.p);
	json_object_end(o);
	json_object_end(o);
}

static void
put_dependencies(struct json_out *o, const struct sbom_input *in)
{
	const struct graph *g = in->graph;

	json_key(o, "dependencies");
	json_array(o);
	json_object(o);
	json_kstr(o, "ref", IMAGE_REF);
	json_key(o, "dependsOn");
	json_array(o);
	for (size_t i = 0; i < g->n; i++)
		if (in->paths[i].attribute)
			json_str(o, sbom_base_name(g->nodes[i].path));
	json_array_end(o);
	json_object_end(o);
	for (size_t i = 0; i < g->n; i++) {
		const struct graph_node *n = &g->nodes[i];

		json_object(o);
		json_kstr(o, "ref", sbom_base_name(n->path));
		json_key(o, "dependsOn");
		json_array(o);
		for (size_t k = 0; k < n->n_refs; k++)
			json_str(o, sbom_base_name(g->nodes[n->refs[k]].path));
		json_array_end(o);
		json_object_end(o);
	}
	json_array_end(o);
}

void
sbom_write_cyclonedx(const struct sbom_input *in, struct buf *to)
{
	AUTO(json_out) struct json_out o = {.gen = NULL};
	char uuid[SBOM_UUID_CAP], serial[64];

	sbom_uuid(SBOM_CYCLONEDX, in, uuid);
	(void)snprintf(serial, sizeof(serial), "urn:uuid:%s", uuid);
	json_out_init(&o, to);
	json_object(&o);
	json_kstr(&o, "bomFormat", "CycloneDX");
	json_kstr(&o, "specVersion", "1.5");
	json_kstr(&o, "serialNumber", serial);
	json_knum(&o, "version", 1);
	put_metadata(&o, in);
	json_key(&o, "components");
	json_array(&o);
	for (size_t i = 0; i < in->graph->n; i++)
		put_path(&o, &in->graph->nodes[i], &in->paths[i]);
	json_array_end(&o);
	put_dependencies(&o, in);
	json_object_end(&o);
}
