/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/attr.h"
#include "deliver/scheduler.h"

#define IDS_MAX         128
#define SCRIPT_LINE_MAX 80
#define BEGIN_S         INT64_C(1767258000) /* 2026-01-01T09:00:00Z */

static const struct scheduler_settings DEFAULTS = {
    .window = 16,
    .slots = 8,
    .destination_slots_first = 2,
    .destination_slots = 4,
    .delivery_ms = 60000,
    .stop_at_ms = 1000000,
};

/* What a script plays with. */
struct play {
    const char *what;
    const char *line;
    struct scheduler *scheduler;
    uint32_t rows[IDS_MAX]; /* by id */
    uint32_t slots[IDS_MAX];
};

static const char *const DISPOSITIONS[] = {
    [SCHEDULER_ADDED] = "added",
    [SCHEDULER_PRESENT] = "present",
    [SCHEDULER_LATER] = "later",
    [SCHEDULER_LEFT] = "left",
    [SCHEDULER_CLOSED] = "closed",
    [SCHEDULER_EXPIRED] = "expired",
    [SCHEDULER_OVER_DESTINATION] = "over-destination",
    [SCHEDULER_OVER_OWNER] = "over-owner",
};

static const char *yes_or_no(bool is_yes)
{
    return is_yes ? "yes" : "no";
}

static void check(const struct play *play, const char *got, const char *want)
{
    if (strcmp(got, want) != 0)
        fail_msg("%s: \"%s\": got %s", play->what, play->line, got);
}

/* "add ID OWNER DESTINATION DISPOSITION [known] [tried] [age=S] [sent=N] [own=N]" */
static void play_add(struct play *play, char *words[], size_t count)
{
    struct scheduler_row row = {.owner = words[2], .destination = words[3], .due_at_s = BEGIN_S};

    row.id = atoi(words[1]);
    for (size_t i = 5; i < count; i++) {
        const char *value = strchr(words[i], '=');
        long number = value != NULL ? strtol(value + 1, NULL, 10) : 0;

        row.is_known |= strcmp(words[i], "known") == 0;
        row.was_tried |= strcmp(words[i], "tried") == 0;
        if (strncmp(words[i], "age=", 4) == 0)
            row.due_at_s = BEGIN_S - number;
        else if (strncmp(words[i], "sent=", 5) == 0)
            row.destination_used = (uint64_t)number;
        else if (strncmp(words[i], "own=", 4) == 0)
            row.flow_used = (uint64_t)number;
    }
    check(play, DISPOSITIONS[scheduler_add(play->scheduler, &row, &play->rows[row.id])], words[4]);
}

/* "start ID", "lookup ID", "along ID-OF-SESSION ID"; an ID "-" means that there is none. */
static void play_start(struct play *play, const char *command, const char *session, const char *want)
{
    struct scheduler_start start = {.id = 0};
    char got[24] = "-";
    bool is_started;

    if (strcmp(command, "lookup") == 0)
        is_started = scheduler_next_lookup(play->scheduler, &start);
    else if (strcmp(command, "along") == 0)
        is_started = scheduler_next_along(play->scheduler, play->slots[atoi(session)], &start);
    else
        is_started = scheduler_next(play->scheduler, &start);
    if (is_started)
        (void)snprintf(got, sizeof got, "%d", (int)start.id);
    check(play, got, want);
    if (is_started && start.row != play->rows[start.id])
        fail_msg("%s: \"%s\": row %u", play->what, play->line, start.row);
    play->slots[start.id] = start.slot;
}

