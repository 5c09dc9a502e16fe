/* SPDX-License-Identifier: MIT */
/* The resolver, and whether our own addresses can take answers. */
#include <string.h>

#include "checkup.h"

#define NEUTRAL_NAME "example.com" /* asked for when nothing of our own is set */

void check_resolver(struct checkup *checkup)
{
    const struct option_list *servers = &checkup->config->resolver;
    const char *name = *checkup->config->submitter != '\0' ? checkup->config->submitter : NEUTRAL_NAME;
    const char *fix = "set resolver = ADDRESS of a resolver that answers";
    struct resolve_answer answer;
    struct err err;

    if (resolve_open(servers->items, servers->count, NULL, &checkup->resolver, &err) != ST_OK) {
        checkup_say(checkup, VERDICT_FAIL, "resolver", fix, "%s", err.text);
        return;
    }
    if (resolve_one(checkup->resolver, RESOLVE_TLSRPT, name, &checkup->arena, &answer, &err) != ST_OK)
        checkup_say(checkup, VERDICT_FAIL, "resolver", fix, "%s", err.text);
    else if (answer.result == RESOLVE_TEMPORARY)
        checkup_say(checkup, VERDICT_FAIL, "resolver", fix, "%s cannot be looked up: %s", answer.name,
                    answer.reason);
    else
        checkup->has_resolver = true;
    if (checkup->has_resolver)
        checkup_say(checkup, VERDICT_OK, "resolver", NULL, "it answers (asked for %s)", answer.name);
}

/* A name without MX takes mail itself, if it has an address (RFC 5321 section 5.1). */
static enum status find_mail_host(struct checkup *checkup, const char *domain,
                                  struct resolve_answer *answer_out, struct err *err)
{
    enum status status = resolve_one(checkup->resolver, RESOLVE_MX, domain, &checkup->arena, answer_out, err);

    if (status == ST_OK && answer_out->result == RESOLVE_FOUND && answer_out->is_implicit_mx) {
        struct mx_host *hosts = answer_out->mx_hosts;

        status = resolve_one(checkup->resolver, RESOLVE_ADDRESSES, domain, &checkup->arena, answer_out, err);
        answer_out->mx_hosts = hosts;
    }
    return status;
}

static void check_mailbox_domain(struct checkup *checkup, const char *setting, const char *domain)
{
    struct resolve_answer answer;
    struct err err;

    if (find_mail_host(checkup, domain, &answer, &err) != ST_OK)
        checkup_say(checkup, VERDICT_FAIL, "mailboxes", NULL, "%s: %s", setting, err.text);
    else if (answer.result == RESOLVE_TEMPORARY)
        checkup_say(checkup, VERDICT_WARN, "mailboxes", "try again later", "%s: %s cannot be looked up: %s",
                    setting, domain, answer.reason);
    else if (answer.result == RESOLVE_FOUND)
        checkup_say(checkup, VERDICT_OK, "mailboxes", NULL, "%s: %s takes mail at %s", setting, domain,
                    answer.mx_hosts[0].host);
    else
        checkup_say(checkup, VERDICT_FAIL, "mailboxes",
                    checkup_format(checkup, "publish %s. MX 10 and the name of its mail host", domain),
                    "%s: %s %s: bounces and questions are lost, and receivers refuse its mail", setting,
                    domain, answer.is_null_mx ? "says that it takes no mail" : "has no mail host");
}

/* Each domain once, under the first setting that names it. */
void check_mailboxes(struct checkup *checkup)
{
    const struct {
        const char *setting, *mailbox;
    } ROWS[] = {
        {"from", checkup->config->from},
        {"envelope_from", checkup->config->envelope_from},
        {"contact_info", checkup->config->contact_info},
    };

    if (!checkup->has_resolver)
        return;
    for (size_t i = 0; i < ARRAY_COUNT(ROWS); i++) {
        const char *domain = checkup_domain_of(ROWS[i].mailbox);
        bool is_seen = *domain == '\0';

        for (size_t k = 0; k < i; k++)
            is_seen = is_seen || strcmp(checkup_domain_of(ROWS[k].mailbox), domain) == 0;
        if (!is_seen)
            check_mailbox_domain(checkup, ROWS[i].setting, domain);
    }
}
