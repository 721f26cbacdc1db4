/* Where the bytes of objects live: one file in memory, touched before anything is timed. So no client pays for
 * the first touch of a page, and sendfile can send from it. The caller holds `lock` for all but `arena_open`. */
#pragma once
#include <pthread.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct {
    off_t at;
    size_t length;
    int references;
} Blob;

typedef struct {  /* a part of a blob; an object is some of these */
    Blob *blob;
    size_t from, length;
} Piece;

typedef struct {
    Piece *pieces;
    int count;
    size_t size;
} Content;

extern pthread_mutex_t lock;
extern char *arena;
extern int arena_file;

void arena_open(size_t size);
Blob *blob_new(size_t length);                                     /* NULL: the arena is full */
Content content_of(Blob *blob, size_t length);                     /* takes the reference of the caller */
Content content_slice(Content whole, size_t from, size_t length);  /* has references of its own */
void content_append(Content *content, Content more);               /* the same */
void content_drop(Content content);
