#include "objects.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS (1 << 18)

static Object *table[SLOTS], **sorted;
static long objects, last_id;
static int is_sorted;
static Upload *uploads;

static Object **place_of(const char *key) {
    unsigned long hash = 1469598103934665603ul;
    for (const char *each = key; *each; each++) hash = (hash ^ (unsigned char)*each) * 1099511628211ul;
    Object **place = &table[hash % SLOTS];
    while (*place && strcmp((*place)->key, key)) place = &(*place)->next;
    return place;
}

Object *object_find(const char *key) { return *place_of(key); }

void object_delete(const char *key) {
    Object **place = place_of(key), *gone = *place;
    if (!gone) return;
    *place = gone->next;
    content_drop(gone->content);
    free(gone->key);
    free(gone);
    objects--;
    is_sorted = 0;
}

void object_put(const char *key, Content content, const char *etag) {
    Object **place = place_of(key), *object = *place;
    if (object) {
        content_drop(object->content);
    } else {
        object = *place = calloc(1, sizeof *object);
        object->key = strdup(key);
        objects++;
        is_sorted = 0;
    }
    object->content = content;
    strcpy(object->etag, etag);
}

static int compare(const void *a, const void *b) { return strcmp((*(Object **)a)->key, (*(Object **)b)->key); }

Object **objects_from(const char *key, long *count) {
    if (!is_sorted) {
        sorted = realloc(sorted, sizeof *sorted * (objects + 1));
        long n = 0;
        for (long slot = 0; slot < SLOTS; slot++)
            for (Object *each = table[slot]; each; each = each->next) sorted[n++] = each;
        qsort(sorted, n, sizeof *sorted, compare);
        is_sorted = 1;
    }
    long low = 0, high = objects;
    while (low < high) {
        long middle = (low + high) / 2;
        if (strcmp(sorted[middle]->key, key) < 0) low = middle + 1; else high = middle;
    }
    *count = objects - low;
    return sorted + low;
}

void objects_reset(void) {
    for (long slot = 0; slot < SLOTS; slot++)
        while (table[slot]) object_delete(table[slot]->key);
    while (uploads) upload_forget(uploads);
}

Upload *upload_new(void) {
    Upload *upload = calloc(1, sizeof *upload);
    upload->id = ++last_id;
    upload->next = uploads;
    return uploads = upload;
}

Upload *upload_find(long id) {
    Upload *upload = uploads;
    while (upload && upload->id != id) upload = upload->next;
    return upload;
}

void upload_part(Upload *upload, int number, Content content) {
    if (number >= upload->room) {
        int room = number + 64;
        upload->parts = realloc(upload->parts, sizeof(Content) * room);
        memset(upload->parts + upload->room, 0, sizeof(Content) * (room - upload->room));
        upload->room = room;
    }
    content_drop(upload->parts[number]);
    upload->parts[number] = content;
}

void upload_forget(Upload *upload) {
    Upload **place = &uploads;
    while (*place != upload) place = &(*place)->next;
    *place = upload->next;
    for (int i = 0; i < upload->room; i++) content_drop(upload->parts[i]);
    free(upload->parts);
    free(upload);
}
