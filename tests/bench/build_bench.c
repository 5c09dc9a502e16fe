/* SPDX-License-Identifier: MIT */
/*
 * How fast small reports are built: read from the session store, written as JSON, compressed, frozen in the
 * ledger.
 *
 * The floor is what no program could do without: dump each report's JSON tree and deflate the text, the very
 * bytes that are measured, in the same run.
 *
 * Usage: build_bench [REPORTS]   (rounded down to thousands)  Prints "name value unit", one figure a line;
 * see tests/bench/run.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "generate/generator.h"
#include "model/utc_day.h"
#include "store/session_writer.h"

#define DAY      20526 /* 2026-03-14 */
#define BATCH    1000
#define RECORD   "v=TLSRPTv1; rua=mailto:tls@quay.example"
#define FILE_MAX (1 << 20)

struct bench {
    char folder[32];
    struct config config;
    struct generator generator;
    struct report_file file;
    struct arena arena;
    long reports;
    long built;
    uint64_t bytes;
    json_t *trees[BATCH];
    int64_t since_ms; /* when the building of this batch began */
    int64_t built_ms;
    int64_t floor_ms;
    struct err err;
};

static void must(const struct bench *bench, enum status status)
{
    if (status == ST_OK)
        return;
    (void)fprintf(stderr, "build_bench: %s\n", bench->err.text);
    exit(1);
}

/* ---- a day of many small domains
 * --------------------------------------------------------------------------- */

/* As an MTA tells it: one policy, in every fourth domain a failure with its detail. */
static void add_domain(struct bench *bench, struct session_writer *writer, long number)
{
    static const char *lines[] = {"version: STSv1", "mode: enforce", "mx: *.mail.example", "max_age: 604800"};
    static const char *hosts[] = {"*.mail.example"};
    struct failure_detail detail = {.result_type = RESULT_CERTIFICATE_EXPIRED,
                                    .sending_mta_ip = "192.0.2.10",
                                    .receiving_mx_hostname = "mx1.mail.example",
                                    .receiving_mx_helo = "mx1.mail.example",
                                    .receiving_ip = "198.51.100.25"};
    bool is_failed = number % 4 == 0;
    char domain[64];
    struct result_policy policy = {.policy = {.type = POLICY_STS,
                                              .domain = domain,
                                              .strings = {lines, ARRAY_COUNT(lines)},
                                              .mx_hosts = {hosts, 1}},
                                   .is_failed = is_failed,
                                   .details = &detail,
                                   .detail_count = is_failed ? 1 : 0};
    struct session_result result = {
        .domain = domain, .record = RECORD, .policies = &policy, .policy_count = 1};
    struct tally_plan plan;

    (void)snprintf(domain, sizeof domain, "d%06ld.quay.example", number);
    must(bench, session_writer_add(writer, &result, DAY, 3, utc_day_begin_s(DAY), &plan, &bench->err));
}

static void fill(struct bench *bench, const char *path)
{
    const struct session_limits limits = {
        .max_policies = 100, .max_details = 1000, .max_subdomains = 1000000000};
    struct session_writer *writer = NULL;

    must(bench, session_writer_open(path, &limits, &writer, &bench->err));
    for (long i = 0; i < bench->reports; i++) {
        if (i % BATCH == 0)
            must(bench, session_writer_begin(writer, &bench->err));
        add_domain(bench, writer, i);
        if (i % BATCH == BATCH - 1 || i == bench->reports - 1)
            must(bench, session_writer_commit(writer, &bench->err));
    }
    session_writer_close(&writer);
}

static void open_all(struct bench *bench)
{
    static const char *const SETTINGS[] = {"organization_name=Seaport Mail Operations",
                                           "contact_info=tlsrpt-team@reports.seaport.example"};
    char path[64];

    (void)strcpy(bench->folder, "/tmp/build_bench.XXXXXX");
    if (mkdtemp(bench->folder) == NULL)
        exit(1);
    must(bench, config_load("", SETTINGS, 2, true, &bench->config, &bench->err));
    bench->generator = (struct generator){.config = &bench->config, .lock_fd = -1};
    must(bench, gzip_open(&bench->generator.gzip, &bench->err));
    (void)snprintf(path, sizeof path, "%s/sessions.db", bench->folder);
    fill(bench, path);
    must(bench, session_reader_open(path, SESSION_MAINTAIN, &bench->generator.sessions, &bench->err));
    (void)snprintf(path, sizeof path, "%s/reports.db", bench->folder);
    must(bench, ledger_open(path, LEDGER_WRITE, &bench->generator.ledger, &bench->err));
    report_file_init(&bench->file);
    arena_init(&bench->arena, 1 << 20);
}

