/* SPDX-License-Identifier: MIT */
/* Does the fleet's database answer, and does this host push to it? */
#include <string.h>

#include "app/stores.h"
#include "base/clock.h"
#include "check_socket.h"
#include "checkup.h"

#define PUSHED_S (10 * 60) /* a push a minute, and some patience */

struct fleet_summary {
    char host[FLEET_HOST_SIZE];
    int64_t now_s;
    size_t hosts;
    bool has_pushed; /* this host, lately */
};

static enum status add_instance(void *context, const struct fleet_instance *instance, struct err *err)
{
    struct fleet_summary *summary = context;

    (void)err;
    summary->hosts++;
    if (strcmp(instance->host, summary->host) == 0 && summary->now_s - instance->last_seen_s <= PUSHED_S)
        summary->has_pushed = true;
    return ST_OK;
}

static const char *fix_for(enum status status)
{
    if (status == ST_CONFIG)
        return "do what the message says, or correct fleet and fleet_password_file";
    return status == ST_DENIED
               ? "see whether role and password are right, and grant the role what tlsrpt-gen fleet-init "
                 "prints"
               : "see whether the server runs, offers TLS with a certificate that is trusted here, and lets "
                 "this host in (tlsrpt-gen-fleet(7)); outcomes are kept here meanwhile";
}

void check_fleet(struct checkup *checkup)
{
    struct fleet_summary summary = {.now_s = clock_utc_s()};
    struct fleet *fleet = NULL;
    struct err err;
    enum status status;

    if (*checkup->config->fleet == '\0')
        return;
    (void)stores_host(checkup->config, summary.host);
    status = stores_open_fleet(checkup->config, &fleet, &err);
    if (status == ST_OK)
        status = fleet_each_instance(fleet, summary.now_s, add_instance, &summary, &err);
    if (status != ST_OK)
        checkup_say(checkup, VERDICT_FAIL, "fleet", fix_for(status), "%s", err.text);
    else if (summary.has_pushed)
        checkup_say(checkup, VERDICT_OK, "fleet", NULL, "its database answers; hosts that push to it: %zu",
                    summary.hosts);
    else
        checkup_say(checkup, VERDICT_WARN, "fleet",
                    check_has_systemd() ? "run systemctl enable --now tlsrpt-gen-push.timer"
                                        : "let cron start tlsrpt-gen push every minute",
                    "its database answers, but %s has not pushed in the last 10 minutes", summary.host);
    fleet_close(&fleet);
}
