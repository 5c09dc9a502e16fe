/* SPDX-License-Identifier: MIT */
/*
 * A result becomes a datagram; a memo of encoded results, keyed by their content, saves most of that work.  If the
 * collector is away, sending is retried until the sink's patience ends.  A summary counts in a bounded table.
 */
#include "log_sink.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/log_events.h"
#include "base/clock.h"
#include "datagram/datagram.h"
#include "model/utc_day.h"
#include "mtalog/slots.h"

#define RETRY_MS   200
#define MEMO_SLOTS 8192
#define MEMO_KEY   360
#define MEMO_BYTES 480
#define COUNT_ROWS 65536 /* a power of two */
#define NAME_BYTES 256

volatile int log_sink_is_stopping;

/* ---- encoding, with a memo of equal results ---- */

struct memo_slot {
    size_t key_len, len;
    char key[MEMO_KEY];
    char bytes[MEMO_BYTES];
};

struct log_memo {
    struct memo_slot slots[MEMO_SLOTS];
};

/* Append text with its NUL; an unknown one as nothing but a mark.  False: the key is full. */
static bool add_to_key(char key[MEMO_KEY], size_t *len, const char *text)
{
    size_t text_len = text != NULL ? strlen(text) : 0;

    if (*len + text_len + 2 > MEMO_KEY)
        return false;
    key[(*len)++] = text != NULL ? '=' : '-';
    if (text_len > 0)
        memcpy(key + *len, text, text_len);
    *len += text_len;
    key[(*len)++] = '\0';
    return true;
}

/* All of a result that has one policy without strings and at most one detail; 0 if it has more. */
static size_t memo_key(const struct session_result *result, char key[MEMO_KEY])
{
    static const struct failure_detail NOTHING;
    const struct result_policy *policy = &result->policies[0];
    const struct failure_detail *detail = policy->detail_count > 0 ? policy->details : &NOTHING;
    const char *const TEXTS[] = {result->domain,
                                 policy->policy.domain,
                                 detail->sending_mta_ip,
                                 detail->receiving_mx_hostname,
                                 detail->receiving_mx_helo,
                                 detail->receiving_ip,
                                 detail->additional_information,
                                 detail->failure_reason_code};
    size_t len = sizeof result->utc_day;

    if (result->policy_count != 1 || policy->detail_count > 1 || policy->policy.strings.count > 0 ||
        policy->policy.mx_hosts.count > 0 || result->record != NULL || !result->has_utc_day)
        return 0;
    memcpy(key, &result->utc_day, len);
    key[len++] = (char)policy->policy.type;
    key[len++] = (char)policy->is_failed;
    key[len++] = (char)policy->detail_count;
    key[len++] = (char)detail->result_type;
    for (size_t i = 0; i < ARRAY_COUNT(TEXTS); i++)
        if (!add_to_key(key, &len, TEXTS[i]))
            return 0;
    return len;
}

/* A bad spread would only cost another encoding. */
static struct memo_slot *memo_slot(struct log_memo *memo, const char *key, size_t len)
{
    uint64_t hash = len;

    for (size_t at = 0; at < len; at += sizeof(uint64_t)) {
        size_t left = len - at;
        uint64_t word = 0;

        memcpy(&word, key + at, left < sizeof word ? left : sizeof word);
        hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return &memo->slots[(hash >> 20) % MEMO_SLOTS];
}

static enum status encode(struct log_sink *sink, const struct session_result *result, const char **bytes_out,
                          size_t *len_out, struct err *err)
{
    char key[MEMO_KEY];
    size_t key_len = memo_key(result, key);
    struct memo_slot *slot = memo_slot(sink->memo, key, key_len);
    enum status status;

    if (key_len > 0 && slot->key_len == key_len && memcmp(slot->key, key, key_len) == 0) {
        *bytes_out = slot->bytes;
        *len_out = slot->len;
        return ST_OK;
    }
    strbuf_reset(&sink->bytes);
    status = datagram_encode(result, &sink->bytes, err);
    if (status != ST_OK)
        return status;
    *bytes_out = sink->bytes.data;
    *len_out = sink->bytes.len;
    if (key_len > 0 && sink->bytes.len <= MEMO_BYTES) {
        memcpy(slot->key, key, key_len);
        slot->key_len = key_len;
        memcpy(slot->bytes, sink->bytes.data, sink->bytes.len);
        slot->len = sink->bytes.len;
    }
    return ST_OK;
}

/* ---- the collector's socket ---- */

static bool connect_socket(struct log_sink *sink)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (sink->fd >= 0)
        (void)close(sink->fd);
    sink->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (sink->fd < 0)
        return false;
    (void)strncpy(address.sun_path, sink->socket_path, sizeof address.sun_path - 1);
    return connect(sink->fd, (const struct sockaddr *)&address, sizeof address) == 0;
}

