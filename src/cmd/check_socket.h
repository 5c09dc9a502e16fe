/* SPDX-License-Identifier: MIT */
/*
 * check_socket.h - is somebody listening on a datagram socket?
 */
#ifndef CMD_CHECK_SOCKET_H
#define CMD_CHECK_SOCKET_H

enum socket_state {
    SOCKET_LISTENING,
    SOCKET_MISSING,
    SOCKET_DEAF,    /* the file is there, its listener is gone */
    SOCKET_OTHER,   /* something else has that name */
    SOCKET_UNKNOWN, /* it could not be tried; errno says why */
};

enum socket_state check_socket_state(const char *path);

/* The mend for a collector that does not run. */
const char *check_start_command(void);

#endif
