/* SPDX-License-Identifier: MIT */
/*
 * 1. Look into the parts level by level; each is a header and a body between two offsets of the message.
 * 2. Rank each leaf: its media type says it is a report, or its file name does, or it could be one.
 * 3. Decode the first of the best rank.
 */
#include "mail/mail_read.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "base/cursor.h"
#include "mail_decode.h"

#define TYPE_MAX 127 /* bytes of a media type */

enum rank {
    RANK_NONE,
    RANK_PLAIN_TYPE, /* application/json, application/gzip: many things are */
    RANK_NAME,       /* its file name ends as a report's does */
    RANK_TYPE,       /* application/tlsrpt+gzip or +json */
};

/* One entity: its header fields and its body. */
struct entity {
    struct span header;
    struct span body;
};

/* A message or part that waits to be looked into. */
struct pending_part {
    struct span text;
    size_t depth;    /* levels around it */
    bool is_message; /* a whole message, or a part of one */
};

struct part_search {
    struct arena *arena;
    struct report_envelope envelope;
    struct pending_part queue[MAIL_READ_PARTS_MAX];
    size_t queued, searched;
    enum rank rank;
    struct entity best;
    bool is_failed; /* memory */
};

/* ---- lines and header fields ---- */

/* Take one line off rest, without its end. */
static struct span take_line(struct span *rest)
{
    const char *end = memchr(rest->at, '\n', rest->len);
    size_t len = end != NULL ? (size_t)(end - rest->at) : rest->len;
    struct span line = {rest->at, len};
    size_t step = end != NULL ? len + 1 : len;

    rest->at += step;
    rest->len -= step;
    if (line.len > 0 && line.at[line.len - 1] == '\r')
        line.len--;
    return line;
}

/* Length of a field's name if the line is "Name:...", else 0. */
static size_t name_len(struct span line)
{
    size_t len = 0;

    while (len < line.len && line.at[len] > ' ' && line.at[len] < 0x7f && line.at[len] != ':')
        len++;
    return len < line.len && line.at[len] == ':' ? len : 0;
}

bool mail_read_is_mail(const char *bytes, size_t len)
{
    struct span rest = {bytes, len};
    struct span line = take_line(&rest);

    if (line.len >= 5 && memcmp(line.at, "From ", 5) == 0)
        return true;
    /* A JSON text begins with a quote or brace, which no field name does. */
    return name_len(line) > 0 && (isalpha((unsigned char)line.at[0]) != 0);
}

/* Split at the first empty line; an mbox line in front goes. */
static struct entity split(struct span text)
{
    struct span rest = text;
    struct span line = take_line(&rest);

    if (line.len >= 5 && memcmp(line.at, "From ", 5) == 0)
        text = rest;
    rest = text;
    while (rest.len > 0) {
        const char *begin = rest.at;

        if (take_line(&rest).len == 0)
            return (struct entity){{text.at, (size_t)(begin - text.at)}, rest};
    }
    return (struct entity){text, {rest.at, 0}};
}

/* Append a field's line or continuation; blanks in front of it become one. */
static void add_line(struct strbuf *value, struct span line)
{
    size_t blanks = 0;

    while (blanks < line.len && (line.at[blanks] == ' ' || line.at[blanks] == '\t'))
        blanks++;
    if (value->len > 0)
        strbuf_add_char(value, ' ');
    strbuf_add(value, line.at + blanks, line.len - blanks);
}

/* The first field of that name, unfolded, without blanks around; "" if there is none. */
static const char *find_field(struct part_search *search, struct span header, const char *name)
{
    struct span rest = header;
    bool is_found = false;
    struct strbuf value;
    const char *copy;

    strbuf_init(&value, MAIL_READ_FIELD_MAX);
    while (rest.len > 0 && !strbuf_is_failed(&value)) {
        struct span line = take_line(&rest);
        bool is_more = line.len > 0 && (line.at[0] == ' ' || line.at[0] == '\t');
        size_t len = name_len(line);

        if (is_found && !is_more)
            break;
        if (is_found) {
            add_line(&value, line);
        } else if (len == strlen(name) && strncasecmp(line.at, name, len) == 0) {
            is_found = true;
            add_line(&value, (struct span){line.at + len + 1, line.len - len - 1});
        }
    }
    while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
        value.len--;
    copy = arena_copy_text(search->arena, value.data, value.len);
    search->is_failed = search->is_failed || copy == NULL || strbuf_lacks_memory(&value);
    strbuf_done(&value);
    return copy != NULL ? copy : "";
}

/* ---- structured values: type/subtype; name=value; name="value" ---- */