static bool send_once(struct log_sink *sink, const char *bytes, size_t len)
{
    if (sink->fd < 0 && !connect_socket(sink))
        return false;
    return send(sink->fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len;
}

/* Until its queue has room, or its program is back. */
static void wait_for_collector(struct log_sink *sink)
{
    struct pollfd poll_fd = {.fd = sink->fd, .events = POLLOUT};

    if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR) {
        (void)poll(&poll_fd, 1, RETRY_MS);
        return;
    }
    if (!sink->is_waiting)
        LOG_FACT(EV_COLLECTOR_AWAY, log_text("socket", sink->socket_path),
                 log_text("reason", strerror(errno)));
    sink->is_waiting = true;
    if (sink->fd >= 0)
        (void)close(sink->fd);
    sink->fd = -1;
    clock_sleep_ms(RETRY_MS);
}

static enum status send_datagram(struct log_sink *sink, const char *bytes, size_t len, struct err *err)
{
    int64_t begin_ms = -1;

    while (!send_once(sink, bytes, len)) {
        int reason = errno;

        if (begin_ms < 0)
            begin_ms = clock_monotonic_ms();
        if (log_sink_is_stopping)
            return err_set(err, ST_TEMPORARY, "ended before the collector took everything");
        if (sink->patience_ms >= 0 && clock_monotonic_ms() - begin_ms >= sink->patience_ms)
            return err_set_errno(err, ST_TEMPORARY, reason,
                                 "%s: no collector takes the outcomes; start tlsrpt-gen-collect",
                                 sink->socket_path);
        errno = reason;
        wait_for_collector(sink);
    }
    if (sink->is_waiting)
        LOG_FACT(EV_COLLECTOR_BACK, log_text("socket", sink->socket_path));
    sink->is_waiting = false;
    return ST_OK;
}

/*
 * A result that may be sent again after a kill -9 has a number, by which the collector recognises it.  Its keys go
 * before the closing brace, so that the memo's encoding of equal results can be used.
 */
static enum status send_numbered(struct log_sink *sink, const char *bytes, size_t len, struct err *err)
{
    enum status status;

    if (sink->log_id == 0)
        return send_datagram(sink, bytes, len, err);
    strbuf_reset(&sink->numbered);
    strbuf_add(&sink->numbered, bytes, len - 1);
    strbuf_addf(&sink->numbered, ",\"log-id\":\"%016" PRIx64 "\",\"log-number\":%" PRIu64 "}", sink->log_id,
                sink->log_number + 1);
    if (strbuf_is_failed(&sink->numbered))
        return err_set(err, ST_NOMEM, "out of memory");
    status = send_datagram(sink, sink->numbered.data, sink->numbered.len, err);
    sink->log_number += status == ST_OK;
    return status;
}

/* ---- counting ---- */

/* Sessions of one day, domain, policy and result. */
struct count_row {
    struct session_slot slot;
    int32_t utc_day;
    enum policy_type policy;
    bool is_failed;
    enum result_type result_type;
    char domain[NAME_BYTES];
    uint64_t sessions;
};

struct log_counts {
    struct slots rows;
    uint64_t success, failure;
    uint64_t unlisted; /* sessions of rows that had to make room */
};

static void make_room(void *context, struct session_slot *slot)
{
    struct log_counts *counts = context;

    counts->unlisted += ((struct count_row *)(void *)slot)->sessions;
}

static void count_policy(struct log_counts *counts, const struct session_result *result,
                         const struct result_policy *policy)
{
    enum result_type type =
        policy->detail_count > 0 ? policy->details[0].result_type : RESULT_VALIDATION_FAILURE;
    const unsigned char rest[3] = {(unsigned char)policy->policy.type, policy->is_failed,
                                   (unsigned char)type};
    struct span domain = {result->domain, strlen(result->domain)};
    struct span day = {(const char *)&result->utc_day, sizeof result->utc_day};
    struct count_row *row = (struct count_row *)(void *)slots_get(
        &counts->rows, slots_key(&counts->rows, domain, day, (struct span){(const char *)rest, sizeof rest}));

    if (row->sessions == 0) {
        row->utc_day = result->utc_day;
        row->policy = policy->policy.type;
        row->is_failed = policy->is_failed;
        row->result_type = type;
        (void)snprintf(row->domain, sizeof row->domain, "%s", result->domain);
    }
    row->sessions++;
    counts->success += !policy->is_failed;
    counts->failure += policy->is_failed;
}

