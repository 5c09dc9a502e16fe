/* SPDX-License-Identifier: MIT */
/* Connects session store, report builder and compressor: one domain's day becomes one file. */
#include "generator.h"

/* Most bytes of one report, as JSON and as gzip; with many policies it is larger than max_report_size. */
#define FILE_MAX_BYTES (256u << 20)

struct domain_day {
    struct session_reader *sessions;
    int32_t utc_day;
    const char *domain;
};

struct file_sink {
    struct gzip *gzip;
    struct report_file *file;
    bool with_json;
};

static enum status replay(void *context, const struct report_visitor *visitor, struct err *err)
{
    const struct domain_day *day = context;

    return session_reader_read_domain(day->sessions, day->utc_day, day->domain, visitor, err);
}

static enum status write_bytes(void *context, const char *bytes, size_t len, struct err *err)
{
    struct file_sink *sink = context;

    if (sink->with_json)
        strbuf_add(&sink->file->json, bytes, len);
    if (strbuf_is_failed(&sink->file->json))
        return err_set(err, ST_NOMEM, "report: out of memory");
    return gzip_add(sink->gzip, bytes, len, err);
}

static enum status restart(void *context, struct err *err)
{
    struct file_sink *sink = context;

    (void)err;
    strbuf_reset(&sink->file->json);
    strbuf_reset(&sink->file->gzip);
    gzip_begin(sink->gzip, &sink->file->gzip);
    return ST_OK;
}

void report_file_init(struct report_file *file)
{
    *file = (struct report_file){.file_name = NULL};
    strbuf_init(&file->json, FILE_MAX_BYTES);
    strbuf_init(&file->gzip, FILE_MAX_BYTES);
}

void report_file_done(struct report_file *file)
{
    strbuf_done(&file->json);
    strbuf_done(&file->gzip);
}

static enum status name_report(const struct config *config, int32_t utc_day, const char *domain,
                               struct arena *arena, struct report_file *file, struct err *err)
{
    enum status status;

    file->meta = (struct report_meta){
        .organization_name = config->organization_name,
        .contact_info = config->contact_info,
        .submitter = config->submitter,
        .domain = domain,
        .utc_day = utc_day,
    };
    status = report_id_format(utc_day, 1, config->instance, domain, config->submitter, arena,
                              &file->meta.report_id, err);
    if (status == ST_OK)
        status = report_file_name_format(utc_day, config->instance, domain, config->submitter, arena,
                                         &file->file_name, err);
    return status;
}

enum status report_file_build(struct generator *generator, int32_t utc_day, const char *domain,
                              bool with_json, struct arena *arena, struct report_file *file, struct err *err)
{
    struct domain_day day = {.sessions = generator->sessions, .utc_day = utc_day, .domain = domain};
    struct report_source source = {.replay = replay, .context = &day};
    struct file_sink target = {.gzip = &generator->gzip, .file = file, .with_json = with_json};
    struct report_sink sink = {.write = write_bytes, .restart = restart, .context = &target};
    enum status status = name_report(generator->config, utc_day, domain, arena, file, err);

    if (status == ST_OK)
        status = restart(&target, err);
    if (status == ST_OK)
        status = report_build(&file->meta, (uint64_t)generator->config->max_report_size, &source, &sink,
                              &file->built, err);
    if (status == ST_OK)
        status = gzip_end(&generator->gzip, err);
    return status;
}
