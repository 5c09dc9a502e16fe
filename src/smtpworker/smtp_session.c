/* SPDX-License-Identifier: MIT */
/*
 * Workarounds for libesmtp, and where they are:
 *   no TCP_NODELAY                          on_connect
 *   with TLS 1.3 it waits for its timeout   make_tls_context (1.2 at most)
 *   plaintext injected after STARTTLS       watch_starttls_reply
 *   a status of 250 for a mail never sent   judge (five conditions)
 *   it sends mail after AUTH was refused    on_mail_begins
 *   it hides session replies                watch_reply (through the protocol monitor)
 *   no server name in the handshake         name_server (for a relay whose certificate must be valid)
 */
#include "smtp_session.h"

#include <auth-client.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libesmtp.h>

#include "base/clock.h"
#include "model/address.h"
#include "smtp_pin.h"

#define REPLY_MAX      200
#define PATH_BYTES_MAX 512
#define FD_LIMIT       64 /* the worker has closed all but a few */

struct message_slot {
    smtp_message_t message;
    smtp_recipient_t recipient;
    const struct smtp_session_message *ours;
    bool is_handed_over; /* libesmtp took the last byte: from now on the server may have it */
    bool is_settled;
};

struct worker_session {
    const struct smtp_session_job *job;
    const struct smtp_session_hooks *hooks;
    smtp_session_t esmtp;
    struct message_slot *slots;
    int64_t started_ms;
    size_t added; /* messages that libesmtp has */
    enum smtp_progress progress;
    bool is_awaiting_starttls; /* STARTTLS is written, its reply not complete */
    bool is_awaiting_auth;
    bool is_authenticated;
    size_t reply_column;     /* of the STARTTLS reply's current line */
    char reply_separator;    /* its fourth byte: '-' if more lines follow */
    char refusal[REPLY_MAX]; /* its last reply of 4xx or 5xx before the mails */
    char end_text[DELIVERY_RESULT_TEXT_MAX];
};

/* ---- delivery results ---- */

/* "550 5.1.1 no such user" */
static void set_from_reply(struct delivery_result *result, enum delivery_result_kind kind,
                           enum delivery_stage stage, const smtp_status_t *status)
{
    const char *text = status->text != NULL ? status->text : "";

    if (status->enh_class != 0)
        delivery_result_set(result, kind, stage, status->code, "%d %d.%d.%d %s", status->code,
                            status->enh_class, status->enh_subject, status->enh_detail, text);
    else
        delivery_result_set(result, kind, stage, status->code, "%d %s", status->code, text);
}

/* A 5xx that speaks of this session or our set-up and not of the message: another day may be better. */
static bool is_about_session(const smtp_status_t *status)
{
    static const int CODES[] = {503, 530, 534, 535, 538};

    for (size_t i = 0; i < ARRAY_COUNT(CODES); i++)
        if (status->code == CODES[i])
            return true;
    return status->enh_class == 4;
}

static enum delivery_result_kind kind_of(const smtp_status_t *status)
{
    return status->code / 100 == 5 && !is_about_session(status) ? DELIVERY_RESULT_GIVE_UP
                                                                : DELIVERY_RESULT_TRY_LATER;
}

/* The earliest of MAIL, RCPT and DATA that failed decides; delivered only if nothing is missing. */
static void judge(const struct message_slot *slot, struct delivery_result *result)
{
    const struct {
        enum delivery_stage stage;
        const smtp_status_t *status;
    } steps[] = {
        {DELIVERY_AT_MAIL, smtp_reverse_path_status(slot->message)},
        {DELIVERY_AT_RCPT, smtp_recipient_status(slot->recipient)},
        {DELIVERY_AT_DATA, smtp_message_transfer_status(slot->message)},
    };

    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        if (steps[i].status->code / 100 == 2)
            continue;
        if (steps[i].status->code >= 400) {
            set_from_reply(result, kind_of(steps[i].status), steps[i].stage, steps[i].status);
        } else {
            delivery_result_set(result, DELIVERY_RESULT_TRY_LATER, steps[i].stage, 0,
                                "no usable answer to %s", delivery_stage_name(steps[i].stage));
            if (slot->is_handed_over)
                delivery_result_put_in_doubt(result);
        }
        return;
    }
    if (smtp_recipient_check_complete(slot->recipient) && slot->is_handed_over) {
        set_from_reply(result, DELIVERY_RESULT_DELIVERED, DELIVERY_AT_DATA, steps[2].status);
        return;
    }
    delivery_result_set(result, DELIVERY_RESULT_TRY_LATER, DELIVERY_AT_DATA, 0,
                        "the answers do not show that it was taken");
    if (slot->is_handed_over)
        delivery_result_put_in_doubt(result);
}

