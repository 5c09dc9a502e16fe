/* SPDX-License-Identifier: MIT */
/*
 * The text is held against the likely mistakes one after the other, from blanks and quotes in front to a version
 * that is at most three letters away from v=TLSRPTv1.
 */
#include "model/tlsrpt_typo.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "base/attr.h"

#define VERSION     "v=TLSRPTv1"
#define VERSION_LEN (sizeof VERSION - 1)

/* Texts that differ from the version by up to this many insertions, deletions, changes or swaps are meant as
 * it. */
#define TYPO_DISTANCE_MAX 3
#define TOKEN_MAX         16

#define BLANKS " \t\r\n"
#define QUOTES "\"'"

static const char *const WORDS[TLSRPT_TYPO_COUNT] = {
    [TLSRPT_TYPO_NONE] = "",
    [TLSRPT_TYPO_EMPTY] = "the record is empty",
    [TLSRPT_TYPO_LEADING_BLANK] = "a blank stands in front; the record must begin with v=TLSRPTv1;",
    [TLSRPT_TYPO_QUOTES] = "quotes have become part of the record; enter it without them",
    [TLSRPT_TYPO_BACKSLASH] = "a backslash stands before ';'; enter the record without it",
    [TLSRPT_TYPO_NO_SEMICOLON] = "a ';' is missing behind v=TLSRPTv1",
    [TLSRPT_TYPO_VERSION_NUMBER] = "the version must be exactly v=TLSRPTv1",
    [TLSRPT_TYPO_VERSION_CASE] = "upper and lower case count in the version; write v=TLSRPTv1",
    [TLSRPT_TYPO_VERSION_TYPO] = "the version is misspelt; write v=TLSRPTv1",
    [TLSRPT_TYPO_VERSION_BLANKS] = "the version must not have blanks in it; write v=TLSRPTv1",
    [TLSRPT_TYPO_VERSION_NOT_FIRST] = "the record must begin with v=TLSRPTv1; and not have it further behind",
    [TLSRPT_TYPO_NO_VERSION] = "the version is missing; put v=TLSRPTv1; in front",
    [TLSRPT_TYPO_OTHER_RECORD] = "it is a record of another kind, which does not belong at this name",
};

const char *tlsrpt_typo_words(enum tlsrpt_typo typo)
{
    return (size_t)typo < TLSRPT_TYPO_COUNT ? WORDS[typo] : "";
}

static bool is_same_word(struct span text, const char *word)
{
    return text.len == strlen(word) && strncasecmp(text.at, word, text.len) == 0;
}

static bool begins_with(struct span text, const char *word)
{
    return text.len >= strlen(word) && strncasecmp(text.at, word, strlen(word)) == 0;
}

static bool contains(struct span text, const char *word)
{
    for (; text.len > 0; text.at++, text.len--)
        if (begins_with(text, word))
            return true;
    return false;
}

static char fold(char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (char)(byte + 'a' - 'A') : byte;
}

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;

    return least < c ? least : c;
}

/*
 * Optimal string alignment distance of token (at most TOKEN_MAX bytes) and the version, case folded:
 * distance[i][j] is that of the first i and j bytes.
 */
static size_t distance_to_version(struct span token)
{
    size_t distance[TOKEN_MAX + 1][VERSION_LEN + 1];

    for (size_t i = 0; i <= token.len; i++) {
        for (size_t j = 0; j <= VERSION_LEN; j++) {
            bool is_same;

            if (i == 0 || j == 0) {
                distance[i][j] = i + j;
                continue;
            }
            is_same = fold(token.at[i - 1]) == fold(VERSION[j - 1]);
            distance[i][j] = min3(distance[i - 1][j] + 1, distance[i][j - 1] + 1,
                                  distance[i - 1][j - 1] + (is_same ? 0 : 1));
            if (i > 1 && j > 1 && fold(token.at[i - 1]) == fold(VERSION[j - 2]) &&
                fold(token.at[i - 2]) == fold(VERSION[j - 1]) && distance[i - 2][j - 2] + 1 < distance[i][j])
                distance[i][j] = distance[i - 2][j - 2] + 1;
        }
    }
    return distance[token.len][VERSION_LEN];
}

/* What is wrong behind a right version? */
static enum tlsrpt_typo typo_behind_version(struct span rest)
{
    if (rest.len > 0 && rest.at[0] == '\\')
        return TLSRPT_TYPO_BACKSLASH;
    if (rest.len > 0 && strchr(BLANKS "," QUOTES "r", rest.at[0]) == NULL)
        return TLSRPT_TYPO_VERSION_NUMBER;
    return TLSRPT_TYPO_NO_SEMICOLON;
}

/* What is wrong with a first word that is not the version? */
static enum tlsrpt_typo typo_of_token(struct span token)
{
    static const char *const OTHERS[] = {"v=spf1", "v=STSv1", "v=DMARC1", "v=DKIM1", "v=BIMI1"};

    for (size_t i = 0; i < ARRAY_COUNT(OTHERS); i++)
        if (is_same_word(token, OTHERS[i]))
            return TLSRPT_TYPO_OTHER_RECORD;
    if (is_same_word(token, VERSION))
        return TLSRPT_TYPO_VERSION_CASE;
    if (token.len > TOKEN_MAX || distance_to_version(token) > TYPO_DISTANCE_MAX)
        return TLSRPT_TYPO_NONE;
    return begins_with(token, "v=TLSRPTv") ? TLSRPT_TYPO_VERSION_NUMBER : TLSRPT_TYPO_VERSION_TYPO;
}

static bool is_blank_version(struct span text)
{
    struct cursor cursor;

    cursor_init(&cursor, text.at, text.len);
    cursor_expect(&cursor, "v");
    (void)cursor_skip_any(&cursor, BLANKS);
    cursor_expect(&cursor, "=");
    (void)cursor_skip_any(&cursor, BLANKS);
    cursor_expect(&cursor, "TLSRPTv1");
    return !cursor.is_failed;
}

enum tlsrpt_typo tlsrpt_typo_find(struct span text)
{
    struct cursor cursor;
    enum tlsrpt_typo typo;

    cursor_init(&cursor, text.at, text.len);
    if (cursor_at_end(&cursor))
        return TLSRPT_TYPO_EMPTY;
    if (cursor_skip_word(&cursor, VERSION))
        return typo_behind_version((struct span){cursor.at, (size_t)(cursor.end - cursor.at)});
    if (cursor_skip_any(&cursor, BLANKS) > 0 && cursor_skip_word(&cursor, VERSION))
        return TLSRPT_TYPO_LEADING_BLANK;
    if (cursor_skip_any(&cursor, BLANKS QUOTES) > 0 && cursor_skip_word(&cursor, VERSION))
        return TLSRPT_TYPO_QUOTES;
    typo = typo_of_token(cursor_take_until(&cursor, BLANKS QUOTES ";,\\"));
    if (typo != TLSRPT_TYPO_NONE)
        return typo;
    if (is_blank_version(text))
        return TLSRPT_TYPO_VERSION_BLANKS;
    if (contains(text, VERSION))
        return TLSRPT_TYPO_VERSION_NOT_FIRST;
    return contains(text, "rua=") ? TLSRPT_TYPO_NO_VERSION : TLSRPT_TYPO_NONE;
}