static const char *result_name(const struct count_row *row)
{
    return row->is_failed ? result_type_name(row->result_type) : "success";
}

static int compare_rows(const void *a, const void *b)
{
    const struct count_row *x = *(const struct count_row *const *)a, *y = *(const struct count_row *const *)b;
    int order = x->utc_day != y->utc_day ? (x->utc_day < y->utc_day ? -1 : 1) : strcmp(x->domain, y->domain);

    if (order == 0)
        order = x->policy != y->policy ? (x->policy < y->policy ? -1 : 1) : 0;
    return order != 0 ? order : strcmp(result_name(x), result_name(y));
}

static void print_row(const struct count_row *row, FILE *out)
{
    char day[UTC_DAY_TEXT_SIZE];

    utc_day_format(row->utc_day, day);
    (void)fprintf(out, "%-10s  %8llu  %-15s  %-25s  %s\n", day, (unsigned long long)row->sessions,
                  policy_type_name(row->policy), result_name(row), row->domain);
}

void log_sink_print_summary(const struct log_sink *sink, FILE *out)
{
    const struct log_counts *counts = sink->counts;
    const struct count_row **sorted = calloc(counts->rows.used + 1, sizeof *sorted);
    size_t count = 0;

    (void)fprintf(out, "%-10s  %8s  %-15s  %-25s  %s\n", "day (UTC)", "sessions", "policy", "result",
                  "domain");
    for (struct session_slot *slot = slots_oldest(&counts->rows); slot != NULL && sorted != NULL;
         slot = slots_next(&counts->rows, slot))
        sorted[count++] = (const struct count_row *)(const void *)slot;
    if (sorted != NULL)
        qsort(sorted, count, sizeof *sorted, compare_rows);
    for (size_t i = 0; i < count; i++)
        print_row(sorted[i], out);
    if (counts->unlisted > 0)
        (void)fprintf(out, "%-10s  %8llu  of rows beyond the first %d\n", "",
                      (unsigned long long)counts->unlisted, COUNT_ROWS);
    (void)fprintf(out, "sessions: %llu successful, %llu failed\n", (unsigned long long)counts->success,
                  (unsigned long long)counts->failure);
    free(sorted);
}

/* ---- the interface ---- */

enum status log_sink_open(struct log_sink *sink, enum readlog_output output, const char *socket_path,
                          struct err *err)
{
    *sink = (struct log_sink){.output = output,
                              .socket_path = socket_path,
                              .from_s = INT64_MIN,
                              .until_s = INT64_MAX,
                              .patience_ms = -1,
                              .fd = -1};
    strbuf_init(&sink->bytes, DATAGRAM_BYTES_MAX);
    strbuf_init(&sink->numbered, DATAGRAM_BYTES_MAX + 100);
    sink->memo = calloc(1, sizeof *sink->memo);
    if (sink->memo == NULL)
        return err_set(err, ST_NOMEM, "out of memory");
    if (output != READLOG_TO_SUMMARY)
        return ST_OK;
    sink->counts = calloc(1, sizeof *sink->counts);
    if (sink->counts == NULL || !slots_init(&sink->counts->rows, sizeof(struct count_row),
                                            sizeof(struct count_row), COUNT_ROWS, make_room, sink->counts))
        return err_set(err, ST_NOMEM, "out of memory");
    return ST_OK;
}

void log_sink_close(struct log_sink *sink)
{
    if (sink->fd >= 0)
        (void)close(sink->fd);
    sink->fd = -1;
    if (sink->counts != NULL)
        slots_done(&sink->counts->rows);
    free(sink->counts);
    free(sink->memo);
    strbuf_done(&sink->bytes);
    strbuf_done(&sink->numbered);
    sink->counts = NULL;
    sink->memo = NULL;
}

enum status log_sink_emit(struct log_sink *sink, const struct session_result *result, int64_t utc_s,
                          struct err *err)
{
    const char *bytes;
    size_t len;
    enum status status;

    if (utc_s < sink->from_s || utc_s >= sink->until_s)
        return ST_OK;
    sink->emitted++;
    if (sink->output == READLOG_TO_SUMMARY) {
        for (size_t i = 0; i < result->policy_count; i++)
            count_policy(sink->counts, result, &result->policies[i]);
        return ST_OK;
    }
    status = encode(sink, result, &bytes, &len, err);
    if (status != ST_OK)
        return status;
    if (sink->output == READLOG_TO_SOCKET)
        return send_numbered(sink, bytes, len, err);
    if (fwrite(bytes, 1, len, stdout) != len || putc('\n', stdout) == EOF)
        return err_set_errno(err, ST_IO, errno, "write standard output");
    return ST_OK;
}
