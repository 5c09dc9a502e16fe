/* SPDX-License-Identifier: MIT */
/*
 * libpq behind our errors.  Every call of libpq is non-blocking and waits with a limit of its own; what the
 * server or the connection said becomes a status, and whether to retry (STATES).  A reading is one prepared
 * statement in single-row mode; a batch is BEGIN, a pipeline of prepared statements in parts, and COMMIT.
 */
#include "pg.h"

#include <arpa/inet.h>
#include <libpq-fe.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/strbuf.h"

#define PARAMETERS_MAX   20
#define CONNECT_MS       15000
#define SETTINGS_BYTES   65536
#define KEYWORDS_MAX     64
#define BACKOFF_FIRST_MS 20
#define BACKOFF_MAX_MS   1000
#define SYNC_EVERY       100 /* statements of a batch between two answers that are waited for */
#define BATCH_BYTES_MAX  ((size_t)512 << 20)
#define CA_FILE          "/etc/ssl/certs/ca-certificates.crt"

struct pg_connection {
    PGconn *handle; /* NULL: not open */
    bool is_busy;   /* a reading is in progress */
    bool *is_prepared;
};

struct pg {
    struct arena arena; /* the settings */
    const char *keywords[KEYWORDS_MAX];
    const char *values[KEYWORDS_MAX];
    size_t keyword_count;
    const char *first;
    const char *const *statements;
    size_t statement_count;
    struct pg_connection connections[PG_CONNECTIONS_MAX];
};

struct pg_row {
    const PGresult *result;
    int number;
};

struct entry {
    size_t statement;
    int64_t least_rows;
    int64_t changed_rows; /* when it was run last */
    size_t count;
    struct bind_value values[]; /* what they point to is in the batch's arena */
};

struct pg_batch {
    struct arena arena;
    struct entry **entries;
    size_t count;
    size_t capacity;
};

/* ---- what went wrong ---- */

/* What may be tried again, and whether that needs a new connection. */
enum trouble {
    TROUBLE_FINAL,
    TROUBLE_AGAIN,
    TROUBLE_LOST,
};

static const struct {
    const char *prefix; /* of the SQLSTATE; the first that fits */
    enum status status;
    enum trouble trouble;
} STATES[] = {
    {"40001", ST_TEMPORARY, TROUBLE_AGAIN},   /* serialization failure */
    {"40P01", ST_TEMPORARY, TROUBLE_AGAIN},   /* deadlock */
    {"40003", ST_TEMPORARY, TROUBLE_LOST},    /* nobody knows whether it was done */
    {"08", ST_TEMPORARY, TROUBLE_LOST},       /* connection failure */
    {"57P01", ST_TEMPORARY, TROUBLE_LOST},    /* shutting down */
    {"57P02", ST_TEMPORARY, TROUBLE_LOST},    /* crashed */
    {"57P03", ST_TEMPORARY, TROUBLE_LOST},    /* starting up */
    {"57", ST_TEMPORARY, TROUBLE_FINAL},      /* cancelled */
    {"53100", ST_FULL, TROUBLE_FINAL},        /* disk full */
    {"53300", ST_TEMPORARY, TROUBLE_LOST},    /* too many connections */
    {"53", ST_TEMPORARY, TROUBLE_FINAL},      /* other resources */
    {"55", ST_TEMPORARY, TROUBLE_AGAIN},      /* object in use */
    {"28", ST_DENIED, TROUBLE_FINAL},         /* wrong password or role */
    {"3D000", ST_CONFIG, TROUBLE_FINAL},      /* no such database */
    {"42501", ST_DENIED, TROUBLE_FINAL},      /* the role may not */
    {"25006", ST_DENIED, TROUBLE_FINAL},      /* a read-only replica */
    {"42P01", ST_UNSUPPORTED, TROUBLE_FINAL}, /* no such table */
    {"3F000", ST_UNSUPPORTED, TROUBLE_FINAL}, /* no such schema */
    {"42703", ST_UNSUPPORTED, TROUBLE_FINAL}, /* no such column */
};

/* The server's words end with a newline, and may be of several lines. */
static void copy_words(const char *words, char *out, size_t size)
{
    size_t len = strcspn(words, "\n");

    (void)snprintf(out, size, "%.*s", (int)(len < size ? len : size - 1), words);
}

/* What an SQLSTATE means to us; false if it is not one that we know. */
static bool judge_state(const char *state, enum status *status_out, enum trouble *trouble_out)
{
    for (size_t i = 0; i < ARRAY_COUNT(STATES); i++)
        if (strncmp(state, STATES[i].prefix, strlen(STATES[i].prefix)) == 0) {
            *status_out = STATES[i].status;
            *trouble_out = STATES[i].trouble;
            return true;
        }
    return false;
}

