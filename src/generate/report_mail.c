/* SPDX-License-Identifier: MIT */
#include "report_mail.h"

enum status report_mail_write(struct generator *generator, const struct mail_parts *parts, struct strbuf *out,
                              struct err *err)
{
    struct strbuf message;
    enum status status;

    if (generator->keys == NULL)
        return mail_compose(parts, out, err);
    strbuf_init(&message, REPORT_MAIL_MAX);
    status = mail_compose(parts, &message, err);
    if (status == ST_OK)
        status = dkim_sign(generator->keys, message.data, message.len, parts->date_s, out, err); /* R44 */
    strbuf_add(out, message.data, message.len);
    if (status == ST_OK && strbuf_is_failed(out))
        status = err_set(err, ST_RANGE, "mail: does not fit in %zu bytes", out->max_bytes);
    strbuf_done(&message);
    return status;
}