static void settle(struct worker_session *session, struct message_slot *slot)
{
    struct delivery_result result;

    if (slot->is_settled)
        return;
    slot->is_settled = true;
    judge(slot, &result);
    session->hooks->result(session->hooks->context, slot->ours->id, &result);
}

/* ---- progress ---- */

static void reached(struct worker_session *session, enum smtp_progress progress)
{
    if (session->progress >= progress)
        return;
    session->progress = progress;
    session->hooks->progress(session->hooks->context, progress);
}

/* What the session's state says of messages that got no answer. */
static enum delivery_stage stage_of(const struct worker_session *session)
{
    static const enum delivery_stage STAGES[SMTP_PROGRESS_COUNT] = {
        [SMTP_PROGRESS_NONE] = DELIVERY_AT_CONNECT,  [SMTP_PROGRESS_CONNECTED] = DELIVERY_AT_GREETING,
        [SMTP_PROGRESS_TLS_BEGUN] = DELIVERY_AT_TLS, [SMTP_PROGRESS_TLS_UP] = DELIVERY_AT_GREETING,
        [SMTP_PROGRESS_MAILING] = DELIVERY_AT_MAIL,
    };

    return STAGES[session->progress];
}

/* The code in front of a refusal; 0 if it is none. */
static uint32_t refusal_code(const char *reply)
{
    long code = strtol(reply, NULL, 10);

    return code >= 400 && code <= 599 ? (uint32_t)code : 0;
}

static struct smtp_wire_end make_end(struct worker_session *session, enum delivery_stage stage,
                                     const char *words)
{
    bool is_refused = session->refusal[0] != '\0';

    (void)snprintf(session->end_text, sizeof session->end_text, "%s%s%s", words, is_refused ? ": " : "",
                   session->refusal);
    return (struct smtp_wire_end){.stage = stage,
                                  .code = refusal_code(session->refusal),
                                  .text = {session->end_text, strlen(session->end_text)}};
}

__attribute__((noreturn)) static void stop(struct worker_session *session, enum delivery_stage stage,
                                           const char *words)
{
    struct smtp_wire_end end = make_end(session, stage, words);

    session->hooks->stop(session->hooks->context, &end);
    abort();
}

/* The first MAIL FROM is about to go out: nothing may be sent that should have had TLS or AUTH first. */
static void on_mail_begins(struct worker_session *session)
{
    if (session->job->tls == SMTP_TLS_REQUIRE && session->progress < SMTP_PROGRESS_TLS_UP)
        stop(session, DELIVERY_AT_TLS, "TLS is required and was not reached");
    if (*session->job->user != '\0' && !session->is_authenticated)
        stop(session, DELIVERY_AT_GREETING, "the relay did not accept user and password");
    reached(session, SMTP_PROGRESS_MAILING);
}

/* ---- the protocol monitor ---- */

static bool begins_with(const char *bytes, size_t len, const char *word)
{
    return len >= strlen(word) && memcmp(bytes, word, strlen(word)) == 0;
}

/*
 * Bytes behind the last line of the reply to STARTTLS came before TLS: whoever sent them wants libesmtp to
 * read them as answers inside TLS (response injection).
 */