/* Where the SQLSTATE is in libpq's verbose words, "... FATAL:  28P01: ..."; their end if there is none. */
static size_t find_state(const char *words)
{
    static const char BEFORE[] = ":  ";

    for (const char *at = words; (at = strstr(at, BEFORE)) != NULL;) {
        at += strlen(BEFORE);
        if (strspn(at, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 && at[5] == ':')
            return (size_t)(at - words);
    }
    return strlen(words);
}

/* "FATAL:  28P01: no" is read as "FATAL:  no". */
static void drop_state(char *words)
{
    const size_t len = strlen("28P01: ");
    char *state = words + find_state(words);

    if (strlen(state) > len)
        memmove(state, state + len, strlen(state + len) + 1);
}

static enum status fail_connection(const struct pg_connection *connection, const char *doing,
                                   enum trouble *trouble_out, struct err *err)
{
    const char *all = PQerrorMessage(connection->handle);
    enum status status = ST_TEMPORARY;
    char words[ERR_TEXT_MAX / 2];

    copy_words(all, words, sizeof words);
    drop_state(words);
    *trouble_out = TROUBLE_LOST;
    (void)judge_state(all + find_state(all), &status, trouble_out);
    return err_set(err, status, "fleet database: %s: %s", doing,
                   *words != '\0' ? words : "no answer in time");
}

static enum status fail_result(const struct pg_connection *connection, const PGresult *result,
                               const char *doing, enum trouble *trouble_out, struct err *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    enum status status = ST_INTERNAL;
    char words[ERR_TEXT_MAX / 2];

    if (state == NULL)
        return fail_connection(connection, doing, trouble_out, err);
    copy_words(message != NULL ? message : "", words, sizeof words);
    *trouble_out = TROUBLE_FINAL;
    (void)judge_state(state, &status, trouble_out);
    return err_set(err, status, "fleet database: %s (%s)%s: %.120s", words, state,
                   status == ST_DENIED ? ", see tlsrpt-gen-fleet(7) for the rights of roles" : "", doing);
}

struct retry {
    int64_t end_ms;
    int64_t pause_ms;
};

static struct retry retry_begin(void)
{
    return (struct retry){.end_ms = clock_monotonic_ms() + PG_RETRY_MS, .pause_ms = BACKOFF_FIRST_MS};
}

/* Wait, half of the time by chance, so that two who were in each other's way are not so again. */
static bool retry_wait(struct retry *retry)
{
    uint32_t chance = 0;

    if (clock_monotonic_ms() >= retry->end_ms)
        return false;
    (void)!getrandom(&chance, sizeof chance, GRND_NONBLOCK);
    clock_sleep_ms(retry->pause_ms / 2 + (int64_t)(chance % (uint32_t)retry->pause_ms));
    retry->pause_ms = retry->pause_ms * 2 < BACKOFF_MAX_MS ? retry->pause_ms * 2 : BACKOFF_MAX_MS;
    return true;
}

/* ---- settings ---- */

static enum status no_memory(struct err *err)
{
    return err_set(err, ST_NOMEM, "fleet: out of memory");
}

static bool set_keyword(struct pg *pg, const char *keyword, const char *value)
{
    size_t i = 0;

    while (i < pg->keyword_count && strcmp(pg->keywords[i], keyword) != 0)
        i++;
    if (i >= KEYWORDS_MAX - 1)
        return false;
    pg->keywords[i] = arena_copy_text(&pg->arena, keyword, strlen(keyword));
    pg->values[i] = arena_copy_text(&pg->arena, value, strlen(value));
    if (i == pg->keyword_count)
        pg->keyword_count++;
    return pg->keywords[i] != NULL && pg->values[i] != NULL;
}

static const char *get_keyword(const struct pg *pg, const char *keyword)
{
    for (size_t i = 0; i < pg->keyword_count; i++)
        if (strcmp(pg->keywords[i], keyword) == 0)
            return pg->values[i];
    return NULL;
}

static enum status take_conninfo(struct pg *pg, const char *conninfo, struct err *err)
{
    char *message = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &message);
    enum status status = ST_OK;

    if (options == NULL) {
        char words[ERR_TEXT_MAX / 2];

        copy_words(message != NULL ? message : "out of memory", words, sizeof words);
        PQfreemem(message);
        return err_set(err, ST_CONFIG, "fleet: %s", words);
    }
    for (const PQconninfoOption *option = options; status == ST_OK && option->keyword != NULL; option++) {
        if (option->val == NULL)
            continue;
        if (strcmp(option->keyword, "password") == 0)
            status = err_set(err, ST_CONFIG,
                             "fleet: a password stands in it; put it into a file and name that in "
                             "fleet_password_file");
        else if (!set_keyword(pg, option->keyword, option->val))
            status = no_memory(err);
    }
    PQconninfoFree(options);
    return status;
}

