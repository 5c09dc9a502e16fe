/* SPDX-License-Identifier: MIT */
/*
 * Each table of smtp_tls_policy_maps is asked for the domains.  Its name tells which program answers, and so which
 * fix helps: postfix-tlspol's ends with QUERY or QUERYwithTLSRPT, anything else is postfix-mta-sts-resolver.
 */
#include "app/policy_maps.h"

#include <stdio.h>
#include <string.h>

#include "app/postconf.h"
#include "base/cursor.h"

#define TLSPOL_PLAIN  ":QUERY"
#define TLSPOL_TLSRPT ":QUERYwithTLSRPT"
#define SECURE        "secure"
#define RESOLVER_FIX                                                                                         \
    "add tlsrpt: true to the zone in /etc/mta-sts-daemon.yml and run systemctl restart "                     \
    "postfix-mta-sts-resolver"

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static bool is_tlspol(const char *table)
{
    return ends_with(table, TLSPOL_PLAIN) || ends_with(table, TLSPOL_TLSRPT);
}

/* "run postconf -e 'smtp_tls_policy_maps = ..'" with the end of one table replaced. */
static void replace_end(const struct policy_maps_question *question, const char *table, const char *from,
                        const char *to, char *fix, size_t size)
{
    const char *found = strstr(question->maps, table);
    size_t before = (size_t)(found - question->maps) + strlen(table) - strlen(from);

    (void)snprintf(fix, size, "run postconf -e 'smtp_tls_policy_maps = %.*s%s%s' && postfix reload",
                   (int)before, question->maps, to, found + strlen(table));
}

static void set_fix(const struct policy_maps_question *question, struct policy_map_finding *finding)
{
    size_t size = sizeof finding->fix;

    finding->fix[0] = '\0';
    switch (finding->state) {
    case POLICY_MAP_NOT_REPORTED:
        if (ends_with(finding->table, TLSPOL_PLAIN))
            replace_end(question, finding->table, TLSPOL_PLAIN, TLSPOL_TLSRPT, finding->fix, size);
        else
            (void)snprintf(finding->fix, size, "%s", RESOLVER_FIX);
        break;
    case POLICY_MAP_DEFERS:
        if (ends_with(finding->table, TLSPOL_TLSRPT))
            replace_end(question, finding->table, TLSPOL_TLSRPT, TLSPOL_PLAIN, finding->fix, size);
        else
            (void)snprintf(finding->fix, size,
                           "remove tlsrpt: true from /etc/mta-sts-daemon.yml and run systemctl restart "
                           "postfix-mta-sts-resolver");
        break;
    case POLICY_MAP_HIDES_DANE:
        (void)snprintf(
            finding->fix, size,
            "use postfix-tlspol, which looks for DANE first, in place of postfix-mta-sts-resolver");
        break;
    case POLICY_MAP_REPORTED:
        break;
    }
}

static void judge(const struct policy_maps_question *question, const char *table, const char *answer,
                  policy_map_fn *callback, void *context)
{
    bool has_attributes = strstr(answer, "policy_type=") != NULL;
    bool is_dane = strstr(question->security_level, "dane") != NULL;
    struct policy_map_finding finding = {.table = table};

    if (strncmp(answer, SECURE, strlen(SECURE)) != 0)
        return;
    if (question->knows_attributes)
        finding.state = has_attributes ? POLICY_MAP_REPORTED : POLICY_MAP_NOT_REPORTED;
    else if (has_attributes)
        finding.state = POLICY_MAP_DEFERS;
    else
        return;
    set_fix(question, &finding);
    callback(context, &finding);
    if (!is_dane || is_tlspol(table) || strncmp(table, "socketmap:", 10) != 0)
        return;
    finding.state = POLICY_MAP_HIDES_DANE;
    set_fix(question, &finding);
    callback(context, &finding);
}

/* Statuses as postmap_query. */
static enum status ask(const struct policy_maps_question *question, const char *table,
                       char answer[POSTCONF_VALUE_MAX], struct err *err)
{
    enum status status = ST_OK;

    *answer = '\0';
    if (*question->counted != '\0')
        status =
            postmap_query(table, question->counted, POLICY_MAPS_TIMEOUT_MS, answer, POSTCONF_VALUE_MAX, err);
    if (status != ST_OK || strncmp(answer, SECURE, strlen(SECURE)) == 0)
        return status;
    return postmap_query(table, question->domain, POLICY_MAPS_TIMEOUT_MS, answer, POSTCONF_VALUE_MAX, err);
}

enum status policy_maps_look(const struct policy_maps_question *question, policy_map_fn *callback,
                             void *context, struct err *err)
{
    char answer[POSTCONF_VALUE_MAX], table[512];
    enum status status = ST_OK;
    struct cursor cursor;

    cursor_init(&cursor, question->maps, strlen(question->maps));
    for (int i = 0; i < POLICY_MAPS_MAX && status == ST_OK && !cursor_at_end(&cursor); i++) {
        struct span name;

        (void)cursor_skip_any(&cursor, ", \t");
        name = cursor_take_until(&cursor, ", \t");
        if (name.len == 0 || name.len >= sizeof table)
            continue;
        (void)snprintf(table, sizeof table, "%.*s", (int)name.len, name.at);
        status = ask(question, table, answer, err);
        if (status == ST_OK)
            judge(question, table, answer, callback, context);
        else if (status != ST_NOT_FOUND)
            status = ST_OK; /* a table that is down: Postfix says so itself */
    }
    return status;
}
