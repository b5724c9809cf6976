/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Answers of S3 as net/xml.h reads them. What the network sent is not trusted: neither to be XML nor to be of S3. */
#include <string.h>

#include "net/xml.h"
#include "s3.h"

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

int s3_xml_read(struct ctx *c, const char *xml, size_t size, const char *name,
                const struct net_xml **root)
{
	struct error e = { .code = TEMPORARILY_UNAVAILABLE, .detail = "another root element" };

	if (net_xml_read(c, xml, size, root))
		e = c->error;
	else if (!strcmp((*root)->name, name))
		return 0;
	error_clear(c);
	return fail_because(c, e.code, e.detail,
	                    "The artifact store's answer could not be understood: is "
	                    "MLFLOW_S3_ENDPOINT_URL the address of an S3 API?");
}
