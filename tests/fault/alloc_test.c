/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out at the Nth allocation, N = 0, 1, 2 ... until a job gets through, once as a single refusal
 * and once for good.  Ours, Jansson's, SQLite's, OpenSSL's and c-ares' allocations all count.  Each job must
 * end in ST_OK with the same answer as with plenty of memory, or in ST_NOMEM with words; nothing may leak
 * (LeakSanitizer watches under check-asan), and what a store held before is what it holds afterwards.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../unit/names.h"
#include "base/file.h"
#include "compress/gzip.h"
#include "datagram/datagram.h"
#include "datagram/exim_line.h"
#include "datagram/ndjson_line.h"
#include "fault.h"
#include "mail/compose.h"
#include "mail/dkim.h"
#include "mail/mail_read.h"
#include "model/config.h"
#include "model/tlsrpt_record.h"
#include "mtalog/mtalog.h"
#include "report/report_build.h"
#include "report/report_read.h"
#include "resolve/dns_reply.h"
#include "store/ledger.h"
#include "store/session_writer.h"

#define DAY        20526 /* 2026-03-14 */
#define NOW_S      1795290000
#define DIGEST_MAX 8192
#define N_MAX      100000 /* no job needs so many */
#define TEXT_MAX   262144

static const char STS_DATAGRAM[] =
    "{\"dpv\":\"1\",\"d\":\"north.example\",\"pr\":\"v=TLSRPTv1; rua=mailto:a@north.example\",\"policies\":[{"
    "\"policy-type\":2,\"policy-domain\":\"north.example\",\"policy-string\":[\"version: STSv1\",\"mode: "
    "enforce\"],\"mx-host\":[\"*.north.example\"],\"failure-details\":[{\"c\":202,\"s\":\"192.0.2.1\",\"n\":"
    "\"mx."
    "north.example\",\"h\":\"250 "
    "mx.north.example\",\"r\":\"2001:db8::1\",\"a\":\"https://x.example/\",\"f\":\"why "
    "\xff\"}],\"t\":1,\"f\":1}]}";
/* What a job works on, and the answer it gives, in memory that was there before. */
struct world {
    char folder[64], sessions[96], ledger[96], config[96], key[96];
    char digest[DIGEST_MAX];
    size_t digest_len;
    struct strbuf text;   /* a file of test data */
    struct arena reading; /* filled before memory runs out */
    struct session_result result;
};

static struct world world;

static void note(const char *format, ...) PRINTF_LIKE(1, 2);

static void note(const char *format, ...)
{
    va_list values;
    int len;

    va_start(values, format);
    len = vsnprintf(world.digest + world.digest_len, DIGEST_MAX - world.digest_len, format, values);
    va_end(values);
    assert_true(len >= 0 && world.digest_len + (size_t)len < DIGEST_MAX);
    world.digest_len += (size_t)len;
}

static uint32_t sum_of(const void *bytes, size_t len)
{
    uint32_t sum = 2166136261U;

    for (size_t i = 0; i < len; i++)
        sum = (sum ^ ((const unsigned char *)bytes)[i]) * 16777619U;
    return sum;
}

static void note_detail(const struct failure_detail *detail)
{
    note("(%d %s %s %s %s %s %s)", (int)detail->result_type, detail->sending_mta_ip,
         detail->receiving_mx_hostname, detail->receiving_mx_helo, detail->receiving_ip,
         detail->additional_information, detail->failure_reason_code);
}

static void note_policy(const struct policy *policy)
{
    note("[%d %s", (int)policy->type, policy->domain);
    for (size_t i = 0; i < policy->strings.count; i++)
        note(" %s", policy->strings.items[i]);
    for (size_t i = 0; i < policy->mx_hosts.count; i++)
        note(" mx %s", policy->mx_hosts.items[i]);
    note("]");
}

