/* SPDX-License-Identifier: MIT */
/*
 * lines (log_read.c: a file, a pipe or a followed log) -> mtalog or ndjson_line -> results -> log_sink.c
 *
 * The settings fill what the options leave open, the log reader and the sink are opened, and then everything
 * is read.  SIGTERM and SIGINT only set a flag; whoever waits looks at it.
 */
#include "readlog/readlog.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "app/log_events.h"
#include "datagram/ndjson_line.h"
#include "log_read.h"
#include "log_sink.h"

#define PATIENCE_MS     10000 /* files and pipes: how long the collector may be away */
#define SOCKET_PATH_MAX 107   /* of sockaddr_un, without its NUL */

static void stop(int signal_number)
{
    (void)signal_number;
    log_sink_is_stopping = 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = stop};

    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* Defaults that the settings give: the collector's socket, and the sender of our own reports. */
static enum status apply_settings(const struct config *config, struct readlog_options *options,
                                  struct err *err)
{
    if (options->output == READLOG_TO_SOCKET && options->socket == NULL) {
        if (config->socket.count == 0)
            return err_set(err, ST_CONFIG, "no socket: set socket, or use --socket or --stdout");
        options->socket = config->socket.items[0];
    }
    if (options->socket != NULL && strlen(options->socket) > SOCKET_PATH_MAX)
        return err_set(err, ST_CONFIG, "%s: longer than a socket path may be", options->socket);
    if (options->sender_count == 0 && *config->envelope_from != '\0')
        options->senders[options->sender_count++] = config->envelope_from;
    return ST_OK;
}

static enum status open_reader(const struct readlog_options *options, struct log_reader *reader,
                               struct err *err)
{
    const struct mtalog_settings settings = {
        .mta = options->input == READLOG_EXIM ? MTALOG_EXIM : MTALOG_POSTFIX,
        .mandatory_tls = options->mandatory_tls,
        .relays = options->relays,
        .relay_count = options->relay_count,
        .ignored_senders = options->senders,
        .ignored_sender_count = options->sender_count,
        .on_result = log_reader_emit,
        .context = reader,
    };

    arena_init(&reader->arena, NDJSON_LINE_ARENA_BYTES);
    return options->input == READLOG_NDJSON ? ST_OK : mtalog_new(&settings, &reader->mtalog, err);
}

static enum status read_all(const struct config *config, const struct readlog_options *options,
                            struct log_reader *reader, struct err *err)
{
    static const char *const NAMES[] = {[READLOG_NONE] = "",
                                        [READLOG_EXIM] = "exim",
                                        [READLOG_POSTFIX] = "postfix",
                                        [READLOG_NDJSON] = "ndjson"};
    enum status status = ST_OK;

    if (options->follow != NULL)
        return log_follow(reader, options->follow, config->state_dir, NAMES[options->input], options->is_once,
                          err);
    for (int i = 0; status == ST_OK && i < options->file_count && !log_sink_is_stopping; i++)
        status = log_read_file(reader, options->files[i], err);
    return status == ST_OK ? log_read_end(reader, err) : status;
}

static void log_counts(const struct log_reader *reader)
{
    static const struct mtalog_counts NOTHING;
    const struct mtalog_counts *counts = reader->mtalog != NULL ? mtalog_counts(reader->mtalog) : &NOTHING;

    LOG_FACT(EV_LOG_READ, log_number("lines", (int64_t)reader->lines),
             log_number("told", (int64_t)reader->sink->emitted),
             log_number("ambiguous", (int64_t)counts->ambiguous),
             log_number("no_domain", (int64_t)counts->no_domain),
             log_number("too_long", (int64_t)counts->too_long),
             log_number("evicted", (int64_t)counts->evicted),
             log_number("malformed", (int64_t)reader->malformed));
}

static enum status run(const struct config *config, const struct readlog_options *options, struct err *err)
{
    struct log_sink sink;
    struct log_reader reader = {.sink = &sink};
    enum status status = log_sink_open(&sink, options->output, options->socket, err);

    sink.from_s = options->from_s;
    sink.until_s = options->until_s;
    sink.patience_ms = options->follow != NULL && !options->is_once ? -1 : PATIENCE_MS;
    if (status == ST_OK)
        status = open_reader(options, &reader, err);
    if (status == ST_OK)
        status = read_all(config, options, &reader, err);
    if (fflush(stdout) != 0 && status == ST_OK)
        status = err_set_errno(err, ST_IO, errno, "write standard output");
    if (status == ST_OK && options->output == READLOG_TO_SUMMARY)
        log_sink_print_summary(&sink, stdout);
    log_counts(&reader);
    mtalog_free(&reader.mtalog);
    arena_done(&reader.arena);
    log_sink_close(&sink);
    return status;
}

enum status readlog_run(const struct config *config, const struct readlog_options *options, struct err *err)
{
    struct readlog_options complete = *options;
    enum status status = apply_settings(config, &complete, err);

    catch_signals();
    return status == ST_OK ? run(config, &complete, err) : status;
}
