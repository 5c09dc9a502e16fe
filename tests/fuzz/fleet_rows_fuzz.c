/* SPDX-License-Identifier: MIT */
/*
 * Whatever a fleet's database answers, a broken or hostile one too.  The input is all its answers in order:
 * one line a row, tabs between columns, "\N" for NULL, and an empty line behind the last row; a line of "!"
 * is an answer that fails there.  Its first byte says which question is asked first.  Nobody may crash; what
 * callbacks get keeps the promises of the stores' headers, and a report built of it is JSON that can be read
 * again.
 */
#include <stdint.h>

#include "base/cursor.h"
#include "fake_pg.h"
#include "fleet/fleet_inside.h"
#include "report/report_build.h"
#include "report/report_read.h"
#include "store/ledger.h"
#include "store/session_reader.h"

#define DAY         20526
#define NOW_S       1773500000
#define REPORT_MAX  (1 << 20)
#define ARENA_BYTES ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char KEY_ROW[] = "2\t000102030405060708090a0b0c0d0e0f";
static struct cursor answers;
static bool is_opening, is_memory_short; /* short: of tests/fault */

static void require(bool is_true)
{
    if (!is_true)
        abort();
}

/* ---- the database ---- */

static void split_row(char *line, struct pg_row *row_out)
{
    row_out->count = 0;
    for (char *at = line; at != NULL && row_out->count < FAKE_PG_COLUMNS;) {
        char *end = strchr(at, '\t');

        if (end != NULL)
            *end++ = '\0';
        row_out->values[row_out->count++] = strcmp(at, "\\N") == 0 ? NULL : at;
        at = end;
    }
}

static enum status give_line(const char *text, size_t len, pg_row_fn *fn, void *context, struct err *err)
{
    char *line = malloc(len + 1); /* of its own, so that a sanitizer sees a read past its end */
    enum status status = ST_OK;
    struct pg_row row;

    if (line == NULL)
        return err_set(err, ST_NOMEM, "fleet: out of memory");
    memcpy(line, text, len);
    line[len] = '\0';
    split_row(line, &row);
    if (fn != NULL)
        status = fn(context, &row, err);
    free(line);
    return status;
}

static enum status fake_pg_read(size_t statement, pg_row_fn *fn, void *context, int64_t *rows_out,
                                struct err *err)
{
    enum status status = ST_OK;
    int64_t rows = 0;

    if (statement == FLEET_VERSION && is_opening)
        return give_line(KEY_ROW, sizeof KEY_ROW - 1, fn, context, err);
    while (status == ST_OK && !cursor_at_end(&answers)) {
        struct span line = cursor_take_until(&answers, "\n");

        (void)cursor_skip_word(&answers, "\n");
        if (line.len == 0)
            break;
        if (line.len == 1 && *line.at == '!')
            return err_set(err, ST_TEMPORARY, "fleet database: gone");
        status = give_line(line.at, line.len, fn, context, err);
        rows++;
    }
    if (status == ST_OK && rows_out != NULL)
        *rows_out = rows;
    return status;
}

static enum status fake_pg_change(const struct pg_batch *batch, struct err *err)
{
    return fake_pg_read(batch->changes[0].statement, NULL, NULL, NULL, err);
}

/* ---- what is told ---- */

static enum status see_instance(void *context, const struct fleet_instance *instance, struct err *err)
{
    bool is_new;

    require(instance->id != NULL && instance->host != NULL);
    return fleet_note_missed(context, DAY, instance, &is_new, err);
}

static enum status see_missed(void *context, int32_t utc_day, const char *host, int64_t complete_through_s,
                              struct err *err)
{
    (void)context;
    (void)utc_day;
    (void)complete_through_s;
    (void)err;
    require(host != NULL);
    return ST_OK;
}

static enum status see_late(void *context, int32_t utc_day, int64_t sessions, struct err *err)
{
    (void)context;
    (void)utc_day;
    (void)sessions;
    (void)err;
    return ST_OK;
}