static void note_result(const struct session_result *result)
{
    note("%s %s %d:", result->domain, result->record, result->has_utc_day ? result->utc_day : 0);
    for (size_t i = 0; i < result->policy_count; i++) {
        note_policy(&result->policies[i].policy);
        note("%d", result->policies[i].is_failed);
        for (size_t k = 0; k < result->policies[i].detail_count; k++)
            note_detail(&result->policies[i].details[k]);
    }
}

/* ---- jobs: events ---- */

static enum status decode_datagram(struct err *err)
{
    struct session_result result;
    struct arena arena;
    struct strbuf again;
    enum status status;

    arena_init(&arena, DATAGRAM_ARENA_BYTES);
    strbuf_init(&again, DATAGRAM_BYTES_MAX);
    status = datagram_decode(STS_DATAGRAM, sizeof STS_DATAGRAM - 1, &arena, &result, err);
    if (status == ST_OK) {
        note_result(&result);
        status = datagram_encode(&result, &again, err);
    }
    if (status == ST_OK)
        note(" %" PRIu32, sum_of(again.data, again.len));
    strbuf_done(&again);
    arena_done(&arena);
    return status;
}

static enum status decode_exim_line(struct err *err)
{
    static const char LINE[] =
        "{\"v\":\"exim1\",\"what\":\"failure\",\"domain\":\"north.example\",\"mx\":\"mx.north.example\","
        "\"ip\":\"192.0.2."
        "1\",\"src\":\"192.0.2.2\",\"dane\":\"no\",\"reason\":\"certificate verification failed\"}\n";
    struct session_result result;
    struct arena arena;
    enum status status;

    arena_init(&arena, EXIM_LINE_ARENA_BYTES);
    status = exim_line_decode(LINE, sizeof LINE - 1, NOW_S, &arena, &result, err);
    if (status == ST_OK)
        note_result(&result);
    arena_done(&arena);
    return status;
}

static enum status decode_ndjson_line(struct err *err)
{
    static const char LINE[] =
        "{\"datetime\":\"2026-11-20T10:00:00Z\",\"tls-report-domain\":\"north.example\",\"policies\":[{"
        "\"policy\":{"
        "\"policy-type\":\"sts\",\"policy-domain\":\"north.example\",\"policy-string\":[\"version: STSv1\"],"
        "\"mx-host\":[\"*.north.example\"]},\"failure-details\":[{\"result-type\":\"certificate-expired\","
        "\"sending-mta-ip\":\"192.0.2.1\",\"receiving-mx-hostname\":\"mx.north.example\",\"receiving-ip\":"
        "\"2001:db8::1\",\"failure-reason-code\":\"X509\"}]}]}";
    struct session_result result;
    struct arena arena;
    enum status status;
    int64_t utc_s;

    arena_init(&arena, NDJSON_LINE_ARENA_BYTES);
    status = ndjson_line_decode(LINE, sizeof LINE - 1, NOW_S, &arena, &result, &utc_s, err);
    if (status == ST_OK)
        note_result(&result);
    arena_done(&arena);
    return status;
}

static enum status note_logged(void *context, const struct session_result *result, int64_t utc_s)
{
    (void)context;
    note_result(result);
    note(" at %" PRId64 "\n", utc_s);
    return ST_OK;
}

static enum status read_log(enum mtalog_mta mta, struct err *err)
{
    const struct mtalog_settings settings = {
        .mta = mta, .mandatory_tls = POLICY_NO_POLICY_FOUND, .on_result = note_logged};
    struct mtalog *log = NULL;
    struct cursor cursor;
    enum status status = mtalog_new(&settings, &log, err);

    if (status != ST_OK)
        return status;
    mtalog_set_now(log, NOW_S);
    cursor_init(&cursor, world.text.data, world.text.len);
    while (status == ST_OK && !cursor_at_end(&cursor)) {
        size_t offset = cursor_offset(&cursor);

        status = mtalog_feed(log, cursor_take_until(&cursor, "\n"), offset, err);
        (void)cursor_skip_word(&cursor, "\n");
    }
    if (status == ST_OK)
        status = mtalog_flush(log, err);
    mtalog_free(&log);
    return status;
}

