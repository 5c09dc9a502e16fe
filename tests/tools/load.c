/* SPDX-License-Identifier: MIT */
/*
 * load - send outcomes to a collector's socket, as many as fast or as evenly as asked, and say how many went.
 *
 *   load --socket PATH [--case one|zipf|distinct|failures] [--senders N] [--count N] [--rate N] [--seed N]
 *        [--burst] [--until-refused]
 *
 * Without --rate senders block and send --count datagrams in all as fast as they can.  With --rate (in all,
 * per second) or --burst they do not wait: what finds the queue full is counted as lost.  --until-refused:
 * blocking, until the socket is gone.  Each sender is a process of its own, like smtp(8). Prints one line:
 * {"sent":N,"lost":N,"seconds":S,"cpu_seconds":S}.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ZIPF_DOMAINS     10000
#define DISTINCT_DOMAINS 200000
#define PICKS            (1 << 20) /* drawn beforehand; then again from the begin */
#define VARIANTS         4         /* of each domain in the case failures: about 30 % of sessions fail */
#define SENDERS_MAX      64
#define NS_PER_S         1000000000LL

struct arguments {
    const char *socket;
    const char *kind;
    int senders;
    long long count;
    long long rate;
    unsigned seed;
    int is_burst;
    int is_until_refused;
};

/* Datagrams one behind the other, and in which order they are sent. */
struct load {
    char *texts;
    size_t *offsets; /* of each datagram; one more than there are */
    uint32_t *picks; /* NULL: in order, each once */
    size_t datagrams;
};

struct shared {
    _Atomic int ready;
    _Atomic int go;
    _Atomic int stop;                /* SIGTERM came */
    _Atomic unsigned long long next; /* which pick comes next, over all senders */
    _Atomic unsigned long long sent;
    _Atomic unsigned long long lost;
};

static struct shared *shared; /* by all processes */

static void die(const char *doing)
{
    perror(doing);
    exit(1);
}

static void *allocate(size_t size)
{
    void *memory = malloc(size);

    if (memory == NULL)
        die("malloc");
    return memory;
}

static int64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- what is sent ---- */

/* xorshift64*: the same numbers for the same seed everywhere. */
static uint64_t draw(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1D;
}

static int format_success(char *out, size_t size, size_t number)
{
    if (number % 3 == 0)
        return snprintf(
            out, size,
            "{\"dpv\": \"1\",\"d\": \"d%zu.example\",\"pr\": \"v=TLSRPTv1; rua=mailto:tls@d%zu.example\","
            "\"policies\":[{\"policy-type\":2,\"policy-domain\": \"d%zu.example\",\"policy-string\":["
            "\"version: STSv1\",\"mode: enforce\",\"mx: *.d%zu.example\",\"max_age: 604800\"],"
            "\"mx-host\":[\"*.d%zu.example\"],\"t\":0,\"f\":0}]}",
            number, number, number, number, number);
    if (number % 3 == 1)
        return snprintf(
            out, size,
            "{\"dpv\": \"1\",\"d\": \"d%zu.example\",\"pr\": \"v=TLSRPTv1; rua=mailto:tls@d%zu.example\","
            "\"policies\":[{\"policy-type\":1,\"policy-domain\": \"mx.d%zu.example\",\"policy-string\":["
            "\"3 1 1 %064zX\"],\"t\":0,\"f\":0}]}",
            number, number, number, number);
    return snprintf(
        out, size,
        "{\"dpv\": \"1\",\"d\": \"d%zu.example\",\"pr\": \"v=TLSRPTv1; rua=mailto:tls@d%zu.example\","
        "\"policies\":[{\"policy-type\":9,\"policy-domain\": \"d%zu.example\",\"t\":0,\"f\":0}]}",
        number, number, number);
}