static bool play_result(struct play *play, const char *command, const char *id)
{
    static const char *const RESULTS[] = {
        [SCHEDULER_ACCEPTED] = "accept", [SCHEDULER_REFUSED] = "refuse",  [SCHEDULER_FAILED] = "fail",
        [SCHEDULER_DROPPED] = "drop",    [SCHEDULER_UNTRIED] = "untried",
    };
    size_t len = strlen(command);
    bool is_last = command[len - 1] == '!'; /* and its session is over */

    for (size_t i = 0; i < ARRAY_COUNT(RESULTS); i++)
        if (strncmp(command, RESULTS[i], len - is_last) == 0) {
            scheduler_result(play->scheduler, play->rows[atoi(id)], (enum scheduler_result)i);
            if (is_last)
                scheduler_release(play->scheduler, play->slots[atoi(id)]);
            return true;
        }
    return false;
}

/* "leaver ID DISPOSITION", "leaver -" */
static void play_leaver(struct play *play, char *words[])
{
    struct scheduler_leaver leaver;
    char got[24];

    if (!scheduler_next_leaver(play->scheduler, &leaver)) {
        check(play, "-", words[1]);
        return;
    }
    (void)snprintf(got, sizeof got, "%d", (int)leaver.id);
    check(play, got, words[1]);
    check(play, DISPOSITIONS[leaver.disposition], words[2]);
}

static void play_question(struct play *play, char *words[], size_t count)
{
    char got[24];

    if (strcmp(words[0], "page") == 0) /* "page known|new yes|no" */
        check(play, yes_or_no(scheduler_wants_page(play->scheduler, strcmp(words[1], "known") == 0)),
              words[2]);
    else if (strcmp(words[0], "end-page") == 0) /* "end-page known|new more|last" */
        scheduler_end_page(play->scheduler, strcmp(words[1], "known") == 0, strcmp(words[2], "last") == 0);
    else if (strcmp(words[0], "empty") == 0)
        check(play, yes_or_no(scheduler_is_empty(play->scheduler)), words[1]);
    else if (strcmp(words[0], "over") == 0)
        check(play, yes_or_no(scheduler_is_over(play->scheduler)), words[1]);
    else if (strcmp(words[0], "wake") == 0) {
        (void)snprintf(got, sizeof got, "%lld", (long long)(scheduler_wake_ms(play->scheduler) / 1000));
        check(play, got, words[1]);
    } else
        fail_msg("%s: \"%s\" with %zu words is no command", play->what, play->line, count);
}

static void play_line(struct play *play, char *words[], size_t count)
{
    const char *command = words[0];

    if (strcmp(command, "at") == 0)
        scheduler_tick(play->scheduler, atoi(words[1]) * INT64_C(1000), BEGIN_S + atoi(words[1]));
    else if (strcmp(command, "add") == 0)
        play_add(play, words, count);
    else if (strcmp(command, "start") == 0 || strcmp(command, "lookup") == 0)
        play_start(play, command, NULL, words[1]);
    else if (strcmp(command, "along") == 0)
        play_start(play, command, words[1], words[2]);
    else if (strcmp(command, "resolved") == 0)
        scheduler_resolved(play->scheduler, play->rows[atoi(words[1])]);
    else if (strcmp(command, "release") == 0)
        scheduler_release(play->scheduler, play->slots[atoi(words[1])]);
    else if (strcmp(command, "leaver") == 0)
        play_leaver(play, words);
    else if (count != 2 || !play_result(play, command, words[1]))
        play_question(play, words, count);
}

