/* SPDX-License-Identifier: MIT */
/*
 * The line's JSON tree lives in an arena of its own and dies with the call; only canonical texts are copied into
 * the caller's.  A failure's reason comes from Exim's name of a DANE failure first, then from its words.
 */
#include "datagram/exim_line.h"

#include <stdlib.h>
#include <string.h>

#include "base/json_text.h"
#include "exim_sts.h"
#include "model/detail_text.h"
#include "model/domain.h"
#include "model/tls_reason.h"

/* One policy and its one detail, together in the arena. */
struct exim_policy {
    struct result_policy policy;
    struct failure_detail detail;
};

bool exim_line_is_one(const void *bytes, size_t len)
{
    static const char BEGIN[] = "{\"v\":\"exim";

    return len >= sizeof BEGIN - 1 && memcmp(bytes, BEGIN, sizeof BEGIN - 1) == 0;
}

static struct span span_of(const json_t *object, const char *key)
{
    return json_text_span(json_object_get(object, key));
}

/* A decimal number in a JSON string; 0 if it is none. */
static int64_t number_of(const json_t *object, const char *key)
{
    struct span text = span_of(object, key);
    struct cursor cursor;
    uint64_t number;

    cursor_init(&cursor, text.at, text.len);
    number = cursor_take_number(&cursor, INT64_MAX);
    return cursor_at_end(&cursor) ? (int64_t)number : 0;
}

static enum status load(struct arena *arena, const char *bytes, size_t len, json_t **root_out,
                        struct err *err)
{
    json_error_t error;
    enum status status = json_text_load_repaired(arena, bytes, len, JSON_TEXT_OURS, root_out, &error);

    if (status == ST_NOMEM)
        status = err_set(err, ST_NOMEM, "Exim's line: out of memory");
    else if (status != ST_OK)
        status = err_set(err, ST_SYNTAX, "Exim's line is not JSON: byte %d: %s", error.position, error.text);
    else if (!json_is_object(*root_out))
        status = err_set(err, ST_SYNTAX, "Exim's line is not a JSON object");
    return status;
}

static enum status decode_domain(const json_t *root, struct arena *arena, const char **domain_out,
                                 struct err *err)
{
    struct span text = span_of(root, "domain");
    struct err reason;
    enum status status;

    if (text.len == 0)
        return err_set(err, ST_SYNTAX,
                       "Exim's line has no \"domain\": set multi_domain = false in the transport");
    if (text.at[0] == '[')
        return err_set(err, ST_NOT_FOUND, "mail to an address literal has no policy domain");
    status = domain_normalise(text.at, text.len, arena, domain_out, &reason);
    if (status == ST_OK)
        return ST_OK;
    return err_set(err, status == ST_NOMEM ? ST_NOMEM : ST_SYNTAX, "Exim's line: \"domain\": %s",
                   reason.text);
}

/*
 * What Exim's name of a DANE failure says, unless it is only that validation failed; else what the words say;
 * words that are not known are a validation failure.
 */
static struct tls_reason reason_of_words(const json_t *root, int64_t now_s)
{
    struct span words = span_of(root, "reason");
    struct span dane = span_of(root, "danefail");
    struct tls_reason reason;
    enum result_type type;

    if (!tls_reason_of_exim(words, &reason))
        reason = (struct tls_reason){.result_type = RESULT_VALIDATION_FAILURE, .reason = words};
    if (tls_reason_of_exim_dane(dane, &type)) {
        reason.is_dane = true;
        if (type != RESULT_VALIDATION_FAILURE) {
            reason.result_type = type;
            reason.reason.len = 0;
        }
    }
    tls_reason_settle_expiry(&reason, number_of(root, "notafter"), now_s);
    return reason;
}

/* Fields that cannot be used are left out (R32); only memory can fail. */
static enum status decode_failure(const json_t *root, const struct tls_reason *reason, struct arena *arena,
                                  struct failure_detail *out)
{
    struct span source = span_of(root, "src");
    struct span ip = span_of(root, "ip");

