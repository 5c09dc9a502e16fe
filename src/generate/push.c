/* SPDX-License-Identifier: MIT */
/*
 * How it works.  push_now opens push.db, which remembers what was pushed, and if no other push holds
 * push.lock sends what has changed in sessions.db since then.  The other commands are one call of the fleet
 * each, and what it prints.
 */
#include "generate/push.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/clock_guard.h"
#include "app/log_events.h"
#include "app/program.h"
#include "app/stores.h"
#include "base/clock.h"
#include "base/file.h"
#include "model/utc_day.h"
#include "retention.h"

static const struct program PROGRAM = {.name = "tlsrpt-gen"};

static void log_pushed(const struct fleet_pushed *pushed)
{
    char through[UTC_STAMP_TEXT_SIZE];

    utc_stamp_format(pushed->complete_through_s, through);
    LOG_FACT(EV_PUSHED, log_number("rows", (int64_t)pushed->sent),
             log_number("looked_at", (int64_t)pushed->examined), log_text("complete_through", through));
}

/* Delete days that can be neither pushed nor reported any more from sessions.db; once a day. */
static enum status forget_old_days(const struct config *config, int64_t now_s, struct err *err)
{
    const struct retention_time time = {.now_s = now_s};
    struct session_reader *sessions = NULL;
    enum status status = stores_open_sessions(config, SESSION_MAINTAIN, &sessions, err);

    if (status == ST_OK && sessions != NULL)
        status = retention_run(config, sessions, NULL, &time, err);
    session_reader_close(&sessions);
    return status;
}

static enum status push_sessions(const struct config *config, struct fleet *fleet, struct err *err)
{
    const int64_t now_s = clock_utc_s();
    int32_t oldest = utc_day_of(now_s) - (int32_t)config->max_age_days;
    struct fleet_pushed pushed = {.examined = 0};
    struct session_reader *sessions = NULL;
    enum status status = stores_open_sessions(config, SESSION_READ, &sessions, err);

    if (status == ST_OK && sessions == NULL)
        return ST_OK; /* a host that only builds and delivers */
    if (status == ST_OK)
        status = fleet_push(fleet, sessions, oldest, now_s, &pushed, err);
    session_reader_close(&sessions);
    if (status != ST_OK)
        return status;
    if (pushed.sent > 0)
        log_pushed(&pushed);
    return pushed.is_new_day ? forget_old_days(config, now_s, err) : ST_OK;
}

enum status push_now(const struct config *config, struct fleet *fleet, struct err *err)
{
    char path[PATH_MAX], lock[PATH_MAX];
    int lock_fd = -1;
    enum status locked, status = stores_path(config, "push.db", path, err);

    if (status == ST_OK)
        status = stores_path(config, "push.lock", lock, err);
    if (status != ST_OK)
        return status;
    locked = file_lock(lock, &lock_fd, err);
    if (locked != ST_OK && locked != ST_BUSY)
        return locked;
    status = fleet_join(fleet, path, err);
    if (status == ST_OK && locked == ST_OK)
        status = push_sessions(config, fleet, err);
    if (lock_fd >= 0)
        (void)close(lock_fd);
    return status;
}

/* -1: no word was given, continue; else the exit code. */
static int take_words(int argc, char **argv, const char *usage)
{
    bool is_help = argc == 2 && strcmp(argv[1], "--help") == 0;

    if (argc == 1)
        return -1;
    (void)fprintf(is_help ? stdout : stderr, "%s", usage);
    return is_help ? 0 : EXIT_USAGE;
}

static enum status need_fleet(const struct config *config, struct err *err)
{
    return *config->fleet != '\0'
               ? ST_OK
               : err_set(err, ST_CONFIG,
                         "fleet is not set; add a line such as: fleet = postgresql://db/tlsrpt");
}

/* A day that is complete by a wrong clock would be closed without us.  On a full disk the clock's file cannot be
 * written; that is no reason to keep the others waiting. */
static enum status check_clock(const struct config *config, struct err *err)
{
    struct clock_answer clock;
    enum status status = clock_guard_check(config, clock_utc_s(), false, &clock, err);