/* Lines end with ';'. */
static void play_script(struct play *play, const char *script)
{
    while (*script != '\0') {
        size_t len = strcspn(script, ";");
        char line[SCRIPT_LINE_MAX], shown[SCRIPT_LINE_MAX];
        char *words[12];
        char *rest = NULL;
        size_t count = 0;

        assert_true(len < sizeof line);
        (void)snprintf(line, sizeof line, "%.*s", (int)len, script);
        memcpy(shown, line, sizeof shown);
        play->line = shown;
        for (char *word = strtok_r(line, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
            assert_true(count < ARRAY_COUNT(words));
            words[count++] = word;
        }
        if (count > 0)
            play_line(play, words, count);
        script += len + (script[len] == ';');
    }
}

struct script {
    const char *what;
    const char *script;
    struct scheduler_settings settings; /* what is not 0 replaces the default */
};

static struct scheduler_settings settings_of(const struct script *script)
{
    const struct scheduler_settings *own = &script->settings;
    struct scheduler_settings settings = DEFAULTS;

    settings.lookups = own->lookups;
    settings.is_relay = own->is_relay;
    settings.max_per_destination = own->max_per_destination;
    settings.max_per_owner_and_destination = own->max_per_owner_and_destination;
    if (own->slots != 0)
        settings.slots = own->slots;
    if (settings.destination_slots > settings.slots)
        settings.destination_slots = settings.slots;
    if (settings.destination_slots_first > settings.slots)
        settings.destination_slots_first = settings.slots;
    return settings;
}

static void play_all(const struct script *scripts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct scheduler_settings settings = settings_of(&scripts[i]);
        struct play play = {.what = scripts[i].what};

        assert_int_equal(scheduler_new(&settings, &play.scheduler, NULL), ST_OK);
        scheduler_tick(play.scheduler, 0, BEGIN_S);
        play_script(&play, scripts[i].script);
        scheduler_free(&play.scheduler);
        assert_null(play.scheduler);
    }
}

#define SIX_ROWS(ten, owner, words)                                                                          \
    "add " #ten "0 " #owner " x added " words "; add " #ten "1 " #owner " x added " words "; add " #ten      \
    "2 " #owner " x added " words "; add " #ten "3 " #owner " x added " words "; add " #ten "4 " #owner      \
    " x added " words "; add " #ten "5 " #owner " x added " words ";"
#define TEN_ROWS(ten, owner, words)                                                                          \
    SIX_ROWS(ten, owner, words)                                                                              \
    "add " #ten "6 " #owner " x added " words "; add " #ten "7 " #owner " x added " words "; add " #ten      \
    "8 " #owner " x added " words "; add " #ten "9 " #owner " x added " words ";"

/* clang-format off */

static void test_slots_are_shared_fairly(void **state)
{
    static const struct script SCRIPTS[] = {
        {"owners take turns, however many rows one has",
         "add 1 a x added known; add 2 a x added known; add 3 a x added known;"
         "add 4 b y added known; add 5 c z added known;"
         "start 1; start -; accept! 1; start 4; accept! 4; start 5; accept! 5; start 2",
         {.slots = 1}},
        {"an owner's destinations take turns",
         "add 1 a x added known; add 2 a x added known; add 3 a y added known; add 4 a z added known;"
         "start 1; start 3; start 4; start 2",
         {.slots = 8}},
        {"the owner that has used less time comes first",
         "add 1 a x added known; add 2 a x added known; add 3 b y added known; add 4 b y added known;"
         "start 1; at 3; accept! 1; start 3; at 4; accept! 3; start 4; at 5; accept! 4; start 2",
         {.slots = 1}},
        {"what is under way counts",
         "add 1 a x added known; add 2 a x added known; add 3 b y added known; add 4 b y added known;"
         "start 1; start 3; at 4; accept! 1; start 2; at 5; accept! 3; start 4",
         {.slots = 2}},
        {"what hangs counts with its whole limit",
         "add 1 a x added known; add 2 a x added known; add 3 b y added known; add 4 b y added known;"
         "add 5 b y added known; add 6 b y added known;"
         "start 1; start 3; at 5; accept! 3; start 4; at 10; accept! 4; start 5; at 15; accept! 5; start 6;"
         "at 20; accept! 6; start 2",
         {.slots = 2}},
        {"an owner with nine destinations gets all of them served",
         "add 1 a a added known; add 2 a b added known; add 3 a c added known; add 4 a d added known;"
         "add 5 a e added known; add 6 a f added known; add 7 a g added known; add 8 a h added known;"
         "add 9 a i added known; start 1; start 2; start 3; start 4; start 5; start 6; start 7; start 8; start -;"
         "accept! 4; start 9",
         {.slots = 8}},
    };

    (void)state;
    play_all(SCRIPTS, ARRAY_COUNT(SCRIPTS));
}