static void close_all(struct bench *bench)
{
    static const char *const FILES[] = {"sessions.db", "sessions.db-wal", "sessions.db-shm",
                                        "reports.db",  "reports.db-wal",  "reports.db-shm"};
    char path[64];

    generator_close(&bench->generator);
    report_file_done(&bench->file);
    arena_done(&bench->arena);
    config_done(&bench->config);
    for (size_t i = 0; i < ARRAY_COUNT(FILES); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", bench->folder, FILES[i]);
        (void)unlink(path);
    }
    (void)rmdir(bench->folder);
    for (size_t i = 0; i < BATCH; i++)
        json_decref(bench->trees[i]);
}

/* ---- what is measured
 * -------------------------------------------------------------------------------------- */

static void freeze(struct bench *bench, const char *domain)
{
    const struct report_file *file = &bench->file;
    const struct config *config = &bench->config;
    char note_bytes[REPORT_SUMMARY_TEXT_MAX];
    struct ledger_delivery delivery = {.kind = DELIVERY_MAIL,
                                       .rua = "tls@quay.example",
                                       .host = "quay.example",
                                       .owner = "quay.example",
                                       .destination = "quay.example",
                                       .state = DELIVERY_DUE,
                                       .last_text = ""};
    struct ledger_report report = {
        .utc_day = DAY,
        .domain = domain,
        .report_id = file->meta.report_id,
        .created_at_s = utc_day_last_s(DAY),
        .organization_name = config->organization_name,
        .contact_info = config->contact_info,
        .from = config->from,
        .envelope_from = config->envelope_from,
        .file_name = file->file_name,
        .gzip = file->gzip.data,
        .gzip_len = file->gzip.len,
        .inflated_bytes = (int64_t)file->built.json_bytes,
        .success = (int64_t)file->built.summary.sessions.success,
        .failure = (int64_t)file->built.summary.sessions.failure,
        .note = note_bytes,
    };
    struct strbuf note;

    strbuf_init(&note, sizeof note_bytes - 1);
    report_summary_format(&file->built.summary, &note);
    (void)strcpy(note_bytes, note.data);
    strbuf_done(&note);
    must(bench,
         report_message_id_format(file->meta.report_id, 1, &bench->arena, &delivery.message_id, &bench->err));
    must(bench, ledger_add_report(bench->generator.ledger, &report, &delivery, 1, &bench->err));
}

/* Dump and deflate as many reports of the same contents as a batch has. */
static void run_floor(struct bench *bench)
{
    int64_t begin = clock_monotonic_ms();
    struct strbuf out;

    strbuf_init(&out, FILE_MAX);
    for (int i = 0; i < BATCH; i++) {
        char *text = json_dumps(bench->trees[i], JSON_COMPACT);

        strbuf_reset(&out);
        gzip_begin(&bench->generator.gzip, &out);
        must(bench, gzip_add(&bench->generator.gzip, text, strlen(text), &bench->err));
        must(bench, gzip_end(&bench->generator.gzip, &bench->err));
        free(text);
    }
    strbuf_done(&out);
    bench->floor_ms += clock_monotonic_ms() - begin;
}

/* Batch by batch both are measured, so that what else the machine does hits both. */
static void end_batch(struct bench *bench)
{
    must(bench, ledger_commit(bench->generator.ledger, &bench->err));
    bench->built_ms += clock_monotonic_ms() - bench->since_ms;
    run_floor(bench);
    bench->since_ms = clock_monotonic_ms();
}

static enum status build_domain(void *context, const char *domain, const struct session_counts *sessions,
                                struct err *err)
{
    struct bench *bench = context;

    (void)sessions;
    (void)err;
    if (bench->built % BATCH == 0)
        must(bench, ledger_begin(bench->generator.ledger, &bench->err));
    arena_reset(&bench->arena);
    must(bench, report_file_build(&bench->generator, DAY, domain, bench->built < BATCH, &bench->arena,
                                  &bench->file, &bench->err));
    if (bench->built < BATCH)
        bench->trees[bench->built] = json_loads(bench->file.json.data, 0, NULL);
    freeze(bench, domain);
    bench->bytes += bench->file.built.json_bytes;
    bench->built++;
    if (bench->built % BATCH == 0)
        end_batch(bench);
    return ST_OK;
}

int main(int argc, char **argv)
{
    long batches = (argc > 1 ? atol(argv[1]) : 100000) / BATCH;
    struct bench bench = {.reports = (batches > 0 ? batches : 1) * BATCH};

    open_all(&bench);
    bench.since_ms = clock_monotonic_ms();
    must(&bench, session_reader_each_domain(bench.generator.sessions, DAY, "", bench.reports, build_domain,
                                            &bench, &bench.err));
    (void)printf("reports_built %ld reports\n", bench.built);
    (void)printf("report_bytes %.0f bytes\n", (double)bench.bytes / (double)bench.built);
    (void)printf("build_rate %.0f reports/s\n", (double)bench.built * 1000 / (double)bench.built_ms);
    (void)printf("floor_rate %.0f reports/s\n", (double)bench.built * 1000 / (double)bench.floor_ms);
    (void)printf("build_ratio %.2f ratio\n", (double)bench.floor_ms / (double)bench.built_ms);
    close_all(&bench);
    return bench.built == bench.reports ? 0 : 1;
}