    out->result_type = reason->result_type;
    if (detail_text_address(source, arena, &out->sending_mta_ip) == ST_NOMEM ||
        detail_text_address(ip, arena, &out->receiving_ip) == ST_NOMEM)
        return ST_NOMEM;
    if (reason->reason.len > 0 &&
        detail_text_reason(reason->reason, arena, &out->failure_reason_code) == ST_NOMEM)
        return ST_NOMEM;
    return ST_OK;
}

/* One line in hand. */
struct exim_line {
    const char *mx; /* canonical; NULL: none that can be used */
    struct exim_sts sts;
    bool is_failure, is_refused, is_clear; /* "what"; all false: success */
};

/* A policy was applied. */
static bool has_policy(const struct exim_line *line)
{
    return line->sts.mode == EXIM_STS_TESTING || line->sts.mode == EXIM_STS_ENFORCE;
}

static bool is_refused_by_policy(const struct exim_line *line)
{
    return has_policy(line) && line->mx != NULL && !line->sts.allows_mx;
}

/* Exim refused the connection at tcp:connect: event_action gave a text (ERRNO_EVENT, 4.98: -58, 4.100: -65). */
static bool was_refused(const json_t *root)
{
    struct span number = span_of(root, "errno");

    return span_is(number, "-58") || span_is(number, "-65");
}

/* TLS worked, but the certificate is not good for an MTA-STS policy in testing mode: Exim goes on without a word. */
static struct tls_reason reason_of_certificate(const json_t *root, int64_t now_s)
{
    int64_t not_after_s = number_of(root, "notafter");
    bool is_expired = not_after_s != 0 && not_after_s < now_s;
    bool is_named = span_is(span_of(root, "named"), "yes");

    return (struct tls_reason){.result_type = is_expired ? RESULT_CERTIFICATE_EXPIRED
                                              : is_named ? RESULT_CERTIFICATE_NOT_TRUSTED
                                                         : RESULT_CERTIFICATE_HOST_MISMATCH};
}

/* A failure of TLS itself says more. */
static bool has_policy_error(const struct exim_line *line, bool is_dane)
{
    return line->sts.mode == EXIM_STS_ERROR && !is_dane && !line->is_failure;
}

/*
 * Did the session fail, and why?  DANE has the first word, then the MTA-STS policy that the transport applied.
 * False: it did not fail.
 */
static bool find_failure(const json_t *root, const struct exim_line *line, int64_t now_s,
                         struct tls_reason *reason_out)
{
    static const struct span MISMATCH = {TLS_REASON_MX_MISMATCH, sizeof TLS_REASON_MX_MISMATCH - 1};
    bool is_dane = span_is(span_of(root, "dane"), "yes") || span_of(root, "danefail").len > 0;
    bool is_sts = has_policy(line) && !is_dane;

    *reason_out = (struct tls_reason){.result_type = RESULT_VALIDATION_FAILURE, .reason = MISMATCH};
    if (is_sts && (line->is_failure ? was_refused(root) : is_refused_by_policy(line)))
        return true;
    if (line->is_failure)
        *reason_out = reason_of_words(root, now_s);
    else if (has_policy_error(line, is_dane))
        *reason_out = (struct tls_reason){.result_type = line->sts.error};
    else if (line->is_clear || line->is_refused)
        *reason_out = (struct tls_reason){.result_type = RESULT_STARTTLS_NOT_SUPPORTED, .is_dane = is_dane};
    else if (is_sts && !span_is(span_of(root, "verified"), "1"))
        *reason_out = reason_of_certificate(root, now_s);
    else
        return false;
    return true;
}

static void choose_policy(const json_t *root, const struct exim_line *line, const struct tls_reason *reason,
                          const char *domain, struct policy *out)
{
    bool is_dane = reason->is_dane || span_is(span_of(root, "dane"), "yes");

    out->domain = domain;
    if (is_dane) {
        out->type = POLICY_TLSA;
        out->domain = line->mx != NULL ? line->mx : domain;
    } else if (has_policy_error(line, is_dane)) {
        out->type = POLICY_STS;
    } else if (has_policy(line)) {
        out->type = POLICY_STS;
        out->strings = line->sts.lines;
        out->mx_hosts = line->sts.patterns;
    } else {
        out->type = POLICY_NO_POLICY_FOUND;
    }
}

