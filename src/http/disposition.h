/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* disposition — Content-Disposition of a download, as mlflow/server/handlers.py
   _content_disposition_attachment(). */
#ifndef HTTP_DISPOSITION_H
#define HTTP_DISPOSITION_H

struct buf;

/* name: valid UTF-8; any of its control characters is written as '_'. */
void disposition_write(struct buf *to, const char *name);

#endif
