/* One connection: a request at a time, its body, and the answer. It can be made slow, see `network`. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

#include "arena.h"

#define BUFFER 65536
#define KEY 2100

typedef struct {  /* what carries a body in chunks, each with its size before it */
    int is_used, has_begun, has_ended;
    size_t left;
} Chunks;

typedef struct {
    int socket, is_last;
    char buffer[BUFFER + 1];
    size_t have, used;
    double free_at;  /* when the next byte may pass */
    char head[BUFFER + 1], *method, *headers, key[KEY], query[4096];
    size_t left;        /* of the body, where it says its length */
    Chunks chunks[3];   /* 1: of HTTP; 2: of AWS, inside those of HTTP where there are both */
} Connection;

extern volatile struct {
    double delay;  /* seconds before each answer */
    double rate;   /* bytes a second of a connection, each way; 0: no limit */
} network;
extern _Atomic long bytes_in, bytes_out;

int read_head(Connection *c);  /* 0: there is a request */
int is_control(Connection *c);  /* `/__...`: of the benchmark, and never late */
int header(Connection *c, const char *name, char *out, size_t size);    /* whether it is there; "" if not */
int argument(Connection *c, const char *name, char *out, size_t size);  /* of the query; the same */
void unquote(char *text);
size_t declared_length(Connection *c);
ssize_t read_body(Connection *c, char *to, size_t size);  /* 0 at the end, -1 if the connection broke */
char *text_body(Connection *c);
void skip_body(Connection *c);
void answer(Connection *c, const char *status, const char *headers, const char *text);
void answer_content(Connection *c, const char *status, const char *headers, Content content);