static enum status see_day(void *context, const struct session_day *day, struct err *err)
{
    (void)context;
    (void)day;
    (void)err;
    return ST_OK;
}

static enum status see_domain(void *context, const char *domain, const struct session_counts *sessions,
                              struct err *err)
{
    (void)context;
    (void)sessions;
    (void)err;
    require(domain != NULL && fleet_bucket(domain) >= 0 && fleet_bucket(domain) < FLEET_BUCKETS);
    return ST_OK;
}

static enum status see_record(void *context, const char *record, int64_t last_seen_s, struct err *err)
{
    (void)context;
    (void)last_seen_s;
    (void)err;
    require(record != NULL);
    return ST_OK;
}

static enum status see_entry(void *context, int32_t utc_day, const char *domain, const char *reason,
                             int64_t since_s, struct err *err)
{
    (void)context;
    (void)utc_day;
    (void)since_s;
    (void)err;
    require(domain != NULL && reason != NULL);
    return ST_OK;
}

static enum status see_closed(void *context, int32_t utc_day, int64_t closed_at_s, struct err *err)
{
    (void)context;
    (void)utc_day;
    (void)closed_at_s;
    (void)err;
    return ST_OK;
}

static enum status see_report(void *context, const struct ledger_report *report, struct err *err)
{
    (void)context;
    (void)err;
    require(report->domain != NULL && report->report_id != NULL && report->note != NULL);
    return ST_OK;
}

static enum status see_delivery(void *context, const struct ledger_delivery *row, struct err *err)
{
    (void)context;
    (void)err;
    require(row->domain != NULL && row->rua != NULL && row->host != NULL && row->last_text != NULL);
    require((unsigned)row->state < DELIVERY_STATE_COUNT && (unsigned)row->kind < DELIVERY_KIND_COUNT);
    return ST_OK;
}

static enum status see_suppression(void *context, const char *address, int64_t until_s, int64_t strikes,
                                   const char *reason, struct err *err)
{
    (void)context;
    (void)until_s;
    (void)strikes;
    (void)err;
    require(address != NULL && reason != NULL);
    return ST_OK;
}

/* ---- a report of what was told ---- */

struct domain_day {
    struct session_reader *store;
    const char *domain;
};

static enum status replay_day(void *context, const struct report_visitor *visitor, struct err *err)
{
    const struct domain_day *day = context;

    return session_reader_read_domain(day->store, DAY, day->domain, visitor, err);
}

static enum status write_text(void *context, const char *bytes, size_t len, struct err *err)
{
    strbuf_add(context, bytes, len);
    return strbuf_is_failed(context) ? err_set(err, ST_FULL, "long enough") : ST_OK;
}

static enum status restart_text(void *context, struct err *err)
{
    (void)err;
    strbuf_reset(context);
    return ST_OK;
}

/* R37: what receivers get is a report, whatever the database said. */
static void check_report(const struct strbuf *text)
{
    struct report_document document;
    struct finding_list findings;
    struct arena arena;

    if (is_memory_short)
        return; /* reading has a test of its own for that */
    arena_init(&arena, ARENA_BYTES);
    finding_list_init(&findings, &arena);
    require(report_read(text->data, text->len, &arena, &findings, &document, NULL) == ST_OK);
    arena_done(&arena);
}

static enum status build(struct session_reader *store, const char *domain, struct err *err)
{
    const struct report_meta meta = {"Seaport", "tls@seaport.example", "seaport.example",
                                     domain,    "1@seaport.example",   DAY};
    struct domain_day day = {store, domain};
    const struct report_source source = {replay_day, &day};
    struct report_built built;
    struct strbuf text;
    struct report_sink sink = {write_text, restart_text, &text};
    enum status status;

    strbuf_init(&text, REPORT_MAX);
    status = report_build(&meta, REPORT_MAX / 4, &source, &sink, &built, err);
    if (status == ST_OK)
        check_report(&text);
    strbuf_done(&text);
    return status;
}

