/* SPDX-License-Identifier: MIT */
/*
 * null_receiver PATH - the fastest that a receiver of datagrams can be: recvmmsg and forget.  SIGTERM ends
 * it; then it prints {"received":N,"cpu_seconds":S}.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BATCH        32
#define BUFFER_BYTES (256 * 1024)
#define STRIDE_BYTES (BUFFER_BYTES + 4096 + 576) /* as the collector: no two in one set of the caches */

static volatile sig_atomic_t is_stopping;

static void stop(int signal_number)
{
    (void)signal_number;
    is_stopping = 1;
}

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
        perror(path);
        exit(1);
    }
    return fd;
}

static void prepare(struct mmsghdr *headers, struct iovec *vectors)
{
    char *buffers = calloc(BATCH, STRIDE_BYTES);

    if (buffers == NULL)
        exit(1);
    for (size_t i = 0; i < BATCH; i++) {
        vectors[i] = (struct iovec){.iov_base = buffers + i * STRIDE_BYTES, .iov_len = BUFFER_BYTES};
        headers[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &vectors[i], .msg_iovlen = 1}};
    }
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = stop}; /* no SA_RESTART: it breaks the wait */
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    unsigned long long received = 0;
    struct rusage usage;
    int fd;

    if (argc != 2)
        return 64;
    prepare(headers, vectors);
    (void)sigaction(SIGTERM, &action, NULL);
    fd = listen_on(argv[1]);
    printf("ready\n");
    (void)fflush(stdout);
    while (!is_stopping) {
        int count = recvmmsg(fd, headers, BATCH, MSG_WAITFORONE, NULL);

        if (count > 0)
            received += (unsigned)count;
    }
    (void)getrusage(RUSAGE_SELF, &usage);
    printf("{\"received\":%llu,\"cpu_seconds\":%.6f}\n", received,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    return 0;
}
