/* SPDX-License-Identifier: MIT */
#include "model/utc_day.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cursor.h"

int32_t utc_day_of(int64_t utc_s)
{
    int64_t day = utc_s / UTC_DAY_SECONDS;

    if (utc_s < 0)
        return 0;
    return day > UTC_DAY_MAX ? UTC_DAY_MAX : (int32_t)day;
}

int64_t utc_day_begin_s(int32_t utc_day)
{
    return (int64_t)utc_day * UTC_DAY_SECONDS;
}

int64_t utc_day_last_s(int32_t utc_day)
{
    return utc_day_begin_s(utc_day) + UTC_DAY_SECONDS - 1;
}

/* Of a time that four digits of the year can tell, or the nearest such. */
static struct tm broken_down(int64_t utc_s)
{
    const int64_t last_s = utc_day_last_s(UTC_DAY_MAX);
    time_t seconds = (time_t)(utc_s < 0 ? 0 : utc_s > last_s ? last_s : utc_s);
    struct tm tm = {0};

    (void)gmtime_r(&seconds, &tm);
    return tm;
}

void utc_day_format(int32_t utc_day, char text_out[UTC_DAY_TEXT_SIZE])
{
    struct tm tm = broken_down(utc_day_begin_s(utc_day));

    (void)strftime(text_out, UTC_DAY_TEXT_SIZE, "%Y-%m-%d", &tm);
}

void utc_stamp_format(int64_t utc_s, char text_out[UTC_STAMP_TEXT_SIZE])
{
    struct tm tm = broken_down(utc_s);

    (void)strftime(text_out, UTC_STAMP_TEXT_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

bool utc_day_parse(const char *text, int32_t *utc_day_out)
{
    char again[UTC_DAY_TEXT_SIZE];
    struct cursor cursor;
    struct tm tm = {0};
    int64_t seconds;

    cursor_init(&cursor, text, strlen(text));
    tm.tm_year = (int)cursor_take_number(&cursor, 9999) - 1900;
    cursor_expect(&cursor, "-");
    tm.tm_mon = (int)cursor_take_number(&cursor, 12) - 1;
    cursor_expect(&cursor, "-");
    tm.tm_mday = (int)cursor_take_number(&cursor, 31);
    if (cursor.is_failed || !cursor_at_end(&cursor))
        return false;
    seconds = timegm(&tm);
    if (seconds < 0)
        return false;
    utc_day_format(utc_day_of(seconds), again);
    if (strcmp(again, text) != 0)
        return false; /* 31st of a short month, or digits left out */
    *utc_day_out = utc_day_of(seconds);
    return true;
}
