/* SPDX-License-Identifier: MIT */
/*
 * Quick checks at fixed columns decide which form it is.  Local times need mktime(3), which is slow, so the
 * answer for the last minute is kept: the lines of one minute share it.
 */
#include "stamp.h"

#include <string.h>
#include <time.h>

#define SYSLOG_LEN 16 /* "Nov 21 18:23:07 " */
#define ISO_LEN    19 /* "2026-11-21T18:23:07" */
#define MINUTE_LEN 16 /* "2026-11-21T18:23" */

static const char MONTHS[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Does text follow the pattern?  '9' stands for a digit, '?' for a digit or blank, others for themselves. */
static bool follows(const char *text, const char *pattern)
{
    for (; *pattern != '\0'; pattern++, text++) {
        bool is_fit = *pattern == '9'   ? is_digit(*text)
                      : *pattern == '?' ? is_digit(*text) || *text == ' '
                                        : *text == *pattern;

        if (!is_fit)
            return false;
    }
    return true;
}

/* A quick look, enough to tell lines with a stamp from others; stamp_parse looks at every byte. */
static bool looks_like_syslog(const char *text)
{
    return text[3] == ' ' && text[6] == ' ' && text[9] == ':' && text[12] == ':' && text[15] == ' ';
}

static bool looks_like_iso(const char *text)
{
    return text[4] == '-' && text[7] == '-' && text[13] == ':' && text[16] == ':';
}

static bool is_syslog(struct span line)
{
    return line.len >= SYSLOG_LEN && follows(line.at + 3, " ?9 99:99:99 ");
}

static bool is_iso(struct span line)
{
    return line.len > ISO_LEN && (line.at[10] == 'T' || line.at[10] == ' ') &&
           follows(line.at, "9999-99-99") && follows(line.at + 11, "99:99:99");
}

static int two_digits(const char *text)
{
    return (text[0] == ' ' ? 0 : text[0] - '0') * 10 + (text[1] - '0');
}

/* Length of the fraction and zone after the seconds; *has_zone_out and *zone_s_out are the zone. */
static size_t zone_length(struct span rest, bool *has_zone_out, int64_t *zone_s_out)
{
    size_t at = 0;
    size_t zone_at;
    bool has_colon;

    *has_zone_out = false;
    if (at < rest.len && (rest.at[at] == '.' || rest.at[at] == ','))
        for (at++; at < rest.len && is_digit(rest.at[at]);)
            at++;
    if (at < rest.len && rest.at[at] == 'Z') {
        *has_zone_out = true;
        *zone_s_out = 0;
        return at + 1;
    }
    zone_at = at + (at < rest.len && rest.at[at] == ' ');
    if (rest.len < zone_at + 5 || (rest.at[zone_at] != '+' && rest.at[zone_at] != '-') ||
        !follows(rest.at + zone_at + 1, "99"))
        return at;
    has_colon = rest.at[zone_at + 3] == ':';
    if (rest.len < zone_at + 5 + has_colon || !follows(rest.at + zone_at + 3 + has_colon, "99"))
        return at;
    *has_zone_out = true;
    *zone_s_out =
        two_digits(rest.at + zone_at + 1) * 3600 + two_digits(rest.at + zone_at + 3 + has_colon) * 60;
    if (rest.at[zone_at] == '-')
        *zone_s_out = -*zone_s_out;
    return zone_at + 5 + has_colon;
}

size_t stamp_length(struct span line)
{
    bool has_zone;
    int64_t zone_s;
    size_t len;

    if (line.len >= SYSLOG_LEN && looks_like_syslog(line.at))
        return SYSLOG_LEN;
    if (line.len <= ISO_LEN || !looks_like_iso(line.at))
        return 0;
    len = ISO_LEN + zone_length((struct span){line.at + ISO_LEN, line.len - ISO_LEN}, &has_zone, &zone_s);
    return len < line.len && line.at[len] == ' ' ? len + 1 : 0;
}

/* Is it a time that exists?  mktime would silently make 1 March of 30 February. */
static bool make_time(struct tm broken, bool is_utc, int64_t *utc_s_out)
{
    struct tm wanted = broken;
    time_t utc_s;

    broken.tm_isdst = -1;
    utc_s = is_utc ? timegm(&broken) : mktime(&broken);
    if (broken.tm_mday != wanted.tm_mday || broken.tm_mon != wanted.tm_mon || utc_s < 0)
        return false;
    *utc_s_out = (int64_t)utc_s;
    return true;
}

static bool parse_clock(const char *text, struct tm *broken)
{
    broken->tm_hour = two_digits(text);
    broken->tm_min = two_digits(text + 3);
    return broken->tm_hour < 24 && broken->tm_min < 60;
}

/* Seconds of the whole minute of an ISO stamp. */
static bool parse_iso_minute(const char *text, bool is_utc, int64_t *minute_s_out)
{
    struct tm broken = {.tm_year = two_digits(text) * 100 + two_digits(text + 2) - 1900,
                        .tm_mon = two_digits(text + 5) - 1,
                        .tm_mday = two_digits(text + 8)};

    return parse_clock(text + 11, &broken) && make_time(broken, is_utc, minute_s_out);
}

/* The same for a stamp without a year: the latest one that is not more than a day ahead (8 years reach any 29
 * Feb). */
static bool parse_syslog_minute(const char *text, int64_t now_s, int64_t *minute_s_out)
{
    time_t now = (time_t)now_s;
    struct tm today;
    struct tm broken = {.tm_mday = two_digits(text + 4)};

    while (broken.tm_mon < 12 && memcmp(text, MONTHS[broken.tm_mon], 3) != 0)
        broken.tm_mon++;
    if (broken.tm_mon == 12 || !parse_clock(text + 7, &broken) || localtime_r(&now, &today) == NULL)
        return false;
    for (int back = -1; back <= 8; back++) {
        broken.tm_year = today.tm_year - back;
        if (make_time(broken, false, minute_s_out) && *minute_s_out <= now_s + 86400)
            return true;
    }
    return false;
}

/* As the two above, with the last answer remembered. */
static bool local_minute(struct stamp_reader *reader, const char *text, size_t len, int64_t *minute_s_out)
{
    bool is_same = memcmp(reader->minute, text, len) == 0 && reader->minute[len] == '\0' &&
                   reader->minute_now_s / 3600 == reader->now_s / 3600;
    bool is_ok;

    if (is_same) {
        *minute_s_out = reader->minute_s;
        return true;
    }
    is_ok = len == MINUTE_LEN ? parse_iso_minute(text, false, minute_s_out)
                              : parse_syslog_minute(text, reader->now_s, minute_s_out);
    if (is_ok) {
        memcpy(reader->minute, text, len);
        reader->minute[len] = '\0';
        reader->minute_s = *minute_s_out;
        reader->minute_now_s = reader->now_s;
    }
    return is_ok;
}

static bool add_seconds(const char *text, int64_t minute_s, int64_t *utc_s_out)
{
    if (two_digits(text) > 60)
        return false;
    *utc_s_out = minute_s + two_digits(text);
    return true;
}

bool stamp_parse(struct stamp_reader *reader, struct span line, int64_t *utc_s_out)
{
    bool has_zone;
    int64_t zone_s = 0;
    int64_t minute_s;

    if (is_syslog(line))
        return local_minute(reader, line.at, SYSLOG_LEN - 4, &minute_s) &&
               add_seconds(line.at + 13, minute_s, utc_s_out);
    if (!is_iso(line))
        return false;
    (void)zone_length((struct span){line.at + ISO_LEN, line.len - ISO_LEN}, &has_zone, &zone_s);
    if (has_zone ? !parse_iso_minute(line.at, true, &minute_s)
                 : !local_minute(reader, line.at, MINUTE_LEN, &minute_s))
        return false;
    return add_seconds(line.at + 17, minute_s - zone_s, utc_s_out);
}