static void test_destinations_start_slowly(void **state)
{
    static const struct script SCRIPTS[] = {
        {"a destination starts with two slots and gets one for each answer, up to its limit",
         "add 1 a x added known; add 2 a x added known; add 3 a x added known; add 4 a x added known;"
         "add 5 a x added known; add 6 a x added known; add 7 a x added known; add 8 a x added known;"
         "start 1; start 2; start -; accept! 1; start 3; start 4; start -; refuse! 2; start 5; start 6; start -;"
         "accept! 3; start 7; start -; accept! 4; start 8",
         {.slots = 8}},
        {"a failure takes one away",
         "add 1 a x added known; add 2 b x added known; add 3 c x added known; add 4 d x added known;"
         "add 5 e x added known; start 1; start 2; start -; accept! 1; start 3; start 4; fail! 2; start -;"
         "accept! 3; start 5; start -",
         {.slots = 8}},
        {"it keeps what it started with",
         "add 1 a x added known; add 2 b x added known; add 3 c x added known; add 4 d x added known;"
         "start 1; start 2; fail! 1; start 3; start -; fail! 2; start 4",
         {.slots = 8}},
        {"destinations without a success share a quarter",
         "add 1 a x added; add 2 b y added; add 3 c z added; start 1; start 2; start -; add 4 d k added known;"
         "start 4; start -; fail! 1; start 3; start -",
         {.slots = 8}},
        {"a success makes room for others",
         "add 1 a x added; add 2 a x added; add 3 b y added; add 4 c z added; start 1; start 3; start -;"
         "accept! 1; start 4; start 2; start -",
         {.slots = 8}},
        {"there is a quarter of one slot",
         "add 1 a x added; start 1; start -",
         {.slots = 1}},
    };

    (void)state;
    play_all(SCRIPTS, ARRAY_COUNT(SCRIPTS));
}

static void test_failures_close(void **state)
{
    static const struct script SCRIPTS[] = {
        {"one owner's failures close only its own way to a destination",
         "add 1 a x added known; add 2 a x added known; add 3 a x added known; add 4 a x added known;"
         "add 5 a y added known; add 6 b x added known; start 1; fail! 1; start 5; accept! 5; start 6; accept! 6;"
         "start 2; fail! 2; start 3; fail! 3; start -; leaver 4 closed; leaver -; add 7 a x closed known;"
         "add 8 b x added known; start 8; empty no; accept! 8; empty yes",
         {.slots = 8}},
        {"an answer starts the count again",
         "add 1 a x added known; add 2 a x added known; add 3 a x added known; add 4 a x added known;"
         "add 5 a x added known; start 1; fail! 1; start 2; fail! 2; start 3; refuse! 3; start 4; fail! 4;"
         "start 5; fail! 5; leaver -; add 6 a x added known",
         {.slots = 8}},
        {"five owners in a row close a destination that never worked",
         "add 1 a x added; add 2 b x added; add 3 c x added; add 4 d x added; add 5 e x added; add 6 f x added;"
         "start 1; start 2; fail! 1; fail! 2; start 3; start 4; fail! 3; fail! 4; start 5; fail! 5; start -;"
         "leaver 6 closed; leaver -; add 7 g x closed",
         {.slots = 8}},
        {"one owner in a row does not",
         "add 1 a x added; add 2 a x added; add 3 b x added; add 4 b x added; add 5 c x added; add 6 c x added;"
         "start 1; fail! 1; start 3; fail! 3; start 5; fail! 5; start 2; fail! 2; start 4; fail! 4; start 6",
         {.slots = 8}},
        {"a success between them counts",
         "add 1 a x added; add 2 b x added; add 3 c x added; add 4 d x added; add 5 e x added; add 6 f x added;"
         "start 1; fail! 1; start 2; fail! 2; start 3; fail! 3; start 4; accept! 4; start 5; fail! 5; start 6",
         {.slots = 8}},
        {"what ends for a reason of ours is neither a failure nor a success",
         "add 1 a x added; add 2 b x added; add 3 c x added; add 4 d x added; add 5 e x added; add 6 f x added;"
         "start 1; fail! 1; start 2; fail! 2; start 3; fail! 3; start 4; fail! 4; start 5; drop! 5; start 6; fail! 6;"
         "add 7 g x closed",
         {.slots = 8}},
        {"failures of five owners do not close a destination that has worked",
         "add 1 a x added known; add 2 b x added known; add 3 c x added known; add 4 d x added known;"
         "add 5 e x added known; add 6 f x added known; start 1; fail! 1; start 2; fail! 2; start 3; fail! 3;"
         "start 4; fail! 4; start 5; fail! 5; start 6; accept! 6",
         {.slots = 8}},
        {"sessions that reach no row end the run",
         "add 1 a x added; start 1; untried! 1; start 1; untried! 1; start 1; untried! 1; start 1; untried! 1;"
         "over no; start 1; untried! 1; start -; over yes; leaver 1 left; leaver -; add 1 a x left; empty yes",
         {.is_relay = true}},
        {"one that reaches a row starts the count again",
         "add 1 a x added; add 2 b x added; start 1; untried! 1; start 1; untried! 1; start 1; untried! 1;"
         "start 1; untried! 1; start 1; along 1 2; fail 1; untried! 2; start 2; untried! 2; over no",
         {.is_relay = true}},
    };

    (void)state;
    play_all(SCRIPTS, ARRAY_COUNT(SCRIPTS));
}