static char *lower(char *text)
{
    for (char *at = text; *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    return text;
}

static const char *media_type(struct part_search *search, const char *content_type)
{
    size_t len = strcspn(content_type, "; \t");
    char *copy = arena_copy_text(search->arena, content_type, len < TYPE_MAX ? len : TYPE_MAX);

    if (copy == NULL) {
        search->is_failed = true;
        return "";
    }
    return lower(copy);
}

/* Take a token or a quoted string. */
static void take_value(struct cursor *cursor, struct strbuf *out)
{
    struct span token;

    if (!cursor_skip_word(cursor, "\"")) {
        token = cursor_take_until(cursor, "; \t");
        strbuf_add(out, token.at, token.len);
        return;
    }
    while (!cursor_at_end(cursor) && !cursor_skip_word(cursor, "\"")) {
        token = cursor_take_until(cursor, "\"\\");
        strbuf_add(out, token.at, token.len);
        if (cursor_skip_word(cursor, "\\") && !cursor_at_end(cursor)) {
            strbuf_add_char(out, cursor_peek(cursor));
            (void)cursor_skip_word(cursor, (const char[]){cursor_peek(cursor), '\0'});
        }
    }
}

/* Is the parameter called name, or name*0, name*1* ... (RFC 2231)? */
static bool is_parameter(struct span found, const char *name, bool *is_extended_out)
{
    size_t len = strlen(name);

    if (found.len < len || strncasecmp(found.at, name, len) != 0)
        return false;
    if (found.len > len && found.at[len] != '*')
        return false;
    *is_extended_out = found.len > len;
    return true;
}

/* RFC 2231: charset'language'text with %HH. */
static void decode_extended(struct strbuf *text)
{
    struct strbuf plain;
    const char *quote = strchr(text->data, '\'');
    const char *second = quote != NULL ? strchr(quote + 1, '\'') : NULL;

    strbuf_init(&plain, text->max_bytes);
    mail_decode_percent(second != NULL ? second + 1 : text->data, &plain);
    strbuf_reset(text);
    strbuf_add(text, plain.data, plain.len);
    strbuf_done(&plain);
}

/* The parameter's value, "" if it is not there. */
static const char *find_parameter(struct part_search *search, const char *field, const char *name,
                                  bool *is_extended_out)
{
    struct strbuf value;
    struct cursor cursor;
    const char *copy;

    *is_extended_out = false;
    strbuf_init(&value, MAIL_READ_FIELD_MAX);
    cursor_init(&cursor, field, strlen(field));
    (void)cursor_take_until(&cursor, ";");
    while (!cursor_at_end(&cursor)) {
        struct strbuf ignored;
        struct span found;
        bool is_extended = false, is_wanted;

        (void)cursor_skip_any(&cursor, "; \t");
        found = cursor_take_until(&cursor, "=; \t");
        (void)cursor_skip_any(&cursor, "= \t");
        is_wanted = is_parameter(found, name, &is_extended) && (value.len == 0 || is_extended);
        strbuf_init(&ignored, MAIL_READ_FIELD_MAX);
        take_value(&cursor, is_wanted ? &value : &ignored);
        search->is_failed = search->is_failed || strbuf_lacks_memory(&ignored);
        strbuf_done(&ignored);
        *is_extended_out = *is_extended_out || (is_wanted && is_extended);
    }
    if (*is_extended_out)
        decode_extended(&value);
    copy = arena_copy_text(search->arena, value.data, value.len);
    search->is_failed = search->is_failed || copy == NULL || strbuf_lacks_memory(&value);
    strbuf_done(&value);
    return copy != NULL ? copy : "";
}

/* ---- the parts ---- */

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcasecmp(text + len - end_len, end) == 0;
}

static enum rank rank_of(const char *type, const char *file_name)
{
    if (strcmp(type, "application/tlsrpt+gzip") == 0 || strcmp(type, "application/tlsrpt+json") == 0)
        return RANK_TYPE;
    if (ends_with(file_name, ".json") || ends_with(file_name, ".json.gz"))
        return RANK_NAME;
    if (strcmp(type, "application/json") == 0 || strcmp(type, "application/gzip") == 0 ||
        strcmp(type, "application/x-gzip") == 0)
        return RANK_PLAIN_TYPE;
    return RANK_NONE;
}

/* The name without what stands before its last slash. */
static const char *base_name(const char *name)
{
    const char *slash = strrchr(name, '/');

    return slash != NULL ? slash + 1 : name;
}

static void consider_leaf(struct part_search *search, const struct entity *entity, const char *content_type,
                          const char *type)
{
    bool is_extended, is_name_extended;
    const char *name = find_parameter(search, find_field(search, entity->header, "Content-Disposition"),
                                      "filename", &is_extended);
    const char *type_name = find_parameter(search, content_type, "name", &is_name_extended);
    enum rank rank;

    if (*name == '\0') {
        name = type_name;
        is_extended = is_name_extended;
    }
    rank = rank_of(type, name);
    if (rank != RANK_NONE && rank == search->rank)
        search->envelope.report_count++;
    if (rank <= search->rank)
        return;
    search->rank = rank;
    search->best = *entity;
    search->envelope.report_count = 1;
    search->envelope.part_type = type;
    search->envelope.file_name = base_name(name);
    search->envelope.is_name_extended = is_extended;
}

/* Is the line "--boundary" or, with *is_last_out, "--boundary--"? */
static bool is_delimiter(struct span line, const char *boundary, bool *is_last_out)
{
    size_t len = strlen(boundary);

    if (line.len < len + 2 || memcmp(line.at, "--", 2) != 0 || memcmp(line.at + 2, boundary, len) != 0)
        return false;
    *is_last_out = line.len >= len + 4 && memcmp(line.at + len + 2, "--", 2) == 0;
    return true;
}