static int format_failure(char *out, size_t size, size_t number, size_t variant)
{
    return snprintf(
        out, size,
        "{\"dpv\": \"1\",\"d\": \"d%zu.example\",\"pr\": \"v=TLSRPTv1; "
        "rua=mailto:tls@d%zu.example\",\"policies\":["
        "{\"policy-type\":2,\"policy-domain\": \"d%zu.example\",\"policy-string\":[\"version: STSv1\","
        "\"mode: enforce\",\"mx: *.d%zu.example\",\"max_age: 604800\"],\"mx-host\":[\"*.d%zu.example\"],"
        "\"failure-details\":[{\"c\":205,\"s\": \"192.0.2.10\",\"n\": \"mx%zu.d%zu.example\",\"h\": "
        "\"250-mx%zu.d%zu.example\\r\\n250-PIPELINING\\r\\n250-SIZE 10240000\\r\\n250-STARTTLS\\r\\n250 "
        "CHUNKING\","
        "\"r\": \"198.51.100.%zu\",\"f\": \"self-signed_certificate\"}],\"t\":1,\"f\":1}]}",
        number, number, number, number, number, variant, number, variant, number, variant);
}

static void add_text(struct load *load, size_t *len, size_t number, size_t variant)
{
    char text[2048];
    int size = variant == 0 ? format_success(text, sizeof text, number)
                            : format_failure(text, sizeof text, number, variant);

    memcpy(load->texts + *len, text, (size_t)size);
    load->offsets[load->datagrams++] = *len;
    *len += (size_t)size;
    load->offsets[load->datagrams] = *len;
}