static enum status read_exim_log(struct err *err)
{
    return read_log(MTALOG_EXIM, err);
}

static enum status read_postfix_log(struct err *err)
{
    return read_log(MTALOG_POSTFIX, err);
}

/* ---- jobs: settings, records, replies ---- */

static enum status load_config(struct err *err)
{
    static const char *const OVERRIDES[] = {"min_delay=5min", "resolver=192.0.2.1, [2001:db8::1]:53"};
    struct config config;
    enum status status = config_load(world.config, OVERRIDES, ARRAY_COUNT(OVERRIDES), true, &config, err);

    if (status == ST_OK)
        note("%s %s %s %zu %" PRId64, config.organization_name, config.submitter, config.from,
             config.resolver.count, config.min_delay_s);
    config_done(&config);
    return status;
}

static enum status parse_record(struct err *err)
{
    static const char RECORD[] =
        "v=TLSRPTv1; rua=mailto:a%2Bb@north.example,https://b\xc3\xbc.example:443/x?y=1 , "
        "ftp://x;ttl=1;rua=mailto:z@b%C3%BCcher.example";
    struct tlsrpt_record record;
    struct strbuf words;
    struct arena arena;
    enum status status;

    arena_init(&arena, TLSRPT_ARENA_MAX);
    strbuf_init(&words, 4096);
    status = tlsrpt_record_parse(RECORD, sizeof RECORD - 1, &arena, &record, err);
    if (status == ST_OK) {
        note("%d %zu:", (int)record.result, record.skipped_count);
        for (size_t i = 0; i < record.rua_count; i++)
            note(" %s", record.ruas[i].uri);
        for (const struct tlsrpt_finding *at = record.findings; at != NULL; at = at->next)
            note(" %d@%zu", (int)at->kind, at->offset);
    }
    strbuf_done(&words);
    arena_done(&arena);
    return status;
}

static enum status read_dns_reply(struct err *err)
{
    struct span *rrs;
    struct arena arena;
    size_t count;
    enum status status;

    arena_init(&arena, 1 << 20);
    status = dns_reply_txt((const unsigned char *)world.text.data, world.text.len, &arena, &rrs, &count);
    for (size_t i = 0; status == ST_OK && i < count; i++)
        note("%.*s;", (int)rrs[i].len, rrs[i].at);
    arena_done(&arena);
    return status == ST_OK ? ST_OK : err_set(err, status, "reply");
}

/* ---- jobs: reports ---- */

static enum status tell_day(void *context, const struct report_visitor *visitor, struct err *err)
{
    static const char *strings[] = {"version: STSv1", "mode: enforce"};
    static const char *hosts[] = {"*.north.example"};
    const struct policy policy = {POLICY_STS, "north.example", {strings, 2}, {hosts, 1}};
    const struct session_counts counts = {5, 3};
    const struct failure_detail detail = {.result_type = RESULT_CERTIFICATE_EXPIRED,
                                          .receiving_ip = "192.0.2.1"};
    enum status status = visitor->policy(visitor->context, &policy, &counts, err);

    (void)context;
    return status == ST_OK && visitor->detail != NULL ? visitor->detail(visitor->context, &detail, 3, err)
                                                      : status;
}

static enum status write_gzip(void *context, const char *bytes, size_t len, struct err *err)
{
    return gzip_add(context, bytes, len, err);
}

static enum status restart_gzip(void *context, struct err *err)
{
    struct gzip *gzip = context;

    (void)err;
    strbuf_reset(gzip->out);
    gzip_begin(gzip, gzip->out);
    return ST_OK;
}

static enum status sign_mail(const struct strbuf *mail, struct err *err)
{
    const struct dkim_key_setting setting = {"s1", DKIM_ED25519_SHA256, world.key};
    struct dkim_keys *keys = NULL;
    struct strbuf signature;
    enum status status = dkim_keys_load(&setting, 1, "seaport.example", &keys, err);

