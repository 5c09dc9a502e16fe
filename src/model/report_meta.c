/* SPDX-License-Identifier: MIT */
#include "model/report_meta.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "model/utc_day.h"

/* dot-atom-text (RFC 5322 section 3.2.3) of the letters that a canonical domain name may have. */
static bool is_dot_atom(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == len && text[0] != '.' &&
           text[len - 1] != '.' && strstr(text, "..") == NULL;
}

const char *report_instance_check(const char *instance)
{
    size_t len = strlen(instance);

    if (len > REPORT_INSTANCE_MAX || strspn(instance, "abcdefghijklmnopqrstuvwxyz0123456789") != len)
        return "use up to 16 small letters and digits, as in mx1";
    return NULL;
}

static enum status check_names(const char *instance, const char *domain, const char *submitter,
                               struct err *err)
{
    if (report_instance_check(instance) != NULL)
        return err_set(err, ST_SYNTAX, "instance: %s", report_instance_check(instance));
    if (!is_dot_atom(domain))
        return err_set(err, ST_SYNTAX, "policy domain is not a canonical domain name");
    if (!is_dot_atom(submitter))
        return err_set(err, ST_SYNTAX, "submitter is not a canonical domain name");
    return ST_OK;
}

enum status report_id_format(int32_t utc_day, unsigned sequence, const char *instance, const char *domain,
                             const char *submitter, struct arena *arena, const char **id_out, struct err *err)
{
    enum status status = check_names(instance, domain, submitter, err);
    const char *id;

    if (status != ST_OK)
        return status;
    id = arena_format(arena, "%" PRId64 ".%u%s%s.%s@%s", utc_day_begin_s(utc_day), sequence,
                      *instance != '\0' ? "-" : "", instance, domain, submitter);
    if (id == NULL)
        return err_set(err, ST_NOMEM, "report-id: out of memory");
    *id_out = id;
    return ST_OK;
}

enum status report_message_id_format(const char *report_id, unsigned rua_number, struct arena *arena,
                                     const char **id_out, struct err *err)
{
    const char *at = strchr(report_id, '@');
    const char *id;

    if (at == NULL)
        return err_set(err, ST_SYNTAX, "report-id has no '@'");
    id = arena_format(arena, "%.*s.rua%u%s", (int)(at - report_id), report_id, rua_number, at);
    if (id == NULL)
        return err_set(err, ST_NOMEM, "Message-ID: out of memory");
    *id_out = id;
    return ST_OK;
}

enum status report_file_name_format(int32_t utc_day, const char *instance, const char *domain,
                                    const char *submitter, struct arena *arena, const char **name_out,
                                    struct err *err)
{
    enum status status = check_names(instance, domain, submitter, err);
    const char *name;

    if (status != ST_OK)
        return status;
    name = arena_format(arena, "%s!%s!%" PRId64 "!%" PRId64 "%s%s.json.gz", submitter, domain,
                        utc_day_begin_s(utc_day), utc_day_last_s(utc_day), *instance != '\0' ? "!" : "",
                        instance);
    if (name == NULL)
        return err_set(err, ST_NOMEM, "file name: out of memory");
    *name_out = name;
    return ST_OK;
}
