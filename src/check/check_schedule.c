/* SPDX-License-Identifier: MIT */
/*
 * Does anything start tlsrpt-gen regularly?  Looks for the timer's link that systemctl enable makes, then for a
 * line with a run of tlsrpt-gen in the tables and folders of cron.
 */
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "check_socket.h"
#include "checkup.h"

#define TABLE_BYTES_MAX (256UL << 10)
#define TIMER           "tlsrpt-gen.timer"

static const char *const TIMER_LINKS[] = {
    "/etc/systemd/system/timers.target.wants/" TIMER,
    "/usr/lib/systemd/system/timers.target.wants/" TIMER,
    "/run/systemd/system/timers.target.wants/" TIMER,
};

static const char *const CRON_FILES[] = {"/etc/crontab"};
static const char *const CRON_FOLDERS[] = {"/etc/cron.d", "/etc/cron.hourly", "/etc/cron.daily",
                                           "/var/spool/cron/crontabs", "/var/spool/cron"};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Do the arguments after the program's name make it a run, not a command such as status or push? */
static bool is_run(const char *at, size_t len)
{
    const char *end = at + len;
    bool is_value = false; /* the word before was -c or -o */

    if (len > 0 && !is_blank(*at))
        return false;
    while (at < end) {
        const char *word;

        while (at < end && is_blank(*at))
            at++;
        for (word = at; at < end && !is_blank(*at);)
            at++;
        if (!is_value && word < at && *word >= 'a' && *word <= 'z')
            return false;
        if (!is_value && word < at && *word != '-')
            return true; /* a redirection, or the shell's next command */
        is_value = !is_value && at - word == 2 && word[0] == '-' && (word[1] == 'c' || word[1] == 'o');
    }
    return true;
}

/* A line that is no comment and starts the generator, not one of its other programs. */
static bool is_job(const char *line, size_t len)
{
    static const char WORD[] = "tlsrpt-gen";
    const char *found = NULL;

    while (len > 0 && (*line == ' ' || *line == '\t')) {
        line++;
        len--;
    }
    if (len > 0 && *line != '#')
        found = memmem(line, len, WORD, strlen(WORD));
    for (; found != NULL; found = memmem(found + 1, (size_t)(line + len - found - 1), WORD, strlen(WORD))) {
        const char *behind = found + strlen(WORD);

        if (found > line && found[-1] == '/' && is_run(behind, (size_t)(line + len - behind)))
            return true;
    }
    return false;
}

static bool has_job(const char *path)
{
    struct strbuf text;
    bool is_found = false;

    strbuf_init(&text, TABLE_BYTES_MAX);
    if (file_read(path, &text, NULL) == ST_OK)
        for (const char *at = text.data; *at != '\0' && !is_found;) {
            size_t len = strcspn(at, "\n");

            is_found = is_job(at, len);
            at += len + (at[len] == '\n' ? 1 : 0);
        }
    strbuf_done(&text);
    return is_found;
}

/* The cron table that names us, in path_out; false if there is none. */
static bool find_cron(char *path_out, size_t size)
{
    for (size_t i = 0; i < ARRAY_COUNT(CRON_FILES); i++)
        if (has_job(CRON_FILES[i])) {
            (void)snprintf(path_out, size, "%s", CRON_FILES[i]);
            return true;
        }
    for (size_t i = 0; i < ARRAY_COUNT(CRON_FOLDERS); i++) {
        DIR *folder = opendir(CRON_FOLDERS[i]);
        const struct dirent *entry;
        bool is_found = false;

        while (folder != NULL && !is_found && (entry = readdir(folder)) != NULL) {
            (void)snprintf(path_out, size, "%s/%s", CRON_FOLDERS[i], entry->d_name);
            is_found = entry->d_name[0] != '.' && has_job(path_out);
        }
        if (folder != NULL)
            (void)closedir(folder);
        if (is_found)
            return true;
    }
    return false;
}

static bool find_timer(void)
{
    struct stat found;

    for (size_t i = 0; i < ARRAY_COUNT(TIMER_LINKS); i++)
        if (lstat(TIMER_LINKS[i], &found) == 0)
            return true;
    return false;
}

/* Our own path, for the line to add; the usual one if /proc does not say. */
static const char *own_path(char path_out[PATH_MAX])
{
    ssize_t len = readlink("/proc/self/exe", path_out, PATH_MAX - 1);

    if (len <= 0)
        return "/usr/sbin/tlsrpt-gen";
    path_out[len] = '\0';
    return path_out;
}

static const char *fix_for(struct checkup *checkup, bool has_systemd)
{
    char path[PATH_MAX];

    return has_systemd ? "run systemctl enable --now " TIMER
                       : checkup_format(checkup, "run echo '*/15 * * * * root %s' >/etc/cron.d/tlsrpt-gen",
                                        own_path(path));
}

void check_schedule(struct checkup *checkup)
{
    bool has_systemd = check_has_systemd();
    char path[PATH_MAX];

    if (has_systemd && find_timer())
        checkup_say(checkup, VERDICT_OK, "timer", NULL, "systemd starts tlsrpt-gen (" TIMER ")");
    else if (find_cron(path, sizeof path))
        checkup_say(checkup, VERDICT_OK, "timer", NULL, "cron starts tlsrpt-gen (%s)", path);
    else if (*checkup->config->fleet != '\0')
        checkup_say(
            checkup, VERDICT_WARN, "timer",
            checkup_format(checkup, "if this host is to do that too, %s", fix_for(checkup, has_systemd)),
            "nothing starts tlsrpt-gen here: other hosts of the fleet must build and deliver");
    else
        checkup_say(checkup, VERDICT_FAIL, "timer", fix_for(checkup, has_systemd),
                    "nothing starts tlsrpt-gen: reports would never go out");
}
