/* The cheapest server that clients of S3 can be measured against: a thread for each connection, bodies received
 * into memory and sent from it by the kernel, no signature and hardly a checksum verified.
 *
 *     server PORT GIB     (0: any port; prints it)
 *
 * GET /__set?delay_ms=20&rate=25000000   each answer that much later; bytes a second of each connection
 * GET /__stats                           requests by kind, bytes, its CPU seconds; JSON
 * GET /__reset                           forget all objects and counts */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "objects.h"
#include "s3.h"

#define STACK (512 * 1024)

static _Atomic long connections, opened, most;

static void control(Connection *c) {
    static const char *names[] = {"get", "head", "put", "delete", "list", "create", "part", "complete", "abort",
                                  "copy", "other"};
    char text[1000], value[32], *out = text;
    if (!strcmp(c->key, "__set")) {
        if (argument(c, "delay_ms", value, sizeof value)) network.delay = atof(value) / 1000;
        if (argument(c, "rate", value, sizeof value)) network.rate = atof(value);
    } else if (!strcmp(c->key, "__reset")) {
        pthread_mutex_lock(&lock);
        objects_reset();
        pthread_mutex_unlock(&lock);
        for (int kind = 0; kind < KINDS; kind++) requests[kind] = 0;
        bytes_in = bytes_out = opened = 0;
        most = connections;
    }
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    out += sprintf(out, "{");
    for (int kind = 0; kind < KINDS; kind++) out += sprintf(out, "\"%s\": %ld, ", names[kind], requests[kind]);
    sprintf(out, "\"bytes_in\": %ld, \"bytes_out\": %ld, \"opened\": %ld, \"most_connections\": %ld, \"cpu\": %.6f}",
            bytes_in, bytes_out, opened, most, cpu);
    answer(c, "200 OK", "Content-Type: application/json\r\n", text);
}

static void *serve_connection(void *socket) {
    Connection *c = calloc(1, sizeof *c);
    c->socket = (int)(long)socket;
    long now = ++connections;
    opened++;
    if (now > most) most = now;
    while (!c->is_last && !read_head(c)) {
        if (is_control(c)) control(c); else serve(c);
    }
    connections--;
    close(c->socket);
    free(c);
    return NULL;
}

int main(int count, char **arguments) {
    if (count != 3) { fprintf(stderr, "usage: server PORT GIB\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);  /* who measures may be killed; this has much memory */
    arena_open((size_t)(atof(arguments[2]) * (1ul << 30)));
    int listening = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(atoi(arguments[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listening, (struct sockaddr *)&address, size) || listen(listening, 1024)) { perror("port"); return 1; }
    getsockname(listening, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, STACK);
    pthread_attr_setdetachstate(&small, PTHREAD_CREATE_DETACHED);
    for (;;) {
        pthread_t thread;
        int socket = accept(listening, NULL, NULL);
        if (socket < 0) continue;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        if (pthread_create(&thread, &small, serve_connection, (void *)(long)socket)) close(socket);
    }
}