/* ---- questions ---- */

struct world {
    struct fleet *fleet;
    struct session_reader *store;
    struct ledger *ledger;
};

static const char *const DOMAINS[] = {"b.example", "a.example", "c.example"};

static enum status ask_hosts(struct world *world, struct err *err)
{
    enum status status = fleet_each_instance(world->fleet, NOW_S, see_instance, world->fleet, err);

    if (status == ST_OK)
        status = fleet_each_missed(world->fleet, DAY, see_missed, NULL, err);
    return status == ST_OK ? fleet_each_late(world->fleet, DAY, see_late, NULL, err) : status;
}

static enum status ask_share(struct world *world, struct err *err)
{
    int buckets = 0;
    enum status status = fleet_take_share(world->fleet, true, &buckets, err);

    require(status == ST_OK ? buckets > 0 && buckets <= FLEET_BUCKETS : buckets == 0);
    return status;
}

static enum status ask_days(struct world *world, struct err *err)
{
    struct session_mark mark;
    enum status status = session_reader_get_mark(world->store, &mark, err);

    if (status == ST_OK)
        status = session_reader_each_day(world->store, see_day, NULL, err);
    if (status == ST_OK)
        status = session_reader_each_domain(world->store, DAY, "", 100, see_domain, NULL, err);
    return status == ST_OK ? session_reader_each_record(world->store, DAY, DOMAINS[0], see_record, NULL, err)
                           : status;
}

static enum status ask_domains(struct world *world, struct err *err)
{
    enum status status = session_reader_prefetch(world->store, DAY, DOMAINS, ARRAY_COUNT(DOMAINS), err);

    for (size_t i = 0; i < ARRAY_COUNT(DOMAINS) && status != ST_NOMEM && status != ST_TEMPORARY; i++)
        status = build(world->store, DOMAINS[i], err);
    return status;
}

static enum status ask_entries(struct world *world, struct err *err)
{
    struct ledger_found found = {LEDGER_NOTHING, 0, 0};
    enum status status = ledger_prefetch(world->ledger, DAY, DOMAINS, ARRAY_COUNT(DOMAINS), err);

    for (size_t i = 0; status == ST_OK && i < ARRAY_COUNT(DOMAINS); i++) {
        status = ledger_find(world->ledger, DAY, DOMAINS[i], &found, err);
        require((unsigned)found.entry <= LEDGER_WAITING);
    }
    if (status == ST_OK)
        status = ledger_each_skipped(world->ledger, -1, see_entry, NULL, err);
    if (status == ST_OK)
        status = ledger_each_waiting(world->ledger, -1, see_entry, NULL, err);
    return status == ST_OK ? ledger_each_closed_day(world->ledger, see_closed, NULL, err) : status;
}

static enum status ask_reports(struct world *world, struct err *err)
{
    struct ledger_report report;
    struct arena arena;
    enum status status = ledger_each_report(world->ledger, -1, see_report, NULL, err);

    arena_init(&arena, ARENA_BYTES);
    if (status == ST_OK)
        status = ledger_read_report(world->ledger, DAY, DOMAINS[0], &arena, &report, err);
    if (status == ST_OK)
        require(report.gzip != NULL && report.domain != NULL && report.report_id != NULL);
    arena_done(&arena);
    return status;
}

static enum status ask_deliveries(struct world *world, struct err *err)
{
    struct ledger_counts counts;
    int64_t next_at_s;
    enum status status = ledger_each_open(world->ledger, see_delivery, NULL, err);

    if (status == ST_OK)
        status = ledger_read_page(
            world->ledger,
            &(struct ledger_page){.kind = DELIVERY_MAIL, .due_s = INT64_MAX, .now_s = NOW_S, .max = 100},
            see_delivery, NULL, err);
    if (status == ST_OK)
        status = ledger_each_delivery_of(world->ledger, DAY, DOMAINS[0], see_delivery, NULL, err);
    if (status == ST_OK)
        status = ledger_next_due(world->ledger, &next_at_s, err);
    if (status == ST_OK || status == ST_NOT_FOUND)
        status = ledger_count(world->ledger, -1, &counts, err);
    return status == ST_OK ? ledger_count(world->ledger, DAY, &counts, err) : status;
}

