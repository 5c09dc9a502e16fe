/* SPDX-License-Identifier: MIT */
#include "report_transport.h"

#include <stdio.h>
#include <string.h>

#include "app/postconf.h"

#define SERVICE     "tlsrpt-smtp"
#define SENDER_MAPS "sender_dependent_default_transport_maps"

/* postconf's option and its argument; the last one names the sender. */
static const struct {
    const char *option, *argument;
} EDITS[] = {
    {"-M", SERVICE "/unix=" SERVICE " unix - - y - - smtp"},
    {"-P", SERVICE "/unix/syslog_name=postfix/tlsrpt"},
    {"-P", SERVICE "/unix/smtp_tls_security_level=may"},
    {"-P", SERVICE "/unix/smtp_tls_policy_maps="},
    {"-e", SENDER_MAPS},
};

/* Other mail from the same address would lose its TLS policy too. */
static bool is_shared(const struct config *config)
{
    return strcmp(config->envelope_from, config->from) == 0 ||
           strcmp(config->envelope_from, config->contact_info) == 0;
}

static enum status edit(const struct config *config, size_t i, bool is_apply, struct err *err)
{
    char argument[512];

    (void)snprintf(argument, sizeof argument, "%s", EDITS[i].argument);
    if (i + 1 == ARRAY_COUNT(EDITS))
        (void)snprintf(argument, sizeof argument, SENDER_MAPS " = inline:{ { %s = " SERVICE ": } }",
                       config->envelope_from);
    (void)printf("    postconf %s '%s'\n", EDITS[i].option, argument);
    return is_apply ? postconf_edit(EDITS[i].option, argument, err) : ST_OK;
}

enum status report_transport_set_up(const struct config *config, bool is_apply, struct err *err)
{
    char maps[POSTCONF_VALUE_MAX] = "", relayhost[512] = "";
    bool can_apply;
    enum status status;

    if (config->smtp_mode == CONFIG_SMTP_DIRECT || *config->envelope_from == '\0')
        return ST_OK;
    status = postconf_get(SENDER_MAPS, maps, sizeof maps, err);
    if (status == ST_OK)
        status = postconf_get("relayhost", relayhost, sizeof relayhost, err);
    if (status != ST_OK || strstr(maps, config->envelope_from) != NULL || relayhost[0] != '\0')
        return status;
    (void)puts(
        "This Postfix ignores TLS-Required: No, so it holds back reports about domains whose TLS is broken.\n"
        "A transport of their own, without TLS policy, delivers them; other mail stays as it is:");
    if (is_shared(config))
        (void)printf("Set envelope_from in tlsrpt-gen.conf to an address that nothing else sends from first; "
                     "%s is used "
                     "by people.\n",
                     config->envelope_from);
    if (maps[0] != '\0')
        (void)puts("Add the entry to " SENDER_MAPS ", which is set already.");
    can_apply = is_apply && !is_shared(config) && maps[0] == '\0';
    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(EDITS); i++)
        status = edit(config, i, can_apply, err);
    if (status == ST_OK)
        (void)puts(can_apply ? "Done.  What is left to run:\n    postfix reload\n" : "    postfix reload\n");
    return status;
}
