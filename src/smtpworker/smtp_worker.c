/* SPDX-License-Identifier: MIT */
/*
 * 1. Read frames from standard input into one growing buffer, up to "go": settings, then messages.  Short texts
 *    are copied into an arena; the messages' bytes stay in the buffer and are found again by their offsets.
 * 2. Run the session.  Each progress and result goes out as a frame at once, so that the parent knows what was
 *    reached when it kills this process.
 * 3. Write the session's end.
 */
#include "smtpworker/smtp_worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "app/program.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/strbuf.h"
#include "deliver/smtp_wire.h"
#include "smtp_session.h"

#define BATCH_BYTES_MAX    (256u << 20)
#define BATCH_MESSAGES_MAX 1000
#define READ_BYTES         65536

struct worker {
    struct strbuf in; /* everything that was read; the messages' bytes stay in it */
    struct strbuf out;
    struct arena arena; /* NUL-terminated copies of the short texts */
    struct smtp_session_job job;
    struct smtp_session_message messages[BATCH_MESSAGES_MAX];
    size_t offsets[BATCH_MESSAGES_MAX]; /* of each message's bytes in in, which may move while it grows */
};

static void write_out(struct worker *worker)
{
    if (strbuf_is_failed(&worker->out) ||
        file_write_all(STDOUT_FILENO, worker->out.data, worker->out.len) != 0)
        _exit(EXIT_SYSTEM); /* the parent is gone */
    strbuf_reset(&worker->out);
}

static void on_progress(void *context, enum smtp_progress progress)
{
    struct worker *worker = context;

    smtp_wire_put_progress(&worker->out, progress);
    write_out(worker);
}

static void on_result(void *context, uint64_t id, const struct delivery_result *result)
{
    struct worker *worker = context;

    smtp_wire_put_result(&worker->out, id, result);
    write_out(worker);
}

__attribute__((noreturn)) static void on_stop(void *context, const struct smtp_wire_end *end)
{
    struct worker *worker = context;

    smtp_wire_put_end(&worker->out, end);
    write_out(worker);
    _exit(0);
}

static const char *copy(struct worker *worker, struct span text)
{
    return arena_copy_text(&worker->arena, text.at, text.len);
}

static bool take_settings(struct worker *worker, struct span payload)
{
    struct smtp_wire_settings settings;

    if (!smtp_wire_read_settings(payload, &settings))
        return false;
    worker->job.host = copy(worker, settings.host);
    worker->job.port = settings.port;
    worker->job.address = copy(worker, settings.address);
    worker->job.ehlo_name = copy(worker, settings.ehlo_name);
    worker->job.tls = settings.tls;
    worker->job.ca_file = copy(worker, settings.ca_file);
    worker->job.user = copy(worker, settings.user);
    worker->job.password = copy(worker, settings.password);
    worker->job.step_timeout_ms = (long)settings.step_timeout_ms;
    worker->job.mailing_ms = settings.mailing_ms;
    return worker->job.host != NULL && worker->job.address != NULL && worker->job.ehlo_name != NULL &&
           worker->job.ca_file != NULL && worker->job.user != NULL && worker->job.password != NULL;
}

static bool take_message(struct worker *worker, struct span payload)
{
    struct smtp_session_message *ours = &worker->messages[worker->job.message_count];
    struct smtp_wire_message message;

    if (worker->job.message_count == BATCH_MESSAGES_MAX || !smtp_wire_read_message(payload, &message))
        return false;
    *ours = (struct smtp_session_message){.id = message.id,
                                          .envelope_from = copy(worker, message.envelope_from),
                                          .recipient = copy(worker, message.recipient),
                                          .len = message.bytes.len};
    worker->offsets[worker->job.message_count++] = (size_t)(message.bytes.at - worker->in.data);
    return ours->envelope_from != NULL && ours->recipient != NULL;
}

enum step {
    STEP_GO_ON,
    STEP_DONE,
    STEP_BROKEN,
};

