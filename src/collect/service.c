/* SPDX-License-Identifier: MIT */
#include "service.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cursor.h"

void service_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = path != NULL ? strlen(path) : 0;
    int fd;

    if (len == 0 || len >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; /* the abstract namespace */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    (void)close(fd);
}

/* A whole environment variable as a number; 0 if it is missing or something else. */
static uint64_t number_of(const char *name)
{
    const char *text = getenv(name);
    struct cursor cursor;
    uint64_t number;

    if (text == NULL)
        return 0;
    cursor_init(&cursor, text, strlen(text));
    number = cursor_take_number(&cursor, INT64_MAX);
    return cursor.is_failed || !cursor_at_end(&cursor) ? 0 : number;
}

int64_t service_watchdog_ms(void)
{
    uint64_t pid = number_of("WATCHDOG_PID");

    if (pid != 0 && pid != (uint64_t)getpid())
        return 0;
    return (int64_t)(number_of("WATCHDOG_USEC") / 2000);
}