static void watch_starttls_reply(struct worker_session *session, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!session->is_awaiting_starttls)
            stop(session, DELIVERY_AT_TLS, "the server sent more than the reply to STARTTLS");
        if (session->reply_column == 3)
            session->reply_separator = bytes[i];
        session->reply_column++;
        if (bytes[i] != '\n')
            continue;
        session->is_awaiting_starttls = session->reply_separator == '-';
        session->reply_column = 0;
    }
}

static void watch_reply(struct worker_session *session, const char *bytes, size_t len)
{
    char reply[REPLY_MAX];

    if (session->is_awaiting_starttls)
        watch_starttls_reply(session, bytes, len);
    if (session->progress == SMTP_PROGRESS_MAILING)
        return;
    (void)snprintf(reply, sizeof reply, "%.*s", (int)(len < REPLY_MAX ? len : REPLY_MAX), bytes);
    if (refusal_code(reply) != 0)
        memcpy(session->refusal, reply, sizeof reply);
    if (session->is_awaiting_auth && begins_with(bytes, len, "235"))
        session->is_authenticated = true;
}

static void watch_command(struct worker_session *session, const char *bytes, size_t len)
{
    if (begins_with(bytes, len, "STARTTLS\r\n")) {
        session->is_awaiting_starttls = true;
        session->reply_column = 0;
        reached(session, SMTP_PROGRESS_TLS_BEGUN);
    } else if (begins_with(bytes, len, "AUTH ")) {
        session->is_awaiting_auth = true;
    } else if (begins_with(bytes, len, "MAIL ") && session->progress < SMTP_PROGRESS_MAILING) {
        on_mail_begins(session);
    }
}

static void on_traffic(const char *bytes, int len, int writing, void *context)
{
    struct worker_session *session = context;

    if (len <= 0)
        return;
    if (writing == SMTP_CB_WRITING)
        watch_command(session, bytes, (size_t)len);
    else if (writing == SMTP_CB_READING)
        watch_reply(session, bytes, (size_t)len);
}

/* ---- events ---- */

/* The process's one TCP socket with a peer, or -1. */
static int find_connection(struct address *peer_out)
{
    for (int fd = 0; fd < FD_LIMIT; fd++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;

        if (getpeername(fd, (struct sockaddr *)&peer, &len) == 0 &&
            address_from_sockaddr((const struct sockaddr *)&peer, peer_out))
            return fd;
    }
    return -1;
}

static void on_connect(struct worker_session *session)
{
    struct address peer;
    char text[ADDRESS_TEXT_SIZE];
    int on = 1;
    int fd = find_connection(&peer);

    if (fd < 0)
        stop(session, DELIVERY_AT_CONNECT, "the connection was gone at once");
    address_format(&peer, text);
    if (*session->job->address != '\0' && strcmp(text, session->job->address) != 0)
        stop(session, DELIVERY_AT_ADDRESS_POLICY,
             "connected to another address than the one that was checked");
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    session->refusal[0] = '\0';
    reached(session, SMTP_PROGRESS_CONNECTED);
}

static struct message_slot *slot_of(smtp_message_t message)
{
    return smtp_message_get_application_data(message);
}

/* Any certificate will do (R48, R49), unless TLS is required: then OpenSSL has checked chain and name. */
static void on_certificate(struct worker_session *session, int event, va_list arguments)
{
    int *is_fine;

    if (event == SMTP_EV_INVALID_PEER_CERTIFICATE)
        (void)va_arg(arguments, long);
    if (event == SMTP_EV_WEAK_CIPHER)
        (void)va_arg(arguments, int);
    is_fine = va_arg(arguments, int *);
    *is_fine = session->job->tls != SMTP_TLS_REQUIRE || event == SMTP_EV_WRONG_PEER_CERTIFICATE;
}

/* Stop between two mails: a mail that the deadline cuts off may arrive twice. */
static void finish_mail(struct worker_session *session, struct message_slot *slot)
{
    settle(session, slot);
    if (clock_monotonic_ms() > session->started_ms + session->job->mailing_ms)
        stop(session, DELIVERY_AT_START, "the session's time was nearly up");
}