static enum status take_password(struct pg *pg, const char *path, struct err *err)
{
    struct strbuf text;
    enum status status;

    if (*path == '\0')
        return ST_OK;
    strbuf_init(&text, SETTINGS_BYTES / 8);
    status = file_read(path, &text, err);
    if (status == ST_OK) {
        text.data[strcspn(text.data, "\r\n")] = '\0';
        if (!set_keyword(pg, "password", text.data))
            status = no_memory(err);
    } else {
        (void)err_wrap(err, "fleet_password_file");
        err->code = status = ST_CONFIG;
    }
    if (text.data != NULL && text.capacity > 0)
        explicit_bzero(text.data, text.capacity);
    strbuf_done(&text);
    return status;
}

/* What a host that is not reached over the network, or is this one, looks like. */
static bool is_local_host(const char *host, size_t len)
{
    static const char *const NAMES[] = {"localhost", "::1"};
    char name[INET_ADDRSTRLEN];
    struct in_addr address;

    if (len == 0 || host[0] == '/' || host[0] == '@')
        return true;
    if (len >= sizeof name)
        return false;
    (void)snprintf(name, sizeof name, "%.*s", (int)len, host);
    for (size_t i = 0; i < ARRAY_COUNT(NAMES); i++)
        if (strcmp(name, NAMES[i]) == 0)
            return true;
    return inet_pton(AF_INET, name, &address) == 1 && ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
}

/* Of a comma list, as libpq takes it. */
static bool are_local_hosts(const char *hosts)
{
    for (const char *at = hosts != NULL ? hosts : ""; *at != '\0';) {
        size_t len = strcspn(at, ",");

        if (!is_local_host(at, len))
            return false;
        at += len + (at[len] == ',');
    }
    return true;
}

static const char *live_value(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword != NULL; options++)
        if (strcmp(options->keyword, keyword) == 0)
            return options->val;
    return NULL;
}

/*
 * What libpq made of the settings, a service file and the environment: if that is a remote host whose
 * certificate nobody asked to be checked, ask.  *is_changed_out: connect again.
 */
static bool demand_verification(struct pg *pg, PGconn *handle, bool *is_changed_out)
{
    bool is_set = get_keyword(pg, "sslmode") != NULL || getenv("PGSSLMODE") != NULL;
    PQconninfoOption *live = PQconninfo(handle);
    const char *address, *mode;
    bool is_good = true;

    *is_changed_out = false;
    if (live == NULL)
        return false;
    address = live_value(live, "hostaddr");
    if (address == NULL || *address == '\0')
        address = live_value(live, "host");
    mode = live_value(live, "sslmode");
    if (!is_set && !are_local_hosts(address) && (mode == NULL || strcmp(mode, "prefer") == 0)) {
        *is_changed_out = true;
        is_good = set_keyword(pg, "sslmode", "verify-full");
        if (is_good && live_value(live, "sslrootcert") == NULL)
            is_good = set_keyword(pg, "sslrootcert", CA_FILE);
    }
    PQconninfoFree(live);
    return is_good;
}

static bool set_default(struct pg *pg, const char *keyword, const char *value)
{
    return get_keyword(pg, keyword) != NULL || set_keyword(pg, keyword, value);
}

static enum status take_settings(struct pg *pg, const struct pg_settings *settings, struct err *err)
{
    enum status status = take_conninfo(pg, settings->conninfo, err);

    if (status == ST_OK)
        status = take_password(pg, settings->password_file, err);
    if (status == ST_OK &&
        !(set_keyword(pg, "client_encoding", "UTF8") && set_default(pg, "application_name", "tlsrpt-gen") &&
          set_default(pg, "keepalives_idle", "30") && set_default(pg, "tcp_user_timeout", "30000")))
        status = no_memory(err);
    return status;
}

/* ---- connections ---- */

/* The processors of notices would write to stderr. */
static void ignore_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

static void disconnect(struct pg *pg, struct pg_connection *connection)
{
    PQfinish(connection->handle);
    connection->handle = NULL;
    if (connection->is_prepared != NULL)
        memset(connection->is_prepared, 0, pg->statement_count * sizeof *connection->is_prepared);
}

/* Wait until the socket can be read (or written, if wanted); false when the time is over. */
static bool wait_socket(const struct pg_connection *connection, bool wants_write, int64_t end_ms)
{
    struct pollfd poll_fd = {.fd = PQsocket(connection->handle),
                             .events = (short)(POLLIN | (wants_write ? POLLOUT : 0))};
    int64_t left_ms = end_ms - clock_monotonic_ms();

    if (left_ms <= 0 || poll_fd.fd < 0)
        return false;
    (void)poll(&poll_fd, 1, (int)(left_ms < 1000 ? left_ms : 1000));
    return true;
}