    strbuf_init(&signature, 65536);
    if (status == ST_OK)
        status = dkim_sign(keys, mail->data, mail->len, NOW_S, &signature, err);
    if (status == ST_OK)
        note(" %" PRIu32 " signature %" PRIu32, sum_of(mail->data, mail->len),
             sum_of(signature.data, signature.len));
    strbuf_done(&signature);
    dkim_keys_free(&keys);
    return status;
}

static enum status compose_report(const struct report_meta *meta, const struct report_built *built,
                                  const struct strbuf *packed, struct err *err)
{
    const struct mail_parts parts = {.meta = meta,
                                     .summary = &built->summary,
                                     .from = "tls@seaport.example",
                                     .to = "rua@north.example",
                                     .message_id = "1.2@seaport.example",
                                     .date_s = NOW_S,
                                     .file_name = "seaport.example!north.example!1!2.json.gz",
                                     .gzip = packed->data,
                                     .gzip_len = packed->len};
    struct strbuf mail;
    enum status status;

    strbuf_init(&mail, 1 << 20);
    status = mail_compose(&parts, &mail, err);
    if (status == ST_OK)
        status = sign_mail(&mail, err);
    strbuf_done(&mail);
    return status;
}

static enum status build_report(struct err *err)
{
    const struct report_meta meta = {"Seaport",       "tls@seaport.example", "seaport.example",
                                     "north.example", "1@seaport.example",   DAY};
    const struct report_source source = {tell_day, NULL};
    struct report_built built;
    struct strbuf packed;
    struct gzip gzip;
    struct report_sink sink = {write_gzip, restart_gzip, &gzip};
    enum status status = gzip_open(&gzip, err);

    strbuf_init(&packed, 1 << 20);
    if (status == ST_OK) {
        gzip_begin(&gzip, &packed);
        status = report_build(&meta, 1 << 20, &source, &sink, &built, err);
    }
    if (status == ST_OK)
        status = gzip_end(&gzip, err);
    if (status == ST_OK) {
        note("%" PRIu64 " bytes", built.json_bytes);
        status = compose_report(&meta, &built, &packed, err);
    }
    gzip_close(&gzip);
    strbuf_done(&packed);
    return status;
}

static enum status read_report(struct err *err)
{
    struct report_document document;
    struct finding_list findings;
    struct strbuf pretty;
    struct arena arena;
    enum status status;

    arena_init(&arena, 16 << 20);
    strbuf_init(&pretty, 1 << 20);
    finding_list_init(&findings, &arena);
    status = report_read(world.text.data, world.text.len, &arena, &findings, &document, err);
    if (status == ST_OK)
        status = report_format_pretty(world.text.data, world.text.len, &pretty, err);
    if (status == ST_OK)
        note("%s %s %" PRIu64 " %" PRIu64 " findings %zu %zu, %" PRIu32, document.organization_name,
             document.report_id, document.success, document.failure, findings.totals[0], findings.totals[1],
             sum_of(pretty.data, pretty.len));
    strbuf_done(&pretty);
    arena_done(&arena);
    return status;
}

static enum status read_mail(struct err *err)
{
    struct report_envelope envelope = {0};
    struct strbuf packed, report;
    struct arena arena;
    enum status status;

    arena_init(&arena, 16 << 20);
    strbuf_init(&packed, 1 << 20);
    strbuf_init(&report, 1 << 20);
    status = mail_read_report(world.text.data, world.text.len, &arena, &packed, &envelope, err);
    if (status == ST_OK)
        status = gzip_inflate(packed.data, packed.len, &report, err);
    if (status == ST_OK)
        note("%" PRIu32, sum_of(report.data, report.len));
    strbuf_done(&packed);
    strbuf_done(&report);
    arena_done(&arena);
    return status;
}

/* ---- jobs: the session store ---- */

static enum status count_into(struct session_writer *writer, struct err *err)
{
    const struct session_mark mark = {.counted_through_s = NOW_S, .ring_sequence = 7};
    struct tally_plan plan;
    enum status status = session_writer_begin(writer, err);

