/* SPDX-License-Identifier: MIT */
/*
 * MTA-STS is applied by a policy plugin, which Postfix asks like a table.  The plugin is asked for a domain that
 * enforces MTA-STS: one that was counted so, else the setting mta_sts_domain.
 *
 * If no table answers (the plugin is on another host, or there is no way to the Internet), the counts can still show
 * that a plugin demands verified certificates without TLSRPT attributes.  At the levels may and dane Postfix takes any
 * certificate of a domain without TLSA records.  So a failed certificate that is counted as no-policy-found means a
 * level of "secure" without attributes, if the domain is known to publish an MTA-STS policy.
 */
#include "check_mta_sts.h"

#include "app/policy_maps.h"
#include "app/sts_counts.h"

struct table_counts {
    struct checkup *checkup;
    size_t findings;
};

static void say_policy_map(void *context, const struct policy_map_finding *finding)
{
    struct table_counts *tables = context;
    struct checkup *checkup = tables->checkup;
    const char *fix = checkup_format(checkup, "%s", finding->fix);

    tables->findings++;
    switch (finding->state) {
    case POLICY_MAP_REPORTED:
        checkup_say(checkup, VERDICT_OK, "mta-sts", NULL, "%s passes policies with TLSRPT attributes",
                    finding->table);
        break;
    case POLICY_MAP_NOT_REPORTED:
        checkup_say(checkup, VERDICT_WARN, "mta-sts", fix,
                    "%s passes policies without TLSRPT attributes: MTA-STS is reported as no-policy-found",
                    finding->table);
        break;
    case POLICY_MAP_DEFERS:
        checkup_say(
            checkup, VERDICT_FAIL, "mta-sts", fix,
            "%s passes TLSRPT attributes, which need Postfix 3.10: mail to domains with MTA-STS is deferred",
            finding->table);
        break;
    case POLICY_MAP_HIDES_DANE:
        checkup_say(checkup, VERDICT_WARN, "mta-sts", fix,
                    "%s wins over DANE: broken DANE is reported as success under MTA-STS", finding->table);
        break;
    }
}

/* How many findings the tables gave. */
static size_t check_tables(struct checkup *checkup, const struct policy_maps_question *question)
{
    struct table_counts tables = {.checkup = checkup};
    struct err err;

    if (policy_maps_look(question, say_policy_map, &tables, &err) != ST_OK)
        checkup_say(checkup, VERDICT_WARN, "mta-sts",
                    "let postmap, which is part of Postfix, be found in PATH",
                    "Postfix's policy tables cannot be asked: %s", err.text);
    return tables.findings;
}

void check_mta_sts(struct checkup *checkup, const char *maps, const char *security_level,
                   bool knows_attributes)
{
    struct sts_counts counts;
    const struct policy_maps_question question = {.maps = maps,
                                                  .security_level = security_level,
                                                  .counted = counts.enforced,
                                                  .domain = checkup->config->mta_sts_domain,
                                                  .knows_attributes = knows_attributes};

    sts_counts_read(checkup->config, &counts);
    if (check_tables(checkup, &question) > 0 || counts.sessions == 0 || !knows_attributes)
        return;
    checkup_say(checkup, VERDICT_WARN, "mta-sts",
                "add tlsrpt: true to /etc/mta-sts-daemon.yml (postfix-mta-sts-resolver), or use "
                "QUERYwithTLSRPT (postfix-tlspol)",
                "a policy plugin seems to pass policies without TLSRPT attributes: certificate failures of "
                "domains that publish MTA-STS (%s) were counted as no-policy-found, %llu since yesterday",
                counts.names, (unsigned long long)counts.sessions);
}
