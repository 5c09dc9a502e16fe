/* SPDX-License-Identifier: MIT */
/* Does the fleet's database answer, and does this host push to it? */
#include <string.h>

#include "app/stores.h"
#include "base/clock.h"
#include "check_socket.h"
#include "checkup.h"

#define PUSHED_S (10 * 60) /* a push a minute, and some patience */

struct fleet_look {
    char host[FLEET_HOST_SIZE];
    int64_t now_s;
    size_t hosts;
    bool has_pushed; /* this host, lately */
};

static enum status look_at_instance(void *context, const struct fleet_instance *instance, struct err *err)
{
    struct fleet_look *look = context;

    (void)err;
    look->hosts++;
    if (strcmp(instance->host, look->host) == 0 && look->now_s - instance->last_seen_s <= PUSHED_S)
        look->has_pushed = true;
    return ST_OK;
}

static const char *mend_of(enum status status)
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
    struct fleet_look look = {.now_s = clock_utc_s()};
    struct fleet *fleet = NULL;
    struct err err;
    enum status status;

    if (*checkup->config->fleet == '\0')
        return;
    (void)stores_host(checkup->config, look.host);
    status = stores_open_fleet(checkup->config, &fleet, &err);
    if (status == ST_OK)
        status = fleet_each_instance(fleet, look.now_s, look_at_instance, &look, &err);
    if (status != ST_OK)
        checkup_say(checkup, VERDICT_FAIL, "fleet", mend_of(status), "%s", err.text);
    else if (look.has_pushed)
        checkup_say(checkup, VERDICT_OK, "fleet", NULL, "its database answers; hosts that push to it: %zu",
                    look.hosts);
    else
        checkup_say(checkup, VERDICT_WARN, "fleet",
                    check_has_systemd() ? "run systemctl enable --now tlsrpt-gen-push.timer"
                                        : "let cron start tlsrpt-gen push every minute",
                    "its database answers, but %s has not pushed in the last 10 minutes", look.host);
    fleet_close(&fleet);
}