    for (int i = 0; status == ST_OK && i < 3; i++)
        status = session_writer_add(writer, &world.result, DAY, 1, NOW_S, &plan, err);
    session_writer_bump(writer, COUNTER_STORED, 3);
    if (status == ST_OK)
        status = session_writer_set_mark(writer, &mark, err);
    if (status == ST_OK)
        return session_writer_commit(writer, err);
    session_writer_rollback(writer);
    return status;
}

static enum status open_writer(struct session_writer **writer_out, struct err *err)
{
    const struct session_limits limits = {.max_policies = 100, .max_details = 1000, .max_subdomains = 1000};

    return session_writer_open(world.sessions, &limits, writer_out, err);
}

static enum status count_results(struct err *err)
{
    struct session_writer *writer = NULL;
    enum status status = open_writer(&writer, err);

    if (status == ST_OK)
        status = count_into(writer, err);
    session_writer_close(&writer);
    if (status == ST_OK)
        note("committed");
    return status;
}

static enum status see_policy(void *context, const struct policy *policy, const struct session_counts *counts,
                              struct err *err)
{
    (void)context;
    (void)err;
    note_policy(policy);
    note("%" PRIu64 "/%" PRIu64, counts->success, counts->failure);
    return ST_OK;
}

static enum status see_detail(void *context, const struct failure_detail *detail, uint64_t sessions,
                              struct err *err)
{
    (void)context;
    (void)err;
    note_detail(detail);
    note("x%" PRIu64, sessions);
    return ST_OK;
}

static enum status see_domain(void *context, const char *domain, const struct session_counts *sessions,
                              struct err *err)
{
    (void)context;
    (void)err;
    note("%s %" PRIu64 "/%" PRIu64 ";", domain, sessions->success, sessions->failure);
    return ST_OK;
}

static enum status see_record(void *context, const char *record, int64_t last_seen_s, struct err *err)
{
    (void)context;
    (void)err;
    note("%s %" PRId64 ";", record, last_seen_s);
    return ST_OK;
}

static enum status see_day(void *context, const struct session_day *day, struct err *err)
{
    (void)context;
    (void)err;
    note("%d %d %" PRIu64 ";", (int)day->utc_day, day->is_closed, day->domains);
    return ST_OK;
}

static enum status walk_store(struct session_reader *reader, struct err *err)
{
    const struct report_visitor visitor = {see_policy, see_detail, NULL};
    uint64_t counters[COUNTER_COUNT];
    struct session_mark mark;
    enum status status = session_reader_each_day(reader, see_day, NULL, err);

    if (status == ST_OK)
        status = session_reader_each_domain(reader, DAY, "", 100, see_domain, NULL, err);
    if (status == ST_OK)
        status = session_reader_read_domain(reader, DAY, "north.example", &visitor, err);
    if (status == ST_OK)
        status = session_reader_each_record(reader, DAY, "north.example", see_record, NULL, err);
    if (status == ST_OK)
        status = session_reader_get_mark(reader, &mark, err);
    if (status == ST_OK)
        status = session_reader_counters(reader, counters, err);
    if (status == ST_OK)
        note(" mark %" PRIu64 " stored %" PRIu64, mark.ring_sequence, counters[COUNTER_STORED]);
    return status;
}

static enum status read_store(struct err *err)
{
    struct session_reader *reader = NULL;
    enum status status = session_reader_open(world.sessions, SESSION_READ, &reader, err);

    if (status == ST_OK)
        status = walk_store(reader, err);
    session_reader_close(&reader);
    return status;
}

static void remove_store(const char *path)
{
    static const char *const SUFFIXES[] = {"", "-wal", "-shm", "-journal"};
    char name[128];

    for (size_t i = 0; i < ARRAY_COUNT(SUFFIXES); i++) {
        (void)snprintf(name, sizeof name, "%s%s", path, SUFFIXES[i]);
        (void)unlink(name);
    }
}