/* Zipf with exponent 1: the weight of domain k is 1 / k. */
static size_t draw_zipf(uint64_t *state, const double *sums)
{
    double wanted = (double)(draw(state) >> 11) / 9007199254740992.0 * sums[ZIPF_DOMAINS - 1];
    size_t low = 0, high = ZIPF_DOMAINS - 1;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (sums[middle] < wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void pick_zipf(struct load *load, size_t variants, unsigned seed)
{
    double *sums = allocate(ZIPF_DOMAINS * sizeof *sums);
    uint64_t state = 0x9E3779B97F4A7C15 + seed;

    for (size_t k = 0; k < ZIPF_DOMAINS; k++)
        sums[k] = (k > 0 ? sums[k - 1] : 0.0) + 1.0 / (double)(k + 1);
    load->picks = allocate(PICKS * sizeof *load->picks);
    for (size_t i = 0; i < PICKS; i++) {
        size_t domain = draw_zipf(&state, sums);
        size_t variant = variants > 1 && draw(&state) % 10 < 3 ? 1 + draw(&state) % (variants - 1) : 0;

        load->picks[i] = (uint32_t)(domain * variants + variant);
    }
    free(sums);
}

static struct load make_load(const struct arguments *arguments)
{
    int is_one = strcmp(arguments->kind, "one") == 0, is_distinct = strcmp(arguments->kind, "distinct") == 0;
    size_t domains = is_one ? 1 : is_distinct ? DISTINCT_DOMAINS : ZIPF_DOMAINS;
    size_t variants = strcmp(arguments->kind, "failures") == 0 ? VARIANTS : 1;
    struct load load = {.texts = allocate(domains * variants * 800),
                        .offsets = allocate((domains * variants + 1) * sizeof *load.offsets)};
    size_t len = 0;

    for (size_t domain = 0; domain < domains; domain++)
        for (size_t variant = 0; variant < variants; variant++)
            add_text(&load, &len, domain + arguments->seed, variant);
    if (!is_one && !is_distinct)
        pick_zipf(&load, variants, arguments->seed);
    return load;
}

/* ---- sending ---- */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        die(path);
    return fd;
}

/* 1: sent, 0: the queue was full, -1: the socket is gone or we are to stop. */
static int send_one(int fd, const struct load *load, unsigned long long number, int flags)
{
    size_t pick = load->picks != NULL ? load->picks[number % PICKS] : (size_t)(number % load->datagrams);
    size_t begin = load->offsets[pick], len = load->offsets[pick + 1] - begin;

    for (;;) {
        if (send(fd, load->texts + begin, len, flags | MSG_NOSIGNAL) >= 0)
            return 1;
        if (errno == EAGAIN || errno == ENOBUFS)
            return 0;
        if (errno != EINTR || atomic_load(&shared->stop))
            return -1;
    }
}

static void sleep_until(int64_t due_ns)
{
    struct timespec due = {.tv_sec = due_ns / NS_PER_S, .tv_nsec = due_ns % NS_PER_S};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
        ;
}

static void send_share(const struct arguments *arguments, const struct load *load, int sender)
{
    long long share = arguments->count / arguments->senders;
    int64_t gap_ns = arguments->rate > 0 ? NS_PER_S * arguments->senders / arguments->rate : 0;
    int flags = arguments->rate > 0 || arguments->is_burst ? MSG_DONTWAIT : 0;
    int fd = connect_to(arguments->socket);
    int64_t begin_ns;

    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    (void)atomic_fetch_add(&shared->ready, 1);
    while (!atomic_load(&shared->go))
        (void)usleep(200);
    begin_ns = now_ns() + gap_ns * sender / arguments->senders;
    for (long long i = 0; !atomic_load(&shared->stop) && (arguments->is_until_refused || i < share); i++) {
        int result;

        if (gap_ns > 0)
            sleep_until(begin_ns + i * gap_ns);
        result = send_one(fd, load, atomic_fetch_add(&shared->next, 1), flags);
        if (result < 0)
            break;
        (void)atomic_fetch_add(result > 0 ? &shared->sent : &shared->lost, 1);
    }
    _exit(0);
}

static void stop(int signal_number)
{
    (void)signal_number;
    atomic_store(&shared->stop, 1);
}

/* SIGTERM breaks a send that waits; the parent hands it on. */
static void prepare_to_stop(void)
{
    struct sigaction action = {.sa_handler = stop}; /* no SA_RESTART */

    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("mmap");
    (void)sigaction(SIGTERM, &action, NULL);
}

static void kill_all(const pid_t *children, int count)
{
    for (int i = 0; i < count; i++)
        (void)kill(children[i], SIGTERM);
}

static double cpu_seconds_of_children(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static void run(const struct arguments *arguments)
{
    struct load load = make_load(arguments);
    pid_t children[SENDERS_MAX];
    int64_t begin_ns;

    prepare_to_stop();
    for (int i = 0; i < arguments->senders; i++) {
        children[i] = fork();
        if (children[i] < 0)
            die("fork");
        if (children[i] == 0)
            send_share(arguments, &load, i);
    }
    while (atomic_load(&shared->ready) < arguments->senders)
        (void)usleep(200);
    printf("ready\n");
    (void)fflush(stdout);
    begin_ns = now_ns();
    atomic_store(&shared->go, 1);
    for (int i = 0; i < arguments->senders; i++)
        while (waitpid(children[i], NULL, 0) < 0 && errno == EINTR)
            kill_all(children, arguments->senders);
    printf("{\"sent\":%llu,\"lost\":%llu,\"seconds\":%.6f,\"cpu_seconds\":%.6f}\n",
           atomic_load(&shared->sent), atomic_load(&shared->lost), (double)(now_ns() - begin_ns) / 1e9,
           cpu_seconds_of_children());
    free(load.texts);
    free(load.offsets);
    free(load.picks);
}

int main(int argc, char **argv)
{
    static const struct option OPTIONS[] = {{"socket", required_argument, NULL, 's'},
                                            {"case", required_argument, NULL, 'c'},
                                            {"senders", required_argument, NULL, 'n'},
                                            {"count", required_argument, NULL, 'm'},
                                            {"rate", required_argument, NULL, 'r'},
                                            {"seed", required_argument, NULL, 'e'},
                                            {"burst", no_argument, NULL, 'b'},
                                            {"until-refused", no_argument, NULL, 'u'},
                                            {NULL, 0, NULL, 0}};
    struct arguments arguments = {.kind = "zipf", .senders = 1, .count = 100000};
    int option;

    while ((option = getopt_long(argc, argv, "", OPTIONS, NULL)) != -1) {
        switch (option) {
        case 's':
            arguments.socket = optarg;
            break;
        case 'c':
            arguments.kind = optarg;
            break;
        case 'n':
            arguments.senders = atoi(optarg);
            break;
        case 'm':
            arguments.count = atoll(optarg);
            break;
        case 'r':
            arguments.rate = atoll(optarg);
            break;
        case 'e':
            arguments.seed = (unsigned)atoi(optarg);
            break;
        case 'b':
            arguments.is_burst = 1;
            break;
        case 'u':
            arguments.is_until_refused = 1;
            break;
        default:
            return 64;
        }
    }
    if (arguments.socket == NULL || arguments.senders < 1 || arguments.senders > SENDERS_MAX || optind < argc)
        return 64;
    run(&arguments);
    return 0;
}