static bool finish_connecting(const struct pg_connection *connection)
{
    const int64_t end_ms = clock_monotonic_ms() + CONNECT_MS;
    PostgresPollingStatusType polled = PGRES_POLLING_WRITING;

    while (polled != PGRES_POLLING_OK && polled != PGRES_POLLING_FAILED) {
        struct pollfd poll_fd = {.fd = PQsocket(connection->handle),
                                 .events = polled == PGRES_POLLING_READING ? POLLIN : POLLOUT};
        int64_t left_ms = end_ms - clock_monotonic_ms();

        if (left_ms <= 0 || poll_fd.fd < 0)
            return false;
        if (poll(&poll_fd, 1, (int)left_ms) > 0)
            polled = PQconnectPoll(connection->handle);
    }
    return polled == PGRES_POLLING_OK;
}

/* From the first word on: libpq would write to stderr what the server likes. */
static PGconn *start_one(const struct pg *pg)
{
    PGconn *handle = PQconnectStartParams(pg->keywords, pg->values, 0);

    (void)PQsetNoticeReceiver(handle, ignore_notice, NULL);
    (void)PQsetErrorVerbosity(handle, PQERRORS_VERBOSE); /* only so a refusal has its SQLSTATE */
    return handle;
}

static enum status start_connecting(struct pg *pg, struct pg_connection *connection, struct err *err)
{
    bool is_changed = false;

    connection->handle = start_one(pg);
    if (connection->handle == NULL)
        return no_memory(err);
    if (!demand_verification(pg, connection->handle, &is_changed))
        return no_memory(err);
    if (!is_changed)
        return ST_OK;
    PQfinish(connection->handle);
    connection->handle = start_one(pg);
    return connection->handle != NULL ? ST_OK : no_memory(err);
}

static enum status run_words(struct pg *pg, struct pg_connection *connection, const char *sql,
                             enum trouble *trouble_out, struct err *err);

static enum status open_connection(struct pg *pg, struct pg_connection *connection, enum trouble *trouble_out,
                                   struct err *err)
{
    enum status status;

    *trouble_out = TROUBLE_FINAL;
    if (connection->is_prepared == NULL)
        connection->is_prepared = calloc(pg->statement_count + 1, sizeof *connection->is_prepared);
    if (connection->is_prepared == NULL)
        return no_memory(err);
    status = start_connecting(pg, connection, err);
    if (status == ST_OK && !finish_connecting(connection))
        status = fail_connection(connection, "connect", trouble_out, err);
    if (status == ST_OK && PQsetnonblocking(connection->handle, 1) != 0)
        status = fail_connection(connection, "connect", trouble_out, err);
    if (status == ST_OK && pg->first != NULL)
        status = run_words(pg, connection, pg->first, trouble_out, err);
    if (status != ST_OK)
        disconnect(pg, connection);
    return status;
}

/* A connection that nobody reads from. */
static enum status take_connection(struct pg *pg, struct pg_connection **connection_out,
                                   enum trouble *trouble_out, struct err *err)
{
    struct pg_connection *connection = NULL;
    enum status status = ST_OK;

    for (size_t i = 0; connection == NULL && i < PG_CONNECTIONS_MAX; i++)
        if (!pg->connections[i].is_busy)
            connection = &pg->connections[i];
    *trouble_out = TROUBLE_FINAL;
    if (connection == NULL)
        return err_set(err, ST_INTERNAL, "fleet database: more than %d readings at once", PG_CONNECTIONS_MAX);
    if (connection->handle != NULL && PQstatus(connection->handle) != CONNECTION_OK)
        disconnect(pg, connection);
    if (connection->handle == NULL)
        status = open_connection(pg, connection, trouble_out, err);
    if (status == ST_OK)
        *connection_out = connection;
    return status;
}

enum status pg_open(const struct pg_settings *settings, struct pg **pg_out, struct err *err)
{
    struct pg *pg = calloc(1, sizeof *pg);
    struct pg_connection *connection;
    enum trouble trouble;
    enum status status;

    if (pg == NULL)
        return no_memory(err);
    arena_init(&pg->arena, SETTINGS_BYTES);
    pg->first = settings->first;
    pg->statements = settings->statements;
    pg->statement_count = settings->statement_count;
    status = take_settings(pg, settings, err);
    if (status == ST_OK)
        status = take_connection(pg, &connection, &trouble, err);
    if (status == ST_OK)
        *pg_out = pg;
    else
        pg_close(&pg);
    return status;
}

