/* SPDX-License-Identifier: MIT */
#include "cmd/report_mail.h"

enum status report_mail_write(struct generator *generator, const struct mail_parts *parts, struct strbuf *out,
                              struct err *err)
{
    (void)generator;
    return mail_compose(parts, out, err);
}