/* clang-format on */

static void test_twenty_owners_close_a_trusted_destination(void **state)
{
    struct play play = {.what = "twenty owners", .line = ""};
    char script[128];

    (void)state;
    assert_int_equal(scheduler_new(&DEFAULTS, &play.scheduler, NULL), ST_OK);
    scheduler_tick(play.scheduler, 0, BEGIN_S);
    for (int i = 1; i <= SCHEDULER_FAILURES_TRUSTED; i++) {
        (void)snprintf(script, sizeof script, "add %d o%d x added known; start %d; fail! %d", i, i, i, i);
        play_script(&play, script);
    }
    play_script(&play, "add 100 a x closed known");
    scheduler_free(&play.scheduler);
}

/* clang-format off */

static void test_lookups_come_first(void **state)
{
    static const struct script SCRIPTS[] = {
        {"one lookup for each destination, then its deliveries",
         "add 1 a x added; add 2 b x added; add 3 c y added; start -; lookup 1; lookup 3; lookup -; resolved 1;"
         "start 1; start 2; lookup -; resolved 3; start -; accept! 1; start 3",
         {.lookups = 8}},
        {"a failed lookup is the failure of its row, and the next row asks again",
         "add 1 a x added; add 2 b x added; lookup 1; fail 1; lookup 2; resolved 2; start 2; lookup -",
         {.lookups = 8}},
        {"known destinations are looked up first",
         "add 1 a p added; add 2 b q added; add 3 c r added known; add 4 d k added known; lookup 3; lookup 4; lookup -;"
         "resolved 3; lookup 1; lookup -; fail 4; lookup 2",
         {.lookups = 2}},
        {"a lookup counts as its owner's time",
         "add 1 a x added known; add 2 b y added known; lookup 1; lookup 2; at 8; resolved 1; at 9; resolved 2; start 1;"
         "start -",
         {.lookups = 8, .slots = 1}},
    };

    (void)state;
    play_all(SCRIPTS, ARRAY_COUNT(SCRIPTS));
}