void pg_close(struct pg **pg)
{
    if (*pg == NULL)
        return;
    for (size_t i = 0; i < PG_CONNECTIONS_MAX; i++) {
        PQfinish((*pg)->connections[i].handle);
        free((*pg)->connections[i].is_prepared);
    }
    arena_done(&(*pg)->arena);
    free(*pg);
    *pg = NULL;
}

const char *pg_server_setting(const struct pg *pg, const char *name)
{
    const char *value =
        pg->connections[0].handle != NULL ? PQparameterStatus(pg->connections[0].handle, name) : NULL;

    return value != NULL ? value : "";
}

/* ---- rows ---- */

/* libpq gives NULL for a column that is not there. */
const char *pg_text(const struct pg_row *row, int column)
{
    const char *text = PQgetvalue(row->result, row->number, column);

    return text != NULL ? text : "";
}

int64_t pg_int(const struct pg_row *row, int column)
{
    long long number = strtoll(pg_text(row, column), NULL, 10);

    if (number > PG_INT_MAX)
        return PG_INT_MAX;
    return number < -PG_INT_MAX ? -PG_INT_MAX : number;
}

int64_t pg_count(const struct pg_row *row, int column)
{
    int64_t number = pg_int(row, column);

    return number > 0 ? number : 0;
}

bool pg_is_null(const struct pg_row *row, int column)
{
    return PQgetisnull(row->result, row->number, column) != 0;
}

const void *pg_bytes(const struct pg_row *row, int column, struct arena *arena, size_t *len_out)
{
    unsigned char *bytes = PQunescapeBytea((const unsigned char *)pg_text(row, column), len_out);
    void *copy = bytes != NULL ? arena_alloc(arena, *len_out + 1) : NULL;

    if (copy != NULL)
        memcpy(copy, bytes, *len_out);
    PQfreemem(bytes);
    return copy;
}

/* ---- one statement ---- */

/* Everything is sent; what the server says meanwhile is read, so that neither waits for the other. */
static bool flush_all(const struct pg_connection *connection, int64_t end_ms)
{
    int left;

    while ((left = PQflush(connection->handle)) == 1)
        if (!wait_socket(connection, true, end_ms) || PQconsumeInput(connection->handle) == 0)
            return false;
    return left == 0;
}

/* The next result, or NULL where libpq gives NULL; false when the connection is lost or the time over. */
static bool next_result(const struct pg_connection *connection, int64_t end_ms, PGresult **result_out)
{
    if (!flush_all(connection, end_ms))
        return false;
    while (PQisBusy(connection->handle) != 0)
        if (!wait_socket(connection, false, end_ms) || PQconsumeInput(connection->handle) == 0)
            return false;
    *result_out = PQgetResult(connection->handle);
    return true;
}

/* A copy that nobody asked for: libpq would hand out the same result for ever. */
static bool is_copy(const PGresult *result)
{
    ExecStatusType type = PQresultStatus(result);

    return type == PGRES_COPY_IN || type == PGRES_COPY_OUT || type == PGRES_COPY_BOTH;
}

/* Read to the end of one command; the last result that says something, for the caller to PQclear. */
static PGresult *last_result(const struct pg_connection *connection, int64_t end_ms)
{
    PGresult *last = NULL;
    PGresult *result;

    while (clock_monotonic_ms() < end_ms && next_result(connection, end_ms, &result)) {
        if (result == NULL)
            return last;
        PQclear(last);
        last = result;
        if (PQstatus(connection->handle) != CONNECTION_OK)
            return last;
        if (is_copy(result))
            break;
    }
    PQclear(last);
    return NULL;
}

static bool is_fine(const PGresult *result)
{
    ExecStatusType type = PQresultStatus(result);

    return type == PGRES_COMMAND_OK || type == PGRES_TUPLES_OK;
}

/*
 * The end of a command that gives no rows; frees result.  What is not known to be done, or not, needs a new
 * connection: on this one it would be done twice.
 */
static enum status end_command(struct pg *pg, struct pg_connection *connection, PGresult *result,
                               const char *sql, enum trouble *trouble_out, struct err *err)
{
    enum status status = ST_OK;

    if (result == NULL)
        status = fail_connection(connection, sql, trouble_out, err);
    else if (!is_fine(result))
        status = fail_result(connection, result, sql, trouble_out, err);
    if (result == NULL || (status != ST_OK && *trouble_out == TROUBLE_LOST))
        disconnect(pg, connection);
    PQclear(result);
    return status;
}

/* A command whose words are fixed: BEGIN, COMMIT, a migration. */
static enum status run_words(struct pg *pg, struct pg_connection *connection, const char *sql,
                             enum trouble *trouble_out, struct err *err)
{
    const int64_t end_ms = clock_monotonic_ms() + PG_ANSWER_MS;
    PGresult *result = NULL;

