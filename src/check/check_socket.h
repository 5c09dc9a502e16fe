/* SPDX-License-Identifier: MIT */
/*
 * check_socket.h - does a process listen on a socket?
 */
#ifndef CHECK_CHECK_SOCKET_H
#define CHECK_CHECK_SOCKET_H

#include <stdbool.h>

enum socket_state {
    SOCKET_LISTENING,
    SOCKET_MISSING,
    SOCKET_DEAF,    /* the file is there, its listener is gone */
    SOCKET_OTHER,   /* something else has that name */
    SOCKET_UNKNOWN, /* it could not be tried; errno says why */
};

/* type: SOCK_DGRAM, or SOCK_STREAM for Exim's. */
enum socket_state check_socket_state(const char *path, int type);

/* Does systemd run this host? */
bool check_has_systemd(void);

/* The fix for a collector that does not run. */
const char *check_start_command(void);

#endif