static void no_store(void)
{
    remove_store(world.sessions);
}

static void one_store(void)
{
    struct err err;

    if (access(world.sessions, F_OK) != 0)
        assert_int_equal(count_results(&err), ST_OK);
}

/* All or nothing: after a failure there is no mark and no session; the job done again gives what one run
 * gives. */
static void check_store(enum status status)
{
    struct session_writer *writer = NULL;
    struct session_reader *reader;
    struct session_mark mark;
    struct err err;

    assert_int_equal(open_writer(&writer, &err), ST_OK);
    reader = session_writer_reader(writer);
    assert_int_equal(session_reader_get_mark(reader, &mark, &err), ST_OK);
    assert_int_equal(mark.ring_sequence, status == ST_OK ? 7 : 0);
    if (status != ST_OK)
        assert_int_equal(count_into(writer, &err), ST_OK);
    world.digest_len = 0;
    assert_int_equal(walk_store(reader, &err), ST_OK);
    assert_non_null(strstr(world.digest, "north.example 0/3;"));
    assert_non_null(strstr(world.digest, "stored 3"));
    session_writer_close(&writer);
}

/* ---- jobs: the ledger ---- */

static const struct ledger_report REPORT = {
    .utc_day = DAY,
    .domain = "north.example",
    .report_id = "1@seaport.example",
    .created_at_s = NOW_S,
    .organization_name = "Seaport",
    .contact_info = "tls@seaport.example",
    .from = "tls@seaport.example",
    .envelope_from = "bounce@seaport.example",
    .file_name = "seaport.example!north.example!1!2.json.gz",
    .gzip = "\x1f\x8b\0bytes",
    .gzip_len = 8,
    .inflated_bytes = 100,
    .success = 3,
    .note = "",
};
static const struct ledger_delivery DELIVERY = {.kind = DELIVERY_MAIL,
                                                .rua = "a@north.example",
                                                .host = "north.example",
                                                .owner = "north.example",
                                                .destination = "north.example",
                                                .message_id = "1@x",
                                                .next_at_s = 1};

static enum status add_delivery(struct ledger *ledger, struct err *err)
{
    const struct delivery_result result = {.kind = DELIVERY_RESULT_DELIVERED, .code = 250};
    const struct ledger_delivery added = {.id = 1, .owner = "north.example", .destination = "north.example"};
    enum status status = ledger_add_report(ledger, &REPORT, &DELIVERY, 1, err);

    if (status == ST_OK)
        status = ledger_mark_sending(ledger, &added, NOW_S, err);
    if (status == ST_OK)
        status = ledger_record_result(ledger, &added, DELIVERY_DELIVERED, 0, &result, NOW_S, err);
    return status;
}

static enum status keep_ledger(struct err *err)
{
    struct ledger *ledger = NULL;
    enum status status = ledger_open(world.ledger, LEDGER_WRITE, &ledger, err);

    if (status == ST_OK)
        status = ledger_begin(ledger, err);
    if (status == ST_OK) {
        status = add_delivery(ledger, err);
        if (status == ST_OK)
            status = ledger_commit(ledger, err);
        else
            ledger_rollback(ledger);
    }
    ledger_close(&ledger);
    if (status == ST_OK)
        note("committed");
    return status;
}

static enum status see_delivery(void *context, const struct ledger_delivery *row, struct err *err)
{
    (void)context;
    (void)err;
    note("%s %s %s %s %s %d %" PRId64 " \"%s\";", row->domain, row->report_id, row->rua, row->host,
         row->message_id, (int)row->state, row->tries, row->last_text);
    return ST_OK;
}

static enum status read_ledger(struct err *err)
{
    struct ledger *ledger = NULL;
    struct ledger_report report;
    struct ledger_counts counts;
    struct arena arena;
    enum status status = ledger_open(world.ledger, LEDGER_READ, &ledger, err);