static void test_sessions_carry_several_rows(void **state)
{
    static const struct script SCRIPTS[] = {
        {"rows of the same destination go along, owners in turn",
         "add 1 a x added known; add 2 a x added known; add 3 b x added known; add 4 c y added known; start 1;"
         "along 1 3; along 1 2; along 1 -; start 4; accept 1; accept 3; accept! 2",
         {.slots = 8}},
        {"to a relay all go along",
         "add 1 a x added; add 2 a x added; add 3 b y added; add 4 c z added; start 1; along 1 3; along 1 4;"
         "along 1 2; along 1 -; start -",
         {.is_relay = true, .slots = 2}},
        {"to a relay every session is as good as another",
         "add 1 a x added; add 2 b y added; add 3 c z added; start 1; start 2; start -; fail! 1; start 3",
         {.is_relay = true, .slots = 2}},
        {"untried rows are the next to go",
         "add 1 a x added; add 2 b x added; add 3 c x added; add 4 d x added; start 1; along 1 2; along 1 3;"
         "fail 1; untried 2; untried! 3; start 2; along 2 3; along 2 4",
         {.is_relay = true}},
        {"the time between two results is that of the second",
         "add 1 a x added; add 2 b x added; add 3 a x added; add 4 b x added; start 1; along 1 2; at 1; accept 1;"
         "at 4; accept! 2; start 3; along 3 4",
         {.is_relay = true}},
        {"sessions that could start share the rows",
         TEN_ROWS(1, a, "") SIX_ROWS(2, b, "known") TEN_ROWS(3, c, "known")
         "start 10; along 10 20; along 10 30; along 10 11; along 10 21; along 10 31; along 10 12; along 10 22;"
         "along 10 32; along 10 13; along 10 23; along 10 33; along 10 14; along 10 -; start 24",
         {.is_relay = true, .slots = 2}},
    };

    (void)state;
    play_all(SCRIPTS, ARRAY_COUNT(SCRIPTS));
}

static void test_limits_of_time(void **state)
{
    static const struct script SCRIPTS[] = {
        {"nothing is started when the run's time is up",
         "add 1 a x added known; add 2 b y added known; end-page new last; end-page known last; at 999; start 1;"
         "at 1000; start -; over yes; leaver 2 left; leaver -; wake 9223372036854775; add 3 c z left;"
         "empty no; fail! 1; empty yes",
         {.slots = 8}},
        {"what was not tried leaves then",
         "add 1 a x added known; at 999; start 1; at 1000; untried! 1; leaver 1 left; leaver -; empty yes",
         {.slots = 8}},
        {"a session that does not end after its last result",
         "add 1 a x added known; start 1; accept 1; empty no; release 1; empty yes",
         {.slots = 8}},
        {"a row expires a day after it was due, before it is added,",
         "add 1 a x expired age=86400; empty yes",
         {.slots = 8}},
        {"  while it waits,",
         "add 1 a x added known age=86390; add 2 b y added known; at 10; start 2; start -; leaver 1 expired; leaver -",
         {.slots = 8}},
        {"  or when the run ends",
         "add 1 a x added known age=85400; add 2 b y added known age=85399; at 1000; leaver 1 expired;"
         "leaver 2 left; leaver -",
         {.slots = 8}},
    };

    (void)state;
    play_all(SCRIPTS, ARRAY_COUNT(SCRIPTS));
}