    if (PQsendQuery(connection->handle, sql) == 1)
        result = last_result(connection, end_ms);
    return end_command(pg, connection, result, sql, trouble_out, err);
}

static const char *name_of(size_t statement, char name_out[16])
{
    (void)snprintf(name_out, 16, "s%zu", statement);
    return name_out;
}

static enum status prepare(struct pg *pg, struct pg_connection *connection, size_t statement,
                           enum trouble *trouble_out, struct err *err)
{
    const int64_t end_ms = clock_monotonic_ms() + PG_ANSWER_MS;
    const char *sql = pg->statements[statement];
    PGresult *result = NULL;
    enum status status;
    char name[16];

    if (connection->is_prepared[statement])
        return ST_OK;
    if (PQsendPrepare(connection->handle, name_of(statement, name), sql, 0, NULL) == 1)
        result = last_result(connection, end_ms);
    status = end_command(pg, connection, result, sql, trouble_out, err);
    if (status == ST_OK)
        connection->is_prepared[statement] = true;
    return status;
}

/* Values as libpq wants them: numbers as texts. */
struct arguments {
    int count;
    const char *values[PARAMETERS_MAX];
    int lengths[PARAMETERS_MAX];
    int formats[PARAMETERS_MAX];
    char numbers[PARAMETERS_MAX][24];
};

static void add_argument(struct arguments *arguments, const struct bind_value *value)
{
    int i = arguments->count++;

    switch (value->kind) {
    case BIND_INT:
        (void)snprintf(arguments->numbers[i], sizeof arguments->numbers[i], "%lld",
                       (long long)value->as.number);
        arguments->values[i] = arguments->numbers[i];
        break;
    case BIND_TEXT:
        arguments->values[i] = value->as.text;
        break;
    case BIND_BYTES:
    default:
        arguments->values[i] = value->len > 0 ? value->as.bytes : "";
        arguments->lengths[i] = (int)value->len;
        arguments->formats[i] = 1;
        break;
    }
}

/* With more values than PARAMETERS_MAX the statement lacks one, and fails. */
static bool send_prepared(const struct pg_connection *connection, size_t statement,
                          const struct bind_value *values, size_t count)
{
    struct arguments arguments = {.count = 0};
    char name[16];

    for (size_t i = 0; i < count && i < PARAMETERS_MAX; i++)
        add_argument(&arguments, &values[i]);
    return PQsendQueryPrepared(connection->handle, name_of(statement, name), arguments.count,
                               arguments.values, arguments.lengths, arguments.formats, 0) == 1;
}

struct pg_reading {
    size_t statement;
    const struct bind_value *values;
    size_t count;
    pg_row_fn *fn;
    void *context;
    int64_t rows;
    bool is_begun; /* fn has seen a row: not to be tried again */
    bool is_ended; /* by fn */
};

static enum status give_rows(struct pg_reading *reading, const PGresult *result, struct err *err)
{
    enum status status = ST_OK;

    for (int i = 0; status == ST_OK && reading->fn != NULL && i < PQntuples(result); i++) {
        const struct pg_row row = {result, i};

        reading->is_begun = true;
        status = reading->fn(reading->context, &row, err);
    }
    reading->is_ended = status != ST_OK;
    reading->rows += PQntuples(result);
    return status;
}

static int64_t changed_rows(PGresult *result)
{
    return strtoll(PQcmdTuples(result), NULL, 10);
}

/* The results of a reading, one row each, until the last, which has none. */
static enum status take_rows(struct pg_connection *connection, const char *sql, struct pg_reading *reading,
                             enum trouble *trouble_out, struct err *err)
{
    const int64_t end_ms = clock_monotonic_ms() + PG_READ_MS;
    enum status status = ST_OK;
    PGresult *result = NULL;

    while (status == ST_OK) {
        if (!next_result(connection, reading->is_begun ? clock_monotonic_ms() + PG_READ_MS : end_ms, &result))
            return fail_connection(connection, sql, trouble_out, err);
        if (result == NULL)
            return ST_OK;
        if (PQresultStatus(result) == PGRES_SINGLE_TUPLE || is_fine(result)) {
            status = give_rows(reading, result, err);
            if (PQresultStatus(result) == PGRES_COMMAND_OK)
                reading->rows = changed_rows(result);
        } else {
            status = fail_result(connection, result, sql, trouble_out, err);
        }
        PQclear(result);
    }
    return status;
}

static enum status query_once(struct pg *pg, struct pg_reading *reading, enum trouble *trouble_out,
                              struct err *err)
{
    const char *sql = pg->statements[reading->statement];
    struct pg_connection *connection;
    enum status status = take_connection(pg, &connection, trouble_out, err);

