#define _GNU_SOURCE
#include "arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096

typedef struct Gap {
    off_t at;
    size_t length;
    struct Gap *next;
} Gap;

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
char *arena;
int arena_file;
static Gap *gaps;  /* in order, and never two that touch */

static Gap *gap_new(off_t at, size_t length, Gap *next) {
    Gap *gap = malloc(sizeof *gap);
    *gap = (Gap){at, length, next};
    return gap;
}

void arena_open(size_t size) {
    arena_file = memfd_create("null", 0);
    if (arena_file < 0 || ftruncate(arena_file, size)) { perror("memory"); exit(1); }
    arena = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, arena_file, 0);
    if (arena == MAP_FAILED) { perror("memory"); exit(1); }
    gaps = gap_new(0, size, NULL);
}

static size_t room_for(size_t length) { return length ? (length + PAGE - 1) / PAGE * PAGE : PAGE; }

Blob *blob_new(size_t length) {
    size_t room = room_for(length);
    for (Gap **each = &gaps; *each; each = &(*each)->next) {
        Gap *gap = *each;
        if (gap->length < room) continue;
        Blob *blob = malloc(sizeof *blob);
        *blob = (Blob){gap->at, length, 1};
        gap->at += room;
        gap->length -= room;
        if (!gap->length) { *each = gap->next; free(gap); }
        return blob;
    }
    return NULL;
}

static void blob_drop(Blob *blob) {
    if (--blob->references) return;
    Gap **each = &gaps, *before = NULL;
    while (*each && (*each)->at < blob->at) { before = *each; each = &before->next; }
    Gap *gap = *each = gap_new(blob->at, room_for(blob->length), *each);
    if (gap->next && gap->at + (off_t)gap->length == gap->next->at) {
        Gap *joined = gap->next;
        gap->length += joined->length;
        gap->next = joined->next;
        free(joined);
    }
    if (before && before->at + (off_t)before->length == gap->at) {
        before->length += gap->length;
        before->next = gap->next;
        free(gap);
    }
    free(blob);
}

Content content_of(Blob *blob, size_t length) {
    Piece *piece = malloc(sizeof *piece);
    *piece = (Piece){blob, 0, length};
    return (Content){piece, 1, length};
}

void content_append(Content *content, Content more) {
    content->pieces = realloc(content->pieces, sizeof(Piece) * (content->count + more.count + 1));
    for (int i = 0; i < more.count; i++) {
        content->pieces[content->count++] = more.pieces[i];
        more.pieces[i].blob->references++;
    }
    content->size += more.size;
}

Content content_slice(Content whole, size_t from, size_t length) {
    Content found = {0};
    for (int i = 0; i < whole.count && length; i++) {
        Piece piece = whole.pieces[i];
        if (from >= piece.length) { from -= piece.length; continue; }
        piece.from += from;
        piece.length = piece.length - from < length ? piece.length - from : length;
        from = 0;
        length -= piece.length;
        content_append(&found, (Content){&piece, 1, piece.length});
    }
    return found;
}

void content_drop(Content content) {
    for (int i = 0; i < content.count; i++) blob_drop(content.pieces[i].blob);
    free(content.pieces);
}
