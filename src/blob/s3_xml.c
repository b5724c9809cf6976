/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Answers of S3 as net/xml.h reads them. What the network sent is not trusted: neither to be XML nor to be of S3. */
#include <string.h>

#include "net/xml.h"
#include "s3.h"

/* Never made: a name for the tree's elements, so that s3.h needs not know of them. */
struct s3_xml {
	struct net_xml element;
};

const char *s3_xml_text(struct ctx *c, const char *xml, size_t size, const char *element)
{
	struct ctx own = { .arena = c->arena };
	const struct net_xml *root, *x;

	/* An answer that is no XML has no such element: that is no error of the caller's. */
	if (net_xml_read(&own, xml, size, &root))
		return NULL;
	x = net_xml_find(root, NULL, element);
	return x ? x->text : NULL;
}

const char *s3_xml_get(const struct s3_xml *x, const char *child)
{
	return net_xml_text(&x->element, child);
}

int s3_xml_each(struct ctx *c, const char *xml, size_t size, const char *element,
                int (*each)(struct ctx *c, void *arg, const struct s3_xml *x), void *arg)
{
	const struct net_xml *root;

	if (net_xml_read(c, xml, size, &root)) {
		struct error e = c->error;

		error_clear(c);
		return fail_because(c, e.code, e.detail,
		                    "The artifact store's answer could not be understood: is "
		                    "MLFLOW_S3_ENDPOINT_URL the address of an S3 API?");
	}
	for (const struct net_xml *x = root->child; x; x = x->next) {
		if (!strcmp(x->name, element) && each(c, arg, (const struct s3_xml *)(const void *)x))
			return -1;
	}
	return 0;
}