    if (status == ST_OK)
        status = prepare(pg, connection, reading->statement, trouble_out, err);
    if (status != ST_OK)
        return status;
    connection->is_busy = true;
    if (!send_prepared(connection, reading->statement, reading->values, reading->count) ||
        (reading->fn != NULL && PQsetSingleRowMode(connection->handle) == 0))
        status = fail_connection(connection, sql, trouble_out, err);
    else
        status = take_rows(connection, sql, reading, trouble_out, err);
    connection->is_busy = false;
    if (status != ST_OK) /* whatever is still to come is not wanted */
        disconnect(pg, connection);
    return status;
}

static enum status query(struct pg *pg, struct pg_reading *reading, struct err *err)
{
    struct retry retry = retry_begin();
    enum trouble trouble;
    enum status status;

    do {
        trouble = TROUBLE_FINAL;
        reading->rows = 0;
        status = query_once(pg, reading, &trouble, err);
    } while (status != ST_OK && trouble != TROUBLE_FINAL && !reading->is_begun && retry_wait(&retry));
    return status;
}

enum status pg_query(struct pg *pg, size_t statement, const struct bind_value *values, size_t count,
                     pg_row_fn *fn, void *context, struct err *err)
{
    struct pg_reading reading = {
        .statement = statement, .values = values, .count = count, .fn = fn, .context = context};

    return query(pg, &reading, err);
}

enum status pg_change(struct pg *pg, size_t statement, const struct bind_value *values, size_t count,
                      int64_t *rows_out, struct err *err)
{
    struct pg_reading reading = {.statement = statement, .values = values, .count = count};
    enum status status = query(pg, &reading, err);

    if (status == ST_OK && rows_out != NULL)
        *rows_out = reading.rows;
    return status;
}

enum status pg_run(struct pg *pg, const char *sql, struct err *err)
{
    struct retry retry = retry_begin();
    struct pg_connection *connection = NULL;
    enum trouble trouble;
    enum status status;

    do {
        status = take_connection(pg, &connection, &trouble, err);
        if (status == ST_OK)
            status = run_words(pg, connection, sql, &trouble, err);
    } while (status != ST_OK && trouble != TROUBLE_FINAL && retry_wait(&retry));
    return status;
}

/* ---- batches ---- */

enum status pg_batch_new(struct pg_batch **batch_out, struct err *err)
{
    struct pg_batch *batch = calloc(1, sizeof *batch);

    if (batch == NULL)
        return no_memory(err);
    arena_init(&batch->arena, BATCH_BYTES_MAX);
    *batch_out = batch;
    return ST_OK;
}

void pg_batch_free(struct pg_batch **batch)
{
    if (*batch == NULL)
        return;
    arena_done(&(*batch)->arena);
    free((*batch)->entries);
    free(*batch);
    *batch = NULL;
}

void pg_batch_reset(struct pg_batch *batch)
{
    arena_reset(&batch->arena);
    batch->count = 0;
}

size_t pg_batch_count(const struct pg_batch *batch)
{
    return batch->count;
}

size_t pg_batch_bytes(const struct pg_batch *batch)
{
    return batch->arena.used_bytes;
}

int64_t pg_batch_changed(const struct pg_batch *batch)
{
    return batch->count > 0 ? batch->entries[batch->count - 1]->changed_rows : 0;
}

/* A value that lives in the batch's arena; false: out of memory. */
static bool copy_value(struct pg_batch *batch, const struct bind_value *value, struct bind_value *copy_out)
{
    bool is_text = value->kind == BIND_TEXT && value->as.text != NULL;
    const char *bytes = is_text ? value->as.text : value->as.bytes;
    char *copy;

    *copy_out = *value;
    if (!is_text && value->kind != BIND_BYTES)
        return true;
    copy = arena_copy_text(&batch->arena, bytes, is_text ? strlen(bytes) : value->len);
    if (is_text)
        copy_out->as.text = copy;
    else
        copy_out->as.bytes = copy;
    return copy != NULL;
}

static bool grow(struct pg_batch *batch)
{
    size_t capacity = batch->capacity > 0 ? 2 * batch->capacity : 64;
    struct entry **entries;

    if (batch->count < batch->capacity)
        return true;
    entries = realloc(batch->entries, capacity * sizeof(struct entry *));
    if (entries == NULL)
        return false;
    batch->entries = entries;
    batch->capacity = capacity;
    return true;
}

enum status pg_batch_add(struct pg_batch *batch, size_t statement, const struct bind_value *values,
                         size_t count, int64_t least_rows, struct err *err)
{
    struct entry *entry =
        grow(batch) ? arena_alloc(&batch->arena, sizeof *entry + count * sizeof values[0]) : NULL;

    if (entry == NULL)
        return no_memory(err);
    entry->statement = statement;
    entry->least_rows = least_rows;
    entry->changed_rows = 0;
    entry->count = count;
    for (size_t i = 0; i < count; i++)
        if (!copy_value(batch, &values[i], &entry->values[i]))
            return no_memory(err);
    batch->entries[batch->count++] = entry;
    return ST_OK;
}