static enum status decode_policy(const json_t *root, const struct exim_line *line, int64_t now_s,
                                 struct arena *arena, struct session_result *result)
{
    struct exim_policy *one = arena_alloc(arena, sizeof *one);
    struct tls_reason reason = {0};

    if (one == NULL)
        return ST_NOMEM;
    one->policy.is_failed = find_failure(root, line, now_s, &reason);
    if (!one->policy.is_failed)
        reason.is_dane = false;
    choose_policy(root, line, &reason, result->domain, &one->policy.policy);
    if (one->policy.is_failed) {
        one->policy.details = &one->detail;
        one->policy.detail_count = 1;
        one->detail.receiving_mx_hostname = line->mx;
        if (decode_failure(root, &reason, arena, &one->detail) != ST_OK)
            return ST_NOMEM;
    }
    result->policies = &one->policy;
    result->policy_count = 1;
    return ST_OK;
}

/* "what", the host and the policy. */
static enum status read_line(const json_t *root, struct arena *arena, struct exim_line *line_out,
                             struct err *err)
{
    struct span what = span_of(root, "what");
    struct span host = span_of(root, "mx");
    struct exim_line line = {.is_failure = span_is(what, "failure"),
                             .is_refused = span_is(what, "refused"),
                             .is_clear = span_is(what, "clear")};

    if (!line.is_failure && !line.is_refused && !line.is_clear && !span_is(what, "success"))
        return err_set(err, ST_SYNTAX, "Exim's line: \"what\" is not success, failure, refused or clear");
    if (domain_normalise(host.at, host.len, arena, &line.mx, NULL) == ST_NOMEM ||
        exim_sts_parse(span_of(root, "sts"), line.mx, arena, &line.sts) == ST_NOMEM)
        return err_set(err, ST_NOMEM, "Exim's line: out of memory");
    if (line.is_clear &&
        line.sts.mode != EXIM_STS_TESTING && /* enforce: Exim's refusal is a line of its own */
        line.sts.mode != EXIM_STS_ERROR)
        return err_set(err, ST_NOT_FOUND, "a session without TLS, and none was asked for");
    *line_out = line;
    return ST_OK;
}

static enum status decode(const json_t *root, int64_t now_s, struct arena *arena,
                          struct session_result *result, struct err *err)
{
    struct exim_line line = {0};
    enum status status;

    if (!span_is(span_of(root, "v"), "exim1"))
        return err_set(err, ST_UNSUPPORTED, "Exim's line: \"v\" is not \"exim1\"");
    status = read_line(root, arena, &line, err);
    if (status == ST_OK)
        status = decode_domain(root, arena, &result->domain, err);
    if (status != ST_OK)
        return status;
    if (decode_policy(root, &line, now_s, arena, result) != ST_OK)
        return err_set(err, ST_NOMEM, "Exim's line: out of memory");
    return ST_OK;
}

enum status exim_line_decode(const void *bytes, size_t len, int64_t now_s, struct arena *arena,
                             struct session_result *result_out, struct err *err)
{
    struct session_result result = {0};
    struct arena tree;
    json_t *root = NULL;
    enum status status;

    if (len > EXIM_LINE_BYTES_MAX)
        return err_set(err, ST_RANGE, "%zu bytes; the limit is %d", len, EXIM_LINE_BYTES_MAX);
    arena_init(&tree, (size_t)3 * EXIM_LINE_BYTES_MAX * JSON_TEXT_GROWTH_MAX);
    status = load(&tree, bytes, len, &root, err);
    if (status == ST_OK)
        status = decode(root, now_s, arena, &result, err);
    if (status == ST_OK)
        *result_out = result;
    arena_done(&tree);
    return status;
}