    if (status == ST_OK || !clock.is_trusted)
        return status;
    LOG_FACT(EV_CLOCK_UNSAVED, log_text("reason", err->text));
    return ST_OK;
}

int cmd_push(const struct config *config, int argc, char **argv)
{
    struct fleet *fleet = NULL;
    struct err err;
    enum status status;
    int code =
        take_words(argc, argv,
                   "usage: tlsrpt-gen [-c FILE] push\n"
                   "\n"
                   "Bring what this host counted into the fleet's database; see tlsrpt-gen-fleet(7).\n");

    if (code >= 0)
        return code;
    status = need_fleet(config, &err);
    if (status == ST_OK)
        status = program_leave_root(config->state_dir, &err);
    if (status == ST_OK)
        status = check_clock(config, &err);
    if (status == ST_OK)
        status = stores_open_fleet(config, &fleet, &err);
    if (status == ST_OK)
        status = push_now(config, fleet, &err);
    fleet_close(&fleet);
    return status == ST_OK ? 0 : program_fail(&PROGRAM, &err);
}

static void print_schema(const struct fleet_schema *schema)
{
    if (schema->old_version == 0)
        (void)printf("-- schema tlsrpt_gen, version %lld, was made\n", (long long)schema->version);
    else
        (void)printf("-- schema tlsrpt_gen was version %lld and is version %lld%s\n",
                     (long long)schema->old_version, (long long)schema->version,
                     schema->old_version == schema->version ? " still" : " now");
    (void)puts("-- Roles that can do no more than they must; run what you want of this in this database,\n"
               "-- as a user who may make roles; that a role is there already does no harm:");
    for (size_t i = 0; schema->grants[i] != NULL; i++)
        (void)puts(schema->grants[i]);
}

int cmd_fleet_init(const struct config *config, int argc, char **argv)
{
    struct fleet_schema schema;
    struct fleet *fleet = NULL;
    struct err err;
    enum status status;
    int code =
        take_words(argc, argv,
                   "usage: tlsrpt-gen [-c FILE] fleet-init\n"
                   "\n"
                   "Make the tables of a fleet's database, or bring them up to date, and print GRANTs.\n");

    if (code >= 0)
        return code;
    status = need_fleet(config, &err);
    if (status == ST_OK)
        status = stores_open_fleet_for_init(config, &fleet, &err);
    if (status == ST_OK)
        status = fleet_init(fleet, &schema, &err);
    fleet_close(&fleet);
    if (status != ST_OK)
        return program_fail(&PROGRAM, &err);
    print_schema(&schema);
    return 0;
}

static enum status forget_host(struct fleet *fleet, const char *host, struct err *err)
{
    int64_t count = 0;
    enum status status = fleet_forget_host(fleet, host, &count, err);

    if (status == ST_OK && count == 0)
        status =
            err_set(err, ST_NOT_FOUND, "no host %.100s is waited for; tlsrpt-gen status lists them", host);
    if (status == ST_OK)
        (void)printf("%s is not waited for any more; what it pushed stays\n", host);
    return status;
}

/* An unknown host does not stop the others; the exit code is that of the last failure. */
static int forget_hosts(struct fleet *fleet, char **hosts, int count)
{
    int code = 0;

    for (int i = 0; i < count; i++) {
        struct err err;

        if (forget_host(fleet, hosts[i], &err) != ST_OK)
            code = program_fail(&PROGRAM, &err);
    }
    return code;
}

int cmd_fleet_forget(const struct config *config, int argc, char **argv)
{
    struct fleet *fleet = NULL;
    struct err err;
    enum status status;
    int code;

    if (argc < 2 || argv[1][0] == '-')
        return take_words(argc > 1 ? argc : 0, argv, "usage: tlsrpt-gen [-c FILE] fleet-forget HOST ...\n");
    status = need_fleet(config, &err);
    if (status == ST_OK)
        status = stores_open_fleet(config, &fleet, &err);
    if (status != ST_OK)
        return program_fail(&PROGRAM, &err);
    code = forget_hosts(fleet, argv + 1, argc - 1);
    fleet_close(&fleet);
    return code;
}