static enum step take_frame(struct worker *worker, enum smtp_wire_type type, struct span payload)
{
    switch (type) {
    case SMTP_WIRE_SETTINGS:
        return worker->job.host == NULL && take_settings(worker, payload) ? STEP_GO_ON : STEP_BROKEN;
    case SMTP_WIRE_MESSAGE:
        return take_message(worker, payload) ? STEP_GO_ON : STEP_BROKEN;
    case SMTP_WIRE_GO:
        return worker->job.host != NULL ? STEP_DONE : STEP_BROKEN;
    case SMTP_WIRE_PROGRESS:
    case SMTP_WIRE_RESULT:
    case SMTP_WIRE_END:
        break;
    }
    return STEP_BROKEN;
}

/* Take every whole frame behind *parsed. */
static enum step take_frames(struct worker *worker, size_t *parsed)
{
    for (;;) {
        enum smtp_wire_type type;
        struct span payload;
        size_t used;
        enum step step;

        switch (smtp_wire_find(worker->in.data + *parsed, worker->in.len - *parsed, &type, &payload, &used)) {
        case SMTP_WIRE_MORE:
            return STEP_GO_ON;
        case SMTP_WIRE_BROKEN:
            return STEP_BROKEN;
        case SMTP_WIRE_FRAME:
            break;
        }
        step = take_frame(worker, type, payload);
        if (step != STEP_GO_ON)
            return step;
        *parsed += used;
    }
}

/* Read until "go"; false if the input is broken or ends before. */
static bool read_job(struct worker *worker)
{
    static char chunk[READ_BYTES];
    size_t parsed = 0;
    enum step step = STEP_GO_ON;

    while (step == STEP_GO_ON) {
        ssize_t got = read(STDIN_FILENO, chunk, sizeof chunk);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        strbuf_add(&worker->in, chunk, (size_t)got);
        if (strbuf_is_failed(&worker->in))
            return false;
        step = take_frames(worker, &parsed);
    }
    for (size_t i = 0; i < worker->job.message_count; i++)
        worker->messages[i].bytes = worker->in.data + worker->offsets[i];
    worker->job.messages = worker->messages;
    return step == STEP_DONE;
}

static int run_job(struct worker *worker)
{
    const struct smtp_session_hooks hooks = {
        .context = worker, .progress = on_progress, .result = on_result, .stop = on_stop};
    struct smtp_wire_end end;
    struct err err;

    if (smtp_session_run(&worker->job, &hooks, &end, &err) != ST_OK)
        end = (struct smtp_wire_end){.stage = DELIVERY_AT_START, .text = {err.text, strlen(err.text)}};
    smtp_wire_put_end(&worker->out, &end);
    write_out(worker);
    return 0;
}

/* musl has no closefrom(3). */
static bool close_all_from(int first)
{
#ifdef __GLIBC__
    closefrom(first);
    return true;
#else
    return syscall(SYS_close_range, first, ~0U, 0) == 0;
#endif
}

/*
 * libesmtp must not see an environment or open files, and the session ends when tlsrpt-gen does: no sooner when a
 * service manager or terminal signals both.
 */
static bool isolate(void)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGTERM, SIG_IGN);
    (void)signal(SIGINT, SIG_IGN);
    return close_all_from(STDERR_FILENO + 1) && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && clearenv() == 0 &&
           setenv("HOME", "/nonexistent", 1) == 0;
}

int smtp_worker_run(void)
{
    static struct worker worker;
    int code = EXIT_DATA;

    if (!isolate())
        return EXIT_SYSTEM;
    strbuf_init(&worker.in, BATCH_BYTES_MAX);
    strbuf_init(&worker.out, READ_BYTES);
    arena_init(&worker.arena, BATCH_MESSAGES_MAX * 2048);
    if (read_job(&worker))
        code = run_job(&worker);
    arena_done(&worker.arena);
    strbuf_done(&worker.out);
    strbuf_done(&worker.in);
    return code;
}