static void on_event(smtp_session_t esmtp, int event, void *context, ...)
{
    struct worker_session *session = context;
    struct message_slot *slot;
    va_list arguments;

    (void)esmtp;
    va_start(arguments, context);
    switch (event) {
    case SMTP_EV_CONNECT:
        on_connect(session);
        break;
    case SMTP_EV_STARTTLS_OK:
        reached(session, SMTP_PROGRESS_TLS_UP);
        break;
    case SMTP_EV_MAILSTATUS:
        (void)va_arg(arguments, const char *);
        slot = slot_of(va_arg(arguments, smtp_message_t));
        if (smtp_reverse_path_status(slot->message)->code / 100 != 2)
            finish_mail(session, slot);
        break;
    case SMTP_EV_RCPTSTATUS:
        (void)va_arg(arguments, const char *);
        slot = smtp_recipient_get_application_data(va_arg(arguments, smtp_recipient_t));
        if (smtp_recipient_status(slot->recipient)->code / 100 != 2)
            finish_mail(session, slot);
        break;
    case SMTP_EV_MESSAGESENT:
        finish_mail(session, slot_of(va_arg(arguments, smtp_message_t)));
        break;
    case SMTP_EV_INVALID_PEER_CERTIFICATE:
    case SMTP_EV_NO_PEER_CERTIFICATE:
    case SMTP_EV_WRONG_PEER_CERTIFICATE:
    case SMTP_EV_WEAK_CIPHER:
        on_certificate(session, event, arguments);
        break;
    default:
        break;
    }
    va_end(arguments);
}

/* libesmtp asks for the message's bytes: all at once, then no more. */
static const char *give_bytes(void **context, int *len, void *argument)
{
    static const char NONE[] = "";
    struct message_slot *slot = argument;

    (void)context;
    if (len == NULL) {
        slot->is_handed_over = false;
        return NULL;
    }
    *len = slot->is_handed_over ? 0 : (int)slot->ours->len;
    slot->is_handed_over = true;
    return *len > 0 ? slot->ours->bytes : NONE;
}

static int give_secrets(auth_client_request_t requests, char **results, int count, void *context)
{
    const struct smtp_session_job *job = context;

    for (int i = 0; i < count; i++) {
        const char *secret = (requests[i].flags & AUTH_PASS) != 0 ? job->password : job->user;

        memcpy(&results[i], &secret, sizeof results[i]); /* libesmtp's type lacks the const it keeps */
    }
    return 1;
}

/* ---- setting up ---- */

/* OpenSSL begins a handshake: say which server is wanted (RFC 6066). */
static void name_server(const SSL *tls, int where, int result)
{
    const char *host = SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls));
    struct address address;
    SSL *changeable = NULL;
    void *lent = NULL;

    (void)result;
    if ((where & SSL_CB_HANDSHAKE_START) == 0 || address_parse(host, strlen(host), &address))
        return;
    memcpy(&changeable, &tls,
           sizeof changeable);         /* libesmtp makes it itself, and this is the only time to see it */
    memcpy(&lent, &host, sizeof lent); /* OpenSSL copies it; its macro lacks the const */
    (void)SSL_set_tlsext_host_name(changeable, lent);
}

/* The certificate must be for host, a name or an address; host is only lent. */
static bool set_host(SSL_CTX *context, const char *host)
{
    X509_VERIFY_PARAM *wanted = SSL_CTX_get0_param(context);
    struct address address;
    void *lent = NULL;

    memcpy(&lent, &host, sizeof lent);
    SSL_CTX_set_info_callback(context, name_server);
    if (SSL_CTX_set_app_data(context, lent) != 1)
        return false;
    return address_parse(host, strlen(host), &address) ? X509_VERIFY_PARAM_set1_ip_asc(wanted, host) == 1
                                                       : X509_VERIFY_PARAM_set1_host(wanted, host, 0) == 1;
}