static enum status ask_mailboxes(struct world *world, struct err *err)
{
    bool is_suppressed;
    int64_t until_s;
    enum status status = ledger_is_suppressed(world->ledger, "a@b.example", NOW_S, &is_suppressed, err);

    if (status == ST_OK)
        status = ledger_suppress(world->ledger, "a@b.example", "550 no", NOW_S, &until_s, err);
    if (status == ST_OK)
        status = ledger_unsuppress(world->ledger, "a@b.example", err);
    return status == ST_OK ? ledger_each_suppression(world->ledger, NOW_S, see_suppression, NULL, err)
                           : status;
}

static enum status ask_to_enter(struct world *world, struct err *err)
{
    const struct ledger_report report = {.utc_day = DAY,
                                         .domain = DOMAINS[1],
                                         .report_id = "1@seaport.example",
                                         .organization_name = "Seaport",
                                         .contact_info = "tls@seaport.example",
                                         .from = "tls@seaport.example",
                                         .envelope_from = "tls@seaport.example",
                                         .file_name = "a!b!1!2.json.gz",
                                         .gzip = "\x1f\x8b",
                                         .gzip_len = 2,
                                         .note = ""};
    const struct ledger_delivery delivery = {
        .rua = "a@b.example", .host = "b.example", .owner = "b.example", .destination = "b.example"};
    enum status status = ledger_begin(world->ledger, err);

    if (status == ST_OK)
        status = ledger_add_report(world->ledger, &report, &delivery, 1, err);
    if (status == ST_OK)
        status = ledger_skip(world->ledger, DAY, DOMAINS[0], "no record", NOW_S, err);
    if (status == ST_OK)
        return ledger_commit(world->ledger, err);
    ledger_rollback(world->ledger);
    return status;
}

static enum status ask_to_open(struct world *world, struct err *err)
{
    const struct fleet_settings settings = {.conninfo = "", .password_file = "", .host = "mx1"};
    struct fleet *fleet = NULL;
    enum status status;

    (void)world;
    is_opening = false;
    status = fleet_open(&settings, &fleet, err);
    fleet_close(&fleet);
    return status;
}

static enum status (*const QUESTIONS[])(struct world *, struct err *) = {
    ask_hosts,   ask_share,      ask_days,      ask_domains,  ask_entries,
    ask_reports, ask_deliveries, ask_mailboxes, ask_to_enter, ask_to_open,
};

static void ask_all(struct world *world, size_t first)
{
    for (size_t i = 0; i < ARRAY_COUNT(QUESTIONS) && (i == 0 || !cursor_at_end(&answers)); i++) {
        struct err err = {0};
        enum status status = QUESTIONS[(first + i) % ARRAY_COUNT(QUESTIONS)](world, &err);

        require(status == ST_OK || err.text[0] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct fleet_settings settings = {.conninfo = "", .password_file = "", .host = "mx1"};
    struct world world = {NULL, NULL, NULL};
    struct err err = {0};
    enum status status;

    is_opening = true;
    cursor_init(&answers, size > 0 ? (const char *)data + 1 : "", size > 0 ? size - 1 : 0);
    status = fleet_open(&settings, &world.fleet, &err);
    if (status == ST_OK)
        status = fleet_open_sessions(world.fleet, &world.store, &err);
    if (status == ST_OK)
        status = fleet_open_ledger(world.fleet, &world.ledger, &err);
    require(status == ST_OK || (status == ST_NOMEM && err.text[0] != '\0'));
    if (status == ST_OK)
        ask_all(&world, size > 0 ? data[0] : 0);
    ledger_close(&world.ledger);
    session_reader_close(&world.store);
    fleet_close(&world.fleet);
    return 0;
}