/* A part without the line end that belongs to the delimiter behind it. */
static struct span part_between(const char *begin, const char *end)
{
    if (end > begin && end[-1] == '\n')
        end--;
    if (end > begin && end[-1] == '\r')
        end--;
    return (struct span){begin, (size_t)(end - begin)};
}

static void add_waiting(struct part_search *search, struct span text, size_t depth, bool is_message)
{
    if (depth <= MAIL_READ_DEPTH_MAX && search->queued < MAIL_READ_PARTS_MAX)
        search->queue[search->queued++] =
            (struct pending_part){.text = text, .depth = depth, .is_message = is_message};
}

/* Queue the parts of a body; how many there are. */
static size_t add_parts(struct part_search *search, struct span body, const char *boundary, size_t depth)
{
    const char *begin = NULL; /* of the part that is open */
    bool is_last = false;
    size_t count = 0;

    while (!is_last) {
        const char *line_begin = body.at;
        bool is_end = body.len == 0;

        if (is_end || is_delimiter(take_line(&body), boundary, &is_last)) {
            if (begin != NULL) {
                add_waiting(search, part_between(begin, line_begin), depth, false);
                count++;
            }
            begin = body.at;
        }
        if (is_end)
            break;
    }
    return count;
}

static void read_envelope(struct part_search *search, struct span header)
{
    const struct {
        const char *name;
        const char **value;
    } FIELDS[] = {
        {"Subject", &search->envelope.subject},
        {"From", &search->envelope.from},
        {"Date", &search->envelope.date},
        {"Message-ID", &search->envelope.message_id},
        {"TLS-Report-Domain", &search->envelope.tls_report_domain},
        {"TLS-Report-Submitter", &search->envelope.tls_report_submitter},
        {"TLS-Required", &search->envelope.tls_required},
        {"DKIM-Signature", &search->envelope.dkim_signature},
    };

    for (size_t i = 0; i < ARRAY_COUNT(FIELDS); i++)
        *FIELDS[i].value = find_field(search, header, FIELDS[i].name);
}

/* The outermost message is the envelope, unless a report was forwarded whole inside it. */
static void begin_message(struct part_search *search, const struct entity *entity, const char *type,
                          size_t depth)
{
    bool is_extended;

    if (depth > 0 && strcmp(type, "multipart/report") != 0)
        return;
    read_envelope(search, entity->header);
    search->envelope.media_type = type;
    search->envelope.report_type = find_parameter(search, find_field(search, entity->header, "Content-Type"),
                                                  "report-type", &is_extended);
}

static void search_part(struct part_search *search, const struct pending_part *waiting)
{
    struct entity entity = split(waiting->text);
    const char *content_type = find_field(search, entity.header, "Content-Type");
    const char *type = media_type(search, content_type);
    bool is_extended;
    size_t count;

    if (waiting->is_message)
        begin_message(search, &entity, type, waiting->depth);
    if (strncmp(type, "multipart/", 10) == 0) {
        count = add_parts(search, entity.body, find_parameter(search, content_type, "boundary", &is_extended),
                          waiting->depth + 1);
        if (waiting->is_message)
            search->envelope.part_count = count;
    } else if (strcmp(type, "message/rfc822") == 0) {
        add_waiting(search, entity.body, waiting->depth + 1, true);
    } else {
        consider_leaf(search, &entity, content_type, type);
    }
}

/* Everything, level by level. */
static void search_part_all(struct part_search *search, struct span text)
{
    add_waiting(search, text, 0, true);
    while (search->searched < search->queued && !search->is_failed)
        search_part(search, &search->queue[search->searched++]);
}

enum status mail_read_report(const char *bytes, size_t len, struct arena *arena, struct strbuf *report_out,
                             struct report_envelope *envelope_out, struct err *err)
{
    struct part_search search = {.arena = arena,
                                 .envelope = {.is_mail = true, .file_name = "", .part_type = ""}};
    struct span text = {bytes, len};

    search_part_all(&search, text);
    if (search.is_failed)
        return err_set(err, ST_NOMEM, "out of memory");
    if (search.rank == RANK_NONE)
        return err_set(
            err, ST_NOT_FOUND,
            "no TLSRPT report in it: it is neither JSON nor gzip, and as a mail it has no part that is "
            "application/tlsrpt+gzip or +json, or is called .json or .json.gz");
    mail_decode_body(find_field(&search, search.best.header, "Content-Transfer-Encoding"),
                     search.best.body.at, search.best.body.len, report_out);
    if (search.is_failed || strbuf_lacks_memory(report_out))
        return err_set(err, ST_NOMEM, "out of memory");
    if (strbuf_is_failed(report_out))
        return err_set(err, ST_RANGE, "the report in this mail is larger than %zu bytes",
                       report_out->max_bytes);
    *envelope_out = search.envelope;
    return ST_OK;
}
