/* SPDX-License-Identifier: MIT */
/*
 * How fast tlsrpt-gen-log reads, as a ratio to what nobody can beat: wc -l on the same file, which is in
 * memory.
 *
 * The logs are what busy servers write: DOMAINS domains, most mail to a few of them, one session in each
 * message, one in ten of which fails.  The datagrams are made and written (to /dev/null), only the collector
 * is left out.  Prints for each log: lines a second, the ratio, and the most memory that the reader had.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGES 250000
#define DOMAINS  5000
#define RUNS     5

/* The same numbers in each run. */
static double next_random(void)
{
    static uint64_t state = 1;

    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(state >> 33) / (double)(UINT64_C(1) << 31);
}

/* Small numbers come most often, as with domains in real traffic. */
static unsigned pick_domain(void)
{
    double x = next_random();

    return (unsigned)(x * x * x * DOMAINS);
}

static unsigned write_postfix(FILE *out, unsigned i)
{
    unsigned domain = pick_domain(), pid = 2000 + i % 50, second = i / 200;
    char stamp[40];

    (void)snprintf(stamp, sizeof stamp, "Nov 21 %02u:%02u:%02u mx1", second / 3600, second / 60 % 60,
                   second % 60);
    fprintf(out, "%s postfix/smtpd[%u]: %010X: client=host.example[192.0.2.%u]\n", stamp, pid, i, i % 250);
    fprintf(out, "%s postfix/cleanup[900]: %010X: message-id=<%u.x@host.example>\n", stamp, i, i);
    fprintf(out, "%s postfix/qmgr[901]: %010X: from=<u@host.example>, size=%u, nrcpt=1 (queue active)\n",
            stamp, i, i);
    if (i % 10 == 0)
        fprintf(
            out,
            "%s postfix/smtp[%u]: SSL_connect error to mx.d%u.example[198.51.100.7]:25: lost connection\n",
            stamp, pid, domain);
    else
        fprintf(out,
                "%s postfix/smtp[%u]: Trusted TLS connection established to mx.d%u.example[198.51.100.7]:25: "
                "TLSv1.3 with "
                "cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 server-signature RSA-PSS "
                "(2048 bits) "
                "server-digest SHA256\n",
                stamp, pid, domain);
    fprintf(out,
            "%s postfix/smtp[%u]: %010X: to=<user%u@d%u.example>, relay=mx.d%u.example[198.51.100.7]:25, "
            "delay=0.5, "
            "delays=0.1/0/0.2/0.2, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as %010X)\n",
            stamp, pid, i, i % 97, domain, domain, i);
    fprintf(out, "%s postfix/qmgr[901]: %010X: removed\n", stamp, i);
    return 6;
}

static unsigned write_exim(FILE *out, unsigned i)
{
    unsigned domain = pick_domain(), second = i / 200;
    char begin[60], line[200];

    (void)snprintf(begin, sizeof begin, "2026-11-21 %02u:%02u:%02u 1xU%03X-%06X-0l", second / 3600,
                   second / 60 % 60, second % 60, i % 4096, i);
    (void)snprintf(
        line, sizeof line,
        "user%u@d%u.example R=dnslookup T=remote_smtp%s H=mx.d%u.example [198.51.100.7]:25 I=[192.0.2.9]:%u",
        i % 97, domain, i % 10 == 0 ? " defer (-37)" : "", domain, 10000 + i % 50000);
    fprintf(out,
            "%s <= u@host.example H=host.example [192.0.2.%u] P=esmtps X=TLS1.3:x:256 CV=no S=%u "
            "id=%u.x@host.example\n",
            begin, i % 250, i, i);
    if (i % 10 == 0)
        fprintf(out,
                "%s == %s DT=0s: TLS session: (gnutls_handshake): The TLS connection was non-properly "
                "terminated.\n",
                begin, line);
    else
        fprintf(out,
                "%s => %s X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=yes "
                "DN=\"CN=mx.d%u.example\" K "
                "C=\"250 2.0.0 Ok: 376 bytes queued as %08X\" QT=0s DT=0s\n",
                begin, line, domain, i);
    fprintf(out, "%s Completed QT=0s\n", begin);
    return 3;
}

static double seconds_of(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

/*
 * Run it with its output thrown away; seconds of processor time that it took (one thread; what else the
 * machine does would count in any other time), or -1; *kb_out: most memory.
 */
static double run(const char *const *argv, long *kb_out)
{
    struct rusage usage;
    int code, nowhere;
    pid_t pid;

    pid = fork();
    if (pid == 0) {
        nowhere = open("/dev/null", O_WRONLY);
        (void)dup2(nowhere, STDOUT_FILENO);
        (void)dup2(nowhere, STDERR_FILENO);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &code, 0, &usage) != pid || code != 0)
        return -1;
    *kb_out = usage.ru_maxrss;
    return seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime);
}

/* The best of some runs: what else the machine does can only add. */
static double best_of(const char *const *argv, long *kb_out)
{
    double best = -1;

    for (int i = 0; i < RUNS; i++) {
        double seconds = run(argv, kb_out);

        if (seconds < 0)
            return -1;
        if (best < 0 || seconds < best)
            best = seconds;
    }
    return best;
}

static int measure(const char *mta, unsigned (*write_message)(FILE *, unsigned), const char *program)
{
    char path[] = "/tmp/tlsrpt-gen-log-bench.XXXXXX";
    const char *const COUNT[] = {"wc", "-l", path, NULL};
    const char *const READ[] = {program, "-c", "/dev/null", "--mta", mta, "--stdout", path, NULL};
    int fd = mkstemp(path);
    FILE *out = fd >= 0 ? fdopen(fd, "w") : NULL;
    double lines = 0, count_s, read_s;
    long kb = 0;

    if (out == NULL)
        return 1;
    for (unsigned i = 0; i < MESSAGES; i++)
        lines += write_message(out, i);
    (void)fclose(out);
    count_s = best_of(COUNT, &kb);
    read_s = best_of(READ, &kb);
    (void)unlink(path);
    if (count_s <= 0 || read_s <= 0)
        return 1;
    printf("log_%s_rate %.0f lines/s\n", mta, lines / read_s);
    printf("log_%s_ratio %.3f of_wc\n", mta, count_s / read_s);
    printf("log_%s_memory %ld KB\n", mta, kb);
    return 0;
}

int main(void)
{
    const char *build = getenv("BUILD");
    char program[4096];

    (void)snprintf(program, sizeof program, "%s/tlsrpt-gen-log", build != NULL ? build : "build");
    return measure("postfix", write_postfix, program) | measure("exim", write_exim, program);
}
