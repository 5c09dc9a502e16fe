/* SPDX-License-Identifier: MIT */
/*
 * Texts of a line are copied into small fixed buffers, because the line is gone when the session's other lines
 * come.  A finished session becomes a session result with one policy in an arena that is reset for each.
 */
#include "session.h"

#include <string.h>

#include "model/detail_text.h"
#include "model/domain.h"
#include "model/utc_day.h"

#define ARENA_BYTES 65536

/* ---- texts that outlive their line ---- */

static size_t keep(char *text, size_t max, struct span from)
{
    size_t len = from.len < max ? from.len : max;

    if (len > 0) /* a text that is not there has no address, and memcpy wants one */
        memcpy(text, from.at, len);
    return len;
}

void keep_host(struct kept_host *kept, struct span text)
{
    kept->len = (uint8_t)keep(kept->text, SESSION_HOST_MAX + 1, text);
}

void keep_ip(struct kept_ip *kept, struct span text)
{
    kept->len = (uint8_t)keep(kept->text, sizeof kept->text, text);
}

void keep_reason(struct kept_reason *kept, struct span text)
{
    kept->len = (uint16_t)keep(kept->text, sizeof kept->text, text);
}

void keep_verdict(struct kept_verdict *kept, const struct tls_reason *reason)
{
    kept->result_type = reason->result_type;
    kept->is_failed = true;
    kept->is_dane = reason->is_dane;
    keep_reason(&kept->reason, reason->reason);
}

struct span host_span(const struct kept_host *kept)
{
    return (struct span){kept->text, kept->len};
}

struct span ip_span(const struct kept_ip *kept)
{
    return (struct span){kept->text, kept->len};
}

bool span_equal(struct span a, struct span b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.at, b.at, a.len) == 0);
}

static char folded(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte - 'A' + 'a') : byte;
}

bool span_equal_folded(struct span a, struct span b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (folded(a.at[i]) != folded(b.at[i]))
            return false;
    return true;
}

struct span address_domain(struct span address)
{
    size_t at = address.len;

    while (at > 0 && address.at[at - 1] != '@')
        at--;
    if (at == 0)
        return (struct span){address.at, 0};
    return (struct span){address.at + at, address.len - at};
}

/* ---- session to session result ---- */

void emitter_init(struct emitter *emitter, const struct mtalog_settings *settings)
{
    *emitter = (struct emitter){.settings = settings};
    arena_init(&emitter->arena, ARENA_BYTES);
}

void emitter_done(struct emitter *emitter)
{
    arena_done(&emitter->arena);
}

static struct span text_span(const char *text)
{
    return (struct span){text, strlen(text)};
}

bool emitter_is_ignored_sender(const struct emitter *emitter, struct span sender)
{
    for (size_t i = 0; i < emitter->settings->ignored_sender_count; i++)
        if (span_equal_folded(sender, text_span(emitter->settings->ignored_senders[i])))
            return true;
    return false;
}

static const struct mtalog_relay *find_relay(const struct emitter *emitter, struct span mx)
{
    for (size_t i = 0; i < emitter->settings->relay_count; i++)
        if (span_equal_folded(mx, text_span(emitter->settings->relays[i].host)))
            return &emitter->settings->relays[i];
    return NULL;
}

/* Logs are ASCII where it matters; other bytes (a name in a certificate, perhaps cut) become '?'. */
static struct span as_ascii(const struct kept_reason *kept, char *text)
{
    for (size_t i = 0; i < kept->len; i++)
        text[i] = (unsigned char)kept->text[i] < 0x80 ? kept->text[i] : '?';
    return (struct span){text, kept->len};
}

/* Fields that cannot be used are left out (R32); only memory can fail. */
static enum status build_detail(struct arena *arena, const struct log_session *session, const char *mx,
                                struct failure_detail *out)
{
    char text[SESSION_REASON_MAX];
    struct span reason = as_ascii(&session->verdict->reason, text);

    out->result_type = session->verdict->result_type;
    out->receiving_mx_hostname = mx;
    if (session->sending_ip.len > 0 &&
        detail_text_address(session->sending_ip, arena, &out->sending_mta_ip) == ST_NOMEM)
        return ST_NOMEM;
    if (session->receiving_ip.len > 0 &&
        detail_text_address(session->receiving_ip, arena, &out->receiving_ip) == ST_NOMEM)
        return ST_NOMEM;
    if (reason.len > 0 && detail_text_reason(reason, arena, &out->failure_reason_code) == ST_NOMEM)
        return ST_NOMEM;
    return ST_OK;
}

struct emitted_policy {
    struct result_policy policy;
    struct failure_detail detail;
};

static enum status build_result(struct arena *arena, const struct log_session *session,
                                struct emitted_policy *one, struct session_result *result)
{
    const char *mx = NULL;
    enum status status;

    status = domain_normalise(session->domain.at, session->domain.len, arena, &result->domain, NULL);
    if (status != ST_OK)
        return status == ST_NOMEM ? ST_NOMEM : ST_NOT_FOUND;
    if (session->mx.len > 0 && (session->verdict != NULL || session->policy == POLICY_TLSA) &&
        domain_normalise(session->mx.at, session->mx.len, arena, &mx, NULL) == ST_NOMEM)
        return ST_NOMEM;
    one->policy.policy.type = session->policy;
    one->policy.policy.domain = session->policy == POLICY_TLSA && mx != NULL ? mx : result->domain;
    if (session->verdict != NULL) {
        one->policy.is_failed = true;
        one->policy.details = &one->detail;
        one->policy.detail_count = 1;
        if (build_detail(arena, session, mx, &one->detail) != ST_OK)
            return ST_NOMEM;
    }
    result->policies = &one->policy;
    result->policy_count = 1;
    result->has_utc_day = true;
    result->utc_day = utc_day_of(session->utc_s);
    return ST_OK;
}

enum status emitter_emit(struct emitter *emitter, const struct log_session *session)
{
    const struct mtalog_relay *relay = find_relay(emitter, session->mx);
    struct log_session routed = *session;
    struct emitted_policy one = {0};
    struct session_result result = {0};
    enum status status;

    if (relay != NULL && relay->domain == NULL)
        return ST_OK;
    if (relay != NULL)
        routed.domain = text_span(relay->domain);
    arena_reset(&emitter->arena);
    status = build_result(&emitter->arena, &routed, &one, &result);
    if (status == ST_NOT_FOUND) {
        emitter->counts.no_domain++;
        return ST_OK;
    }
    if (status != ST_OK)
        return err_set(emitter->err, status, "log reader: out of memory");
    emitter->counts.results++;
    return emitter->settings->on_result(emitter->settings->context, &result, session->utc_s);
}