/* Opportunistic TLS is better weak than none; required TLS is OpenSSL's default and verified. */
static SSL_CTX *make_tls_context(const struct smtp_session_job *job)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    bool is_fine = context != NULL && SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION) == 1;

    if (is_fine && job->tls == SMTP_TLS_OPPORTUNISTIC) {
        SSL_CTX_set_security_level(context, 0);
        is_fine = SSL_CTX_set_min_proto_version(context, TLS1_VERSION) == 1;
    } else if (is_fine) {
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        is_fine = set_host(context, job->host) &&
                  (*job->ca_file != '\0' ? SSL_CTX_load_verify_file(context, job->ca_file)
                                         : SSL_CTX_set_default_verify_paths(context)) == 1;
    }
    if (!is_fine) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

static bool set_up_tls(struct worker_session *session)
{
    SSL_CTX *context;

    if (session->job->tls == SMTP_TLS_OFF)
        return smtp_starttls_enable(session->esmtp, Starttls_DISABLED) != 0;
    context = make_tls_context(session->job);
    if (context == NULL)
        return false;
    (void)smtp_starttls_set_ctx(session->esmtp, context);
    return smtp_starttls_enable(session->esmtp, session->job->tls == SMTP_TLS_REQUIRE
                                                    ? Starttls_REQUIRED
                                                    : Starttls_ENABLED) != 0;
}

static bool set_up_auth(struct worker_session *session, auth_context_t *auth_out)
{
    auth_context_t auth;
    void *job = NULL;

    if (*session->job->user == '\0')
        return true;
    auth_client_init();
    auth = auth_create_context();
    if (auth == NULL)
        return false;
    memcpy(&job, &session->job, sizeof job); /* only handed back to give_secrets */
    (void)auth_set_mechanism_flags(auth, AUTH_PLUGIN_PLAIN, 0);
    (void)auth_set_interact_cb(auth, give_secrets, job);
    *auth_out = auth;
    return smtp_auth_set_context(session->esmtp, auth) != 0;
}

static void set_up_timeouts(struct worker_session *session)
{
    static const int STEPS[] = {Timeout_GREETING, Timeout_ENVELOPE, Timeout_DATA, Timeout_TRANSFER,
                                Timeout_DATA2};

    for (size_t i = 0; i < ARRAY_COUNT(STEPS); i++)
        (void)smtp_set_timeout(session->esmtp, STEPS[i] | Timeout_OVERRIDE_RFC2822_MINIMUM,
                               session->job->step_timeout_ms);
}

static bool add_message(struct worker_session *session, struct message_slot *slot,
                        const struct smtp_session_message *ours)
{
    slot->ours = ours;
    slot->message = smtp_add_message(session->esmtp);
    if (slot->message == NULL || !smtp_set_reverse_path(slot->message, ours->envelope_from) ||
        !smtp_set_messagecb(slot->message, give_bytes, slot))
        return false;
    smtp_message_set_application_data_release(slot->message, slot, NULL);
    (void)smtp_size_set_estimate(slot->message, ours->len);
    slot->recipient = smtp_add_recipient(slot->message, ours->recipient);
    if (slot->recipient == NULL)
        return false;
    smtp_recipient_set_application_data_release(slot->recipient, slot, NULL);
    session->added++;
    return true;
}

/* What goes into a command must not end it. */
static bool is_command_safe(const char *text, size_t max)
{
    return strlen(text) <= max && strpbrk(text, "\r\n<> ") == NULL;
}

/* The same for what stands between "<" and ">": blanks and brackets may stand in a quoted local part. */
static bool is_path_safe(const char *text)
{
    bool is_quoted = false;

    if (strlen(text) > PATH_BYTES_MAX)
        return false;
    for (const char *at = text; *at != '\0'; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f || (!is_quoted && strchr("<> ", *at) != NULL))
            return false;
        if (*at == '"')
            is_quoted = !is_quoted;
        else if (is_quoted && *at == '\\' && at[1] != '\0')
            at++;
    }
    return !is_quoted;
}

static bool is_sendable(const struct smtp_session_message *message)
{
    return is_path_safe(message->envelope_from) && is_path_safe(message->recipient) &&
           *message->recipient != '\0' && message->len > 0 && message->len <= INT32_MAX;
}

