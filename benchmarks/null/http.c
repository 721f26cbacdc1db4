#define _GNU_SOURCE
#include "http.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <time.h>

#define PACED 131072  /* bytes that pass at once where there is a rate */
#define BEHIND 0.01   /* seconds that a connection may catch up */
#define MIN(a, b) ((a) < (b) ? (a) : (b))
enum { WIRE, OF_HTTP, OF_AWS };

typeof(network) network;
_Atomic long bytes_in, bytes_out;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void sleep_until(double when) {
    struct timespec time = {(time_t)when, (long)((when - (time_t)when) * 1e9)};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) {}
}

static void pace(Connection *c, size_t bytes) {
    if (!network.rate) return;
    double time = now();
    if (c->free_at < time - BEHIND) c->free_at = time - BEHIND;
    c->free_at += bytes / network.rate;
    if (c->free_at > time) sleep_until(c->free_at);
}

/* ---- what arrives */

int read_head(Connection *c) {
    memmove(c->buffer, c->buffer + c->used, c->have -= c->used);
    c->used = 0;
    char *end;
    while (!(end = memmem(c->buffer, c->have, "\r\n\r\n", 4))) {
        ssize_t got = recv(c->socket, c->buffer + c->have, BUFFER - c->have, 0);
        if (got <= 0) return -1;
        c->have += got;
    }
    c->used = end + 4 - c->buffer;
    memcpy(c->head, c->buffer, c->used);
    c->head[c->used - 2] = 0;
    char *rest = c->head, text[128];
    c->method = strsep(&rest, " ");
    char *target = strsep(&rest, " "), *query = rest ? strchr(target, '?') : NULL;
    if (!rest || !(c->headers = strstr(rest, "\r\n"))) return -1;
    c->headers += 2;
    snprintf(c->query, sizeof c->query, "%s", query ? query + 1 : "");
    if (query) *query = 0;
    while (*target == '/') target++;
    snprintf(c->key, sizeof c->key, "%s", target);
    unquote(c->key);
    size_t length = strlen(c->key);
    if (length && strchr(c->key, '/') == c->key + length - 1) c->key[length - 1] = 0;  /* a bucket */

    c->left = header(c, "Content-Length", text, sizeof text) ? strtoul(text, NULL, 10) : 0;
    memset(c->chunks, 0, sizeof c->chunks);
    c->chunks[OF_HTTP].is_used = header(c, "Transfer-Encoding", text, sizeof text) && strcasestr(text, "chunked");
    header(c, "x-amz-content-sha256", text, sizeof text);
    c->chunks[OF_AWS].is_used = !strncmp(text, "STREAMING-", 10);
    c->is_last = header(c, "Connection", text, sizeof text) && !strcasecmp(text, "close");
    if (header(c, "Expect", text, sizeof text) && c->used == c->have)
        send(c->socket, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
    return 0;
}

int header(Connection *c, const char *name, char *out, size_t size) {
    size_t length = strlen(name);
    *out = 0;
    for (char *line = c->headers, *end; (end = strstr(line, "\r\n")); line = end + 2)
        if (!strncasecmp(line, name, length) && line[length] == ':') {
            line += length + 1;
            while (*line == ' ') line++;
            snprintf(out, size, "%.*s", (int)(end - line), line);
            return 1;
        }
    return 0;
}

int is_control(Connection *c) { return !strncmp(c->key, "__", 2); }

void unquote(char *text) {
    char *out = text;
    for (; *text; text++)
        if (*text == '%' && isxdigit(text[1]) && isxdigit(text[2])) {
            *out++ = strtol((char[]){text[1], text[2], 0}, NULL, 16);
            text += 2;
        } else {
            *out++ = *text;
        }
    *out = 0;
}

int argument(Connection *c, const char *name, char *out, size_t size) {
    size_t length = strlen(name);
    *out = 0;
    for (char *each = c->query, *end; *each; each = *end ? end + 1 : end) {
        end = strchrnul(each, '&');
        if (strncmp(each, name, length) || (each + length != end && each[length] != '=')) continue;
        if (each[length] == '=') snprintf(out, size, "%.*s", (int)(end - each - length - 1), each + length + 1);
        unquote(out);
        return 1;
    }
    return 0;
}

size_t declared_length(Connection *c) {
    char text[64];
    return header(c, "x-amz-decoded-content-length", text, sizeof text) ? strtoul(text, NULL, 10) : c->left;
}

/* Some bytes from the socket. Large pieces go to where they belong, without another copy. */
static ssize_t from_wire(Connection *c, char *to, size_t size) {
    if (c->used == c->have && size < 4096) {
        ssize_t got = recv(c->socket, c->buffer, BUFFER, 0);
        if (got <= 0) return -1;
        c->used = 0;
        c->have = got;
        pace(c, got);
    }
    if (c->used < c->have) {
        size = MIN(size, c->have - c->used);
        memcpy(to, c->buffer + c->used, size);
        c->used += size;
        return size;
    }
    int is_paced = network.rate > 0;
    ssize_t got = recv(c->socket, to, is_paced ? MIN(size, PACED) : size, is_paced ? 0 : MSG_WAITALL);
    if (got <= 0) return -1;
    pace(c, got);
    return got;
}

static ssize_t from_level(Connection *c, int level, char *to, size_t size);

/* A line of that level without its end, in `out`; -1 where there is none. */
static int line_of(Connection *c, int level, char *out, size_t size) {
    size_t length = 0;
    for (char byte;;) {
        if (from_level(c, level, &byte, 1) != 1) return -1;
        if (byte == '\n') break;
        if (byte != '\r' && length + 1 < size) out[length++] = byte;
    }
    out[length] = 0;
    return length;
}

static ssize_t from_level(Connection *c, int level, char *to, size_t size) {
    Chunks *chunks = &c->chunks[level];
    if (level == WIRE) {
        if (c->chunks[OF_HTTP].is_used) return from_wire(c, to, size);  /* the last chunk ends it */
        if (!c->left) return 0;
        ssize_t got = from_wire(c, to, MIN(size, c->left));
        if (got > 0) c->left -= got;
        return got;
    }
    if (!chunks->is_used) return from_level(c, level - 1, to, size);
    if (chunks->has_ended) return 0;
    if (!chunks->left) {
        char line[512];
        if (chunks->has_begun) line_of(c, level - 1, line, sizeof line);  /* the end of the one before */
        if (line_of(c, level - 1, line, sizeof line) < 0) return -1;
        chunks->has_begun = 1;
        if (!(chunks->left = strtoul(line, NULL, 16))) {
            while (line_of(c, level - 1, line, sizeof line) > 0) {}  /* checksums, behind the bytes */
            chunks->has_ended = 1;
            return 0;
        }
    }
    ssize_t got = from_level(c, level - 1, to, MIN(size, chunks->left));
    if (got > 0) chunks->left -= got;
    return got;
}

ssize_t read_body(Connection *c, char *to, size_t size) { return from_level(c, OF_AWS, to, size); }

char *text_body(Connection *c) {
    size_t room = 1 << 16, length = 0;
    char *text = malloc(room + 1);
    for (ssize_t got; (got = read_body(c, text + length, room - length)) > 0;)
        if ((length += got) == room) text = realloc(text, (room *= 2) + 1);
    text[length] = 0;
    return text;
}

void skip_body(Connection *c) {
    char sink[8192];
    for (int level = OF_AWS; level >= WIRE; level--)  /* also what is behind the last chunk */
        if (level > WIRE || !c->chunks[OF_HTTP].is_used)
            while (from_level(c, level, sink, sizeof sink) > 0) {}
}

/* ---- the answer */

static int send_all(Connection *c, const char *from, size_t size, int flags) {
    while (size) {
        ssize_t sent = send(c->socket, from, size, MSG_NOSIGNAL | flags);
        if (sent <= 0) { c->is_last = 1; return -1; }
        from += sent;
        size -= sent;
    }
    return 0;
}

static int send_head(Connection *c, const char *status, const char *headers, size_t length) {
    char head[4096];
    int size = snprintf(
        head, sizeof head,
        "HTTP/1.1 %s\r\nServer: null\r\nx-amz-request-id: 0\r\nDate: Sat, 28 Nov 2026 15:00:00 GMT\r\n"
        "%sContent-Length: %zu\r\n\r\n", status, headers, length);
    if (network.delay && !is_control(c)) sleep_until(now() + network.delay);
    return send_all(c, head, size, length && strcmp(c->method, "HEAD") ? MSG_MORE : 0);
}

void answer(Connection *c, const char *status, const char *headers, const char *text) {
    size_t length = strlen(text);
    if (!send_head(c, status, headers, length) && strcmp(c->method, "HEAD")) send_all(c, text, length, 0);
}

void answer_content(Connection *c, const char *status, const char *headers, Content content) {
    if (send_head(c, status, headers, content.size) || !strcmp(c->method, "HEAD")) return;
    for (int i = 0; i < content.count; i++) {
        Piece *piece = &content.pieces[i];
        off_t at = piece->blob->at + piece->from;
        for (size_t left = piece->length; left;) {
            ssize_t sent = sendfile(c->socket, arena_file, &at, network.rate ? MIN(left, PACED) : left);
            if (sent <= 0) { c->is_last = 1; return; }
            left -= sent;
            bytes_out += sent;
            pace(c, sent);
        }
    }
}
