/* SPDX-License-Identifier: MIT */
/* Does SPF let this host send for the envelope's domain? */
#include <ifaddrs.h>
#include <net/if.h>
#include <string.h>

#include "base/cursor.h"
#include "checkup.h"
#include "model/address.h"
#include "spf.h"

#define ADDRESSES_MAX 16

/* Public addresses of this host; how many. */
static size_t own_addresses(struct address addresses_out[ADDRESSES_MAX])
{
    struct ifaddrs *list = NULL;
    size_t count = 0;

    if (getifaddrs(&list) != 0)
        return 0;
    for (const struct ifaddrs *at = list; at != NULL && count < ADDRESSES_MAX; at = at->ifa_next) {
        struct address address;

        if (at->ifa_addr != NULL && (at->ifa_flags & IFF_UP) != 0 &&
            address_from_sockaddr(at->ifa_addr, &address) && address_is_public(&address))
            addresses_out[count++] = address;
    }
    freeifaddrs(list);
    return count;
}

/* The mail leaves from here: through a relay on this host, or directly. */
static bool is_sent_from_here(const struct config *config)
{
    static const char *const LOCAL[] = {"localhost", "127.0.0.1", "localhost.localdomain", "ip6-localhost"};
    struct cursor cursor;
    struct span host;

    if (config->smtp_mode == CONFIG_SMTP_DIRECT)
        return true;
    cursor_init(&cursor, config->relay, strlen(config->relay));
    host = cursor_take_until(&cursor, ":");
    for (size_t i = 0; i < ARRAY_COUNT(LOCAL); i++)
        if (span_is(host, LOCAL[i]))
            return true;
    return false;
}

static void say_result(struct checkup *checkup, const char *domain, const struct address *address,
                       enum spf_result result)
{
    char text[ADDRESS_TEXT_SIZE];
    const char *fix;

    address_format(address, text);
    fix = checkup_format(
        checkup, "publish %s. TXT \"v=spf1 ip%c:%s -all\" (or add ip%c:%s to the record that is there)",
        domain, address->len == 4 ? '4' : '6', text, address->len == 4 ? '4' : '6', text);
    switch (result) {
    case SPF_PASS:
        checkup_say(checkup, VERDICT_OK, "spf", NULL, "%s may send for %s", text, domain);
        return;
    case SPF_FAIL:
    case SPF_SOFTFAIL:
        checkup_say(checkup, VERDICT_FAIL, "spf", fix, "%s may not send for %s", text, domain);
        return;
    case SPF_NONE:
        checkup_say(checkup, VERDICT_WARN, "spf", fix, "%s has no SPF record", domain);
        return;
    case SPF_NEUTRAL:
        checkup_say(checkup, VERDICT_WARN, "spf", fix, "the SPF record of %s says nothing about %s", domain,
                    text);
        return;
    case SPF_BROKEN:
        checkup_say(checkup, VERDICT_FAIL, "spf", fix,
                    "the SPF record of %s is broken: several records, a bad word, or more than "
                    "ten look-ups",
                    domain);
        return;
    case SPF_TEMPORARY:
        checkup_say(checkup, VERDICT_WARN, "spf", "try again later",
                    "the SPF record of %s cannot be looked up now", domain);
        return;
    case SPF_UNKNOWN:
        break;
    }
    checkup_say(checkup, VERDICT_OK, "spf", NULL,
                "the SPF record of %s uses exists, ptr or macros: not evaluated", domain);
}

void check_spf(struct checkup *checkup)
{
    const char *domain = checkup_domain_of(checkup->config->envelope_from);
    struct address addresses[ADDRESSES_MAX];
    size_t count;

    if (!checkup->has_resolver || *domain == '\0')
        return;
    if (!is_sent_from_here(checkup->config)) {
        checkup_say(checkup, VERDICT_OK, "spf", NULL,
                    "%s sends the mail: the SPF record of %s must allow its addresses",
                    checkup->config->relay, domain);
        return;
    }
    count = own_addresses(addresses);
    if (count == 0)
        checkup_say(checkup, VERDICT_OK, "spf", NULL,
                    "this host has no public address of its own: the SPF record of %s must allow the one its "
                    "mail leaves from",
                    domain);
    for (size_t i = 0; i < count; i++)
        say_result(checkup, domain, &addresses[i],
                   spf_evaluate(checkup->resolver, &checkup->arena, domain, &addresses[i]));
}