static bool send_part(const struct pg_connection *connection, const struct pg_batch *batch, size_t first,
                      size_t end)
{
    for (size_t i = first; i < end; i++) {
        const struct entry *entry = batch->entries[i];

        if (!send_prepared(connection, entry->statement, entry->values, entry->count))
            return false;
    }
    return PQpipelineSync(connection->handle) == 1;
}

/* The answer to one statement of a batch; only the first failure counts, the server skips the rest. */
static void judge(const struct pg *pg, const struct pg_connection *connection, struct entry *entry,
                  PGresult *result, enum status *status, enum trouble *trouble_out, struct err *err)
{
    const char *sql = pg->statements[entry->statement];

    if (*status != ST_OK)
        return;
    entry->changed_rows = changed_rows(result);
    if (!is_fine(result)) {
        *status = fail_result(connection, result, sql, trouble_out, err);
    } else if (entry->changed_rows < entry->least_rows) {
        *trouble_out = TROUBLE_FINAL;
        *status = err_set(err, ST_BUSY, "fleet database: somebody else has it by now: %.160s", sql);
    }
}

/* False: the connection is lost. */
static bool take_part(const struct pg *pg, const struct pg_connection *connection,
                      const struct pg_batch *batch, size_t first, size_t end, enum status *status,
                      enum trouble *trouble_out, struct err *err)
{
    const int64_t end_ms = clock_monotonic_ms() + PG_ANSWER_MS;
    PGresult *result = NULL;

    for (size_t i = first; i < end; i++) {
        result = last_result(connection, end_ms);
        if (result == NULL)
            return false;
        judge(pg, connection, batch->entries[i], result, status, trouble_out, err);
        PQclear(result);
    }
    if (!next_result(connection, end_ms, &result) || result == NULL)
        return false; /* the sync */
    PQclear(result);
    return true;
}

static enum status send_batch(struct pg *pg, struct pg_connection *connection, const struct pg_batch *batch,
                              enum trouble *trouble_out, struct err *err)
{
    enum status status = ST_OK;
    bool is_whole = PQenterPipelineMode(connection->handle) == 1;

    for (size_t first = 0; is_whole && status == ST_OK && first < batch->count; first += SYNC_EVERY) {
        size_t end = first + SYNC_EVERY < batch->count ? first + SYNC_EVERY : batch->count;

        is_whole = send_part(connection, batch, first, end) &&
                   take_part(pg, connection, batch, first, end, &status, trouble_out, err);
    }
    if (is_whole && PQexitPipelineMode(connection->handle) == 1)
        return status;
    if (status == ST_OK)
        status = fail_connection(connection, "send a transaction", trouble_out, err);
    disconnect(pg, connection);
    return status;
}

static enum status prepare_batch(struct pg *pg, struct pg_connection *connection,
                                 const struct pg_batch *batch, enum trouble *trouble_out, struct err *err)
{
    enum status status = ST_OK;

    for (size_t i = 0; status == ST_OK && i < batch->count; i++)
        status = prepare(pg, connection, batch->entries[i]->statement, trouble_out, err);
    return status;
}

/* COMMIT says ROLLBACK where the transaction had failed: that was seen before. */
static enum status run_batch_once(struct pg *pg, const struct pg_batch *batch, enum trouble *trouble_out,
                                  struct err *err)
{
    struct pg_connection *connection;
    enum trouble ignored;
    enum status status = take_connection(pg, &connection, trouble_out, err);

    if (status == ST_OK)
        status = prepare_batch(pg, connection, batch, trouble_out, err);
    if (status == ST_OK)
        status = run_words(pg, connection, "BEGIN", trouble_out, err);
    if (status != ST_OK)
        return status;
    status = send_batch(pg, connection, batch, trouble_out, err);
    if (status == ST_OK)
        return run_words(pg, connection, "COMMIT", trouble_out, err);
    if (connection->handle != NULL)
        (void)run_words(pg, connection, "ROLLBACK", &ignored, NULL);
    return status;
}

enum status pg_batch_run(struct pg *pg, struct pg_batch *batch, struct err *err)
{
    struct retry retry = retry_begin();
    enum trouble trouble;
    enum status status;

    if (batch->count == 0)
        return ST_OK;
    do {
        trouble = TROUBLE_FINAL;
        status = run_batch_once(pg, batch, &trouble, err);
    } while (status != ST_OK && trouble != TROUBLE_FINAL && retry_wait(&retry));
    return status;
}