static void test_budgets(void **state)
{
    static const struct script SCRIPTS[] = {
        {"of an owner at a destination",
         "add 1 a x added known; add 2 a x added known; add 3 a x added known; start 1; leaver -; start 2; start -;"
         "leaver 3 over-owner; leaver -; add 4 a x over-owner known; add 5 a y added known; add 6 b x added known",
         {.max_per_owner_and_destination = 2}},
        {"of a destination",
         "add 1 a x added known; add 2 b x added known; add 3 c x added known; start 1; start 2; start -;"
         "leaver 3 over-destination; leaver -; add 4 c x over-destination known; add 5 c y added known",
         {.max_per_destination = 2}},
        {"the ledger's counts are used",
         "add 1 a x over-destination known sent=9; add 2 a y over-owner known sent=3 own=3;"
         "add 3 a z added known sent=8",
         {.max_per_destination = 9, .max_per_owner_and_destination = 3}},
        {"the last quarter is for first reports",
         "add 1 a x added known sent=5 own=1; add 2 a x added known; start 1; leaver 2 over-destination;"
         "add 2 a x over-destination known sent=6; add 3 b x added known sent=6; add 4 c x over-destination known sent=8",
         {.max_per_destination = 8}},
        {"a retry has been counted before",
         "add 1 a x added known tried sent=9 own=9; start 1; leaver -",
         {.max_per_destination = 2, .max_per_owner_and_destination = 2}},
        {"what was not tried counts once",
         "add 1 a x added known; start 1; add 2 a x over-owner known; untried! 1; leaver -; start 1; fail! 1;"
         "add 2 a x over-owner known",
         {.max_per_owner_and_destination = 1}},
        {"what leaves without being started does not count",
         "add 1 a x added; add 2 a x added; at 1000; leaver 1 left; leaver 2 left; empty yes",
         {.max_per_owner_and_destination = 1}},
    };

    (void)state;
    play_all(SCRIPTS, ARRAY_COUNT(SCRIPTS));
}

/* clang-format on */

static void test_budgets_are_new_at_midnight(void **state)
{
    struct play play = {.what = "midnight", .line = ""};
    struct scheduler_settings settings = DEFAULTS;

    (void)state;
    settings.max_per_owner_and_destination = 1;
    assert_int_equal(scheduler_new(&settings, &play.scheduler, NULL), ST_OK);
    scheduler_tick(play.scheduler, 0, BEGIN_S);
    play_script(&play, "add 1 a x added known; start 1; add 2 a x over-owner known");
    scheduler_tick(play.scheduler, 1000, BEGIN_S + INT64_C(15) * 3600);
    play_script(&play, "add 2 a x added known; start 2; add 3 a x over-owner known");
    scheduler_free(&play.scheduler);
}

/* clang-format off */

static void test_window_and_pages(void **state)
{
    static const struct script SCRIPTS[] = {
        {"each half has room for its rows",
         TEN_ROWS(1, a, "known") SIX_ROWS(2, a, "known")
         "add 30 a x later known; add 31 b y added; add 10 a x present known; start 10; start 31; accept! 10;"
         "add 30 a x added known; add 40 a x later known",
         {.slots = 8}},
        {"the last row of the owner with most rows makes room for others",
         TEN_ROWS(1, a, "") SIX_ROWS(2, a, "")
         "add 30 b y added; add 25 a z later; add 31 b z added; add 24 a z later; add 32 c z added; start 10; start 30; start -",
         {.slots = 8}},
        {"so does that of the destination with most rows",
         "add 1 a x added; add 2 b x added; add 3 c x added; add 4 d x added; add 5 e x added; add 6 f x added;"
         "add 7 g x added; add 8 h x added; add 9 i y added; add 10 j y added; add 11 k y added; add 12 l y added;"
         "add 13 m z added; add 14 n z added; add 15 o z added; add 16 p z added; add 20 q k added; add 8 h x later;"
         "add 7 g x present; add 21 r k added; add 7 g x later",
         {.slots = 8}},
        {"among equals nobody does",
         "add 1 a a added; add 2 b b added; add 3 c c added; add 4 d d added; add 5 e e added; add 6 f f added;"
         "add 7 g g added; add 8 h h added; add 9 i i added; add 10 j j added; add 11 k k added; add 12 l l added;"
         "add 13 m m added; add 14 n n added; add 15 o o added; add 16 p p added; add 20 q q later; add 21 a a later",
         {.slots = 8}},
        {"what is under way stays",
         TEN_ROWS(1, a, "known") SIX_ROWS(2, a, "known")
         "start 10; start 11; add 30 b y added known; untried! 10; start 30; accept! 30; accept! 11; start 10",
         {.slots = 8}},
        {"a page is wanted at first, when half is free, and from time to time",
         "page known yes; page new yes;"
         SIX_ROWS(1, a, "known")
         "end-page known more; end-page new last; page known yes; page new no;"
         SIX_ROWS(2, a, "known")
         "end-page known more; page known no; at 14; page known no; page new no; at 15; page known yes; page new yes;"
         "end-page known last; wake 15; end-page new last; wake 30; at 1000; page new no",
         {.slots = 8}},
    };

    (void)state;
    play_all(SCRIPTS, ARRAY_COUNT(SCRIPTS));
}