/* One that cannot be sent must not keep the others from being sent. */
static void refuse(struct worker_session *session, struct message_slot *slot,
                   const struct smtp_session_message *ours)
{
    struct delivery_result result;

    slot->is_settled = true;
    delivery_result_set(&result, DELIVERY_RESULT_GIVE_UP, DELIVERY_AT_START, 0,
                        "the message or its addresses cannot be sent");
    session->hooks->result(session->hooks->context, ours->id, &result);
}

static bool set_up(struct worker_session *session, auth_context_t *auth_out)
{
    const struct smtp_session_job *job = session->job;
    char server[300];

    (void)snprintf(server, sizeof server, "%s:%u", job->host, (unsigned)job->port);
    session->esmtp = smtp_create_session();
    session->slots = calloc(job->message_count, sizeof *session->slots);
    if (session->esmtp == NULL || session->slots == NULL || !smtp_set_server(session->esmtp, server) ||
        !smtp_set_hostname(session->esmtp, job->ehlo_name) ||
        !smtp_set_eventcb(session->esmtp, on_event, session) ||
        !smtp_set_monitorcb(session->esmtp, on_traffic, session, 0) || !set_up_auth(session, auth_out))
        return false;
    set_up_timeouts(session);
    for (size_t i = 0; i < job->message_count; i++) {
        if (!is_sendable(&job->messages[i]))
            refuse(session, &session->slots[i], &job->messages[i]);
        else if (!add_message(session, &session->slots[i], &job->messages[i]))
            return false;
    }
    return true;
}

/* ---- running ---- */

static const char *find_fault(const struct smtp_session_job *job)
{
    if (!is_command_safe(job->host, 255) || *job->host == '\0' || strchr(job->host, ':') != NULL)
        return "the server must be a host name or an IPv4 address";
    if (!is_command_safe(job->ehlo_name, 255) || *job->ehlo_name == '\0')
        return "the EHLO name is not a name";
    if (strlen(job->user) > SMTP_SESSION_SECRET_MAX || strlen(job->password) > SMTP_SESSION_SECRET_MAX)
        return "user and password may have 255 bytes each";
    if (*job->user != '\0' && job->tls != SMTP_TLS_REQUIRE)
        return "user and password are sent over verified TLS only";
    return job->message_count > 0 ? NULL : "no message";
}

/* Messages that were begun get what can be said of each; the rest shares the session's end. */
static void settle_begun(struct worker_session *session)
{
    for (size_t i = 0; i < session->job->message_count; i++) {
        struct message_slot *slot = &session->slots[i];

        if (!slot->is_settled && (smtp_reverse_path_status(slot->message)->code != 0 || slot->is_handed_over))
            settle(session, slot);
    }
}

enum status smtp_session_run(const struct smtp_session_job *job, const struct smtp_session_hooks *hooks,
                             struct smtp_wire_end *end_out, struct err *err)
{
    static struct worker_session session; /* once per process; its texts outlive the call */
    const char *fault = find_fault(job);
    auth_context_t auth = NULL;
    enum status status = ST_OK;
    char words[128];

    if (fault != NULL)
        return err_set(err, ST_CONFIG, "%s", fault);
    session = (struct worker_session){.job = job, .hooks = hooks, .started_ms = clock_monotonic_ms()};
    smtp_pin_address(*job->address != '\0' ? job->address : NULL);
    if (!set_up(&session, &auth)) {
        status = err_set(err, ST_NOMEM, "out of memory");
    } else if (!set_up_tls(&session)) {
        status = err_set(err, ST_INTERNAL, "no TLS context%s%s",
                         *job->ca_file != '\0' ? "; can it read " : "", job->ca_file);
    } else {
        if (session.added > 0)
            (void)smtp_start_session(session.esmtp); /* its result says nothing */
        (void)smtp_strerror(smtp_errno(), words, sizeof words);
        settle_begun(&session);
        *end_out = make_end(&session, stage_of(&session), words);
    }
    if (session.esmtp != NULL)
        (void)smtp_destroy_session(session.esmtp);
    if (auth != NULL)
        (void)auth_destroy_context(auth);
    free(session.slots);
    return status;
}