    arena_init(&arena, 1 << 20);
    if (status == ST_OK)
        status = ledger_each_delivery(ledger, -1, see_delivery, NULL, err);
    if (status == ST_OK)
        status = ledger_read_report(ledger, REPORT.utc_day, REPORT.domain, &arena, &report, err);
    if (status == ST_OK)
        status = ledger_count(ledger, -1, &counts, err);
    if (status == ST_OK)
        note("%s %s %s %s %s %s %zu %" PRIu32 " %" PRId64, report.domain, report.report_id,
             report.organization_name, report.from, report.envelope_from, report.file_name, report.gzip_len,
             sum_of(report.gzip, report.gzip_len), counts.by_state[DELIVERY_DELIVERED]);
    arena_done(&arena);
    ledger_close(&ledger);
    return status;
}

static void no_ledger(void)
{
    remove_store(world.ledger);
}

static void one_ledger(void)
{
    struct err err;

    if (access(world.ledger, F_OK) != 0)
        assert_int_equal(keep_ledger(&err), ST_OK);
}

static void check_ledger(enum status status)
{
    struct ledger *ledger = NULL;
    struct ledger_counts counts;
    struct err err;

    assert_int_equal(ledger_open(world.ledger, LEDGER_WRITE, &ledger, &err), ST_OK);
    assert_int_equal(ledger_count(ledger, -1, &counts, &err), ST_OK);
    assert_int_equal(counts.reports, status == ST_OK ? 1 : 0);
    assert_int_equal(counts.by_state[DELIVERY_DELIVERED], status == ST_OK ? 1 : 0);
    assert_int_equal(counts.by_state[DELIVERY_SENDING], 0);
    ledger_close(&ledger);
}

/* ---- the sweep ---- */

struct job {
    const char *what;
    enum status (*run)(struct err *err);
    const char *file;                  /* test data it reads, or NULL */
    void (*prepare)(void);             /* before each attempt, with memory; may be NULL */
    void (*check)(enum status status); /* after each attempt, with memory; may be NULL */
    unsigned step;                     /* try every step-th N (a job that opens a database takes its time) */
};

static const struct job JOBS[] = {
    {"decode and encode a datagram", decode_datagram, NULL, NULL, NULL, 1},
    {"decode a line of Exim's event action", decode_exim_line, NULL, NULL, NULL, 1},
    {"decode a line of JSON", decode_ndjson_line, NULL, NULL, NULL, 1},
    {"read Exim's log", read_exim_log, "tests/data/mta/exim-4.96/dane-bad.log", NULL, NULL, 1},
    {"read Postfix's log", read_postfix_log, "tests/data/mta/postfix-3.10/dane-bad.log", NULL, NULL, 1},
    {"load the settings", load_config, NULL, NULL, NULL, 1},
    {"parse a TLSRPT record", parse_record, NULL, NULL, NULL, 1},
    {"read a DNS reply", read_dns_reply, "tests/fuzz/corpus/dns_reply/txt", NULL, NULL, 1},
    {"build, compress, compose and sign a report", build_report, NULL, NULL, NULL, 1},
    {"read a report", read_report, "tests/data/foreign_reports/google.json", NULL, NULL, 1},
    {"read a report of three policies", read_report, "tests/data/worked/3.report.json", NULL, NULL, 1},
    {"find the report in a mail", read_mail, "tests/data/foreign_reports/google.eml", NULL, NULL, 1},
    {"count sessions into a new store", count_results, NULL, no_store, check_store, 3},
    {"read a domain's day from the store", read_store, NULL, one_store, NULL, 1},
    {"note a delivery in a new ledger", keep_ledger, NULL, no_ledger, check_ledger, 3},
    {"read the ledger", read_ledger, NULL, one_ledger, NULL, 1},
};

static void prepare(const struct job *job)
{
    struct err err;

    if (job->prepare != NULL)
        job->prepare();
    if (job->file != NULL) {
        strbuf_done(&world.text);
        if (file_read(job->file, &world.text, &err) != ST_OK)
            fail_msg("%s", err.text);
    }
    world.digest_len = 0;
    world.digest[0] = '\0';
}