/* clang-format on */

/* Many more owners and destinations than there are places for. */
static void test_places_are_used_again(void **state)
{
    struct scheduler_settings settings = DEFAULTS;
    struct scheduler *scheduler = NULL;

    (void)state;
    settings.slots = settings.destination_slots = 2;
    assert_int_equal(scheduler_new(&settings, &scheduler, NULL), ST_OK);
    scheduler_tick(scheduler, 0, BEGIN_S);
    for (int i = 1; i <= 5000; i++) {
        char owner[16], destination[16];
        const struct scheduler_row row = {
            .id = i, .owner = owner, .destination = destination, .due_at_s = BEGIN_S, .is_known = i % 3 == 0};
        struct scheduler_start start;
        uint32_t number;

        (void)snprintf(owner, sizeof owner, "o%d", i % 700);
        (void)snprintf(destination, sizeof destination, "d%d", i % 900);
        (void)scheduler_add(scheduler, &row, &number);
        if (i % 2 == 0 && scheduler_next(scheduler, &start)) {
            scheduler_result(scheduler, start.row, i % 4 == 0 ? SCHEDULER_ACCEPTED : SCHEDULER_FAILED);
            scheduler_release(scheduler, start.slot);
        }
    }
    scheduler_tick(scheduler, settings.stop_at_ms, BEGIN_S);
    for (struct scheduler_leaver leaver; scheduler_next_leaver(scheduler, &leaver);)
        assert_true(leaver.disposition == SCHEDULER_LEFT || leaver.disposition == SCHEDULER_CLOSED);
    assert_true(scheduler_is_empty(scheduler));
    scheduler_free(&scheduler);
}

/* Many others pass that make no trouble. */
static void test_failures_are_remembered(void **state)
{
    struct play play = {.what = "failures", .line = ""};
    char script[128];

    (void)state;
    assert_int_equal(scheduler_new(&DEFAULTS, &play.scheduler, NULL), ST_OK);
    scheduler_tick(play.scheduler, 0, BEGIN_S);
    play_script(&play,
                "add 1 a x added; start 1; fail! 1; add 2 a x added; start 2; fail! 2; add 3 a x added;"
                "start 3; fail! 3");
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(script, sizeof script, "add 4 o%d d%d added; start 4; accept! 4", i, i);
        play_script(&play, script);
    }
    play_script(&play, "add 5 a x closed; add 5 b x added");
    scheduler_free(&play.scheduler);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slots_are_shared_fairly),
        cmocka_unit_test(test_destinations_start_slowly),
        cmocka_unit_test(test_failures_close),
        cmocka_unit_test(test_twenty_owners_close_a_trusted_destination),
        cmocka_unit_test(test_lookups_come_first),
        cmocka_unit_test(test_sessions_carry_several_rows),
        cmocka_unit_test(test_limits_of_time),
        cmocka_unit_test(test_budgets),
        cmocka_unit_test(test_budgets_are_new_at_midnight),
        cmocka_unit_test(test_window_and_pages),
        cmocka_unit_test(test_places_are_used_again),
        cmocka_unit_test(test_failures_are_remembered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