/* One attempt; true if memory lasted. */
static bool attempt(const struct job *job, unsigned nth, enum fault_mode mode, const char *want)
{
    struct err err = {0};
    enum status status;
    bool is_refused;

    prepare(job);
    fault_arm(nth, mode);
    status = job->run(&err);
    is_refused = fault_disarm();
    if (status == ST_OK && strcmp(world.digest, want) != 0)
        fail_msg("%s: allocation %u fails: it succeeds with\n%s\ninstead of\n%s", job->what, nth,
                 world.digest, want);
    if (status != ST_OK && (status != ST_NOMEM || err.text[0] == '\0' || !is_refused))
        fail_msg("%s: allocation %u fails: status %s: %s", job->what, nth, status_name(status), err.text);
    if (job->check != NULL)
        job->check(status);
    return !is_refused;
}

static void test_memory_runs_out(void **state)
{
    const struct job *job = *state;
    char *want;
    unsigned tried = 0;
    struct err err;

    prepare(job);
    if (job->run(&err) != ST_OK)
        fail_msg("%s: with plenty of memory: %s", job->what, err.text);
    want = test_malloc(world.digest_len + 1);
    memcpy(want, world.digest, world.digest_len + 1);
    for (int mode = FAULT_ONCE; mode <= FAULT_FOREVER; mode++) {
        unsigned nth = 0;

        while (!attempt(job, nth, (enum fault_mode)mode, want)) {
            nth += job->step;
            tried++;
            assert_true(nth < N_MAX);
        }
    }
    print_message("# %s: %u times without memory\n", job->what, tried);
    test_free(want);
}

static int make_world(void **state)
{
    static const char KEY[] =
        "-----BEGIN "
        "PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----"
        "END "
        "PRIVATE KEY-----\n";
    static const char CONFIG[] = "organization_name = Seaport\ncontact_info = tls@seaport.example\n"
                                 "socket = /run/a.sock,\n /run/b.sock\ndkim_key = s1:ed25519-sha256:/etc/k\n";
    struct err err;

    (void)state;
    fault_install();
    strcpy(world.folder,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/alloc_test.XXXXXX" : "/tmp/alloc_test.XXXXXX");
    if (mkdtemp(world.folder) == NULL)
        return -1;
    (void)snprintf(world.sessions, sizeof world.sessions, "%s/sessions.db", world.folder);
    (void)snprintf(world.ledger, sizeof world.ledger, "%s/reports.db", world.folder);
    (void)snprintf(world.config, sizeof world.config, "%s/conf", world.folder);
    (void)snprintf(world.key, sizeof world.key, "%s/key.pem", world.folder);
    strbuf_init(&world.text, TEXT_MAX);
    arena_init(&world.reading, DATAGRAM_ARENA_BYTES);
    if (datagram_decode(STS_DATAGRAM, sizeof STS_DATAGRAM - 1, &world.reading, &world.result, &err) != ST_OK)
        return -1;
    return file_replace(world.config, CONFIG, sizeof CONFIG - 1, 0600, &err) == ST_OK &&
                   file_replace(world.key, KEY, sizeof KEY - 1, 0600, &err) == ST_OK
               ? 0
               : -1;
}

static int end_world(void **state)
{
    (void)state;
    no_store();
    no_ledger();
    (void)unlink(world.config);
    (void)unlink(world.key);
    strbuf_done(&world.text);
    arena_done(&world.reading);
    return rmdir(world.folder);
}

int main(void)
{
    struct CMUnitTest tests[ARRAY_COUNT(JOBS)] = {{0}};

    for (size_t i = 0; i < ARRAY_COUNT(JOBS); i++)
        tests[i] = (struct CMUnitTest){.name = JOBS[i].what,
                                       .test_func = test_memory_runs_out,
                                       .initial_state = (void *)(uintptr_t)&JOBS[i]};
    return cmocka_run_group_tests_name("memory runs out", tests, make_world, end_world);
}
